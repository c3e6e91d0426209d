"""A batch of events as an agent sees it: columns of values, keys and timestamps, and a polars frame on demand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar, cast

import polars as pl

from pelton.stream.lane import Chunk

__all__ = ["Batch"]

V = TypeVar("V")


class Batch(Generic[V]):
    """Whole decoded rows, for agents that work on columns.

    values: the events' values, in log order. Keys, timestamps and offsets are columns of the same length.
    """

    __slots__ = ("_chunk", "values")

    def __init__(self, chunk: Chunk, values: Sequence[V]) -> None:
        self._chunk = chunk
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    @property
    def keys(self) -> list[Any]:
        """The decoded keys."""
        return [self._chunk.key(index) for index in range(len(self._chunk.rows))]

    @property
    def timestamps_ms(self) -> list[int]:
        """The log's timestamps, in milliseconds since the epoch."""
        column = self._chunk.batch.timestamps_ms
        return [column[row] for row in self._chunk.rows]

    @property
    def offsets(self) -> list[int]:
        """The offsets in the partition."""
        column = self._chunk.batch.offsets
        return [column[row] for row in self._chunk.rows]

    def frame(self) -> pl.DataFrame:
        """Return the values as a polars frame: one column a field.

        Works for values that are mappings, or objects with fields (Struct, dataclass, model); other values
        stand in a column named "value".
        """
        return pl.DataFrame([_as_row(value) for value in self.values])


def _as_row(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return cast(dict[str, Any], value)
    fields = getattr(value, "__struct_fields__", None) or getattr(value, "__dataclass_fields__", None)
    if fields is None:
        fields = getattr(type(value), "model_fields", None)
    return {name: getattr(value, name) for name in fields} if fields else {"value": value}
