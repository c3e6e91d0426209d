"""Batches on their way from the log to the tasks: decoded once, however many agents read them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pelton.batch import RecordBatch
from pelton.codec import decode_column
from pelton.errors import DecodeError
from pelton.runtime.spec import SourceSpec

__all__ = ["DecodedBatch", "SharedBatch"]


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """A batch with its values decoded for one agent.

    values: one a row; what stands in the rows that are rejected means nothing.
    rejected: row -> why it could not be decoded.
    reject_rows: those rows in order.
    """

    batch: RecordBatch
    source: SourceSpec
    values: Sequence[Any]
    rejected: Mapping[int, DecodeError]
    reject_rows: Sequence[int]

    def next_reject(self, row: int) -> int:
        """Return the first rejected row at or behind a row, or the number of rows."""
        index = bisect_left(self.reject_rows, row)
        return self.reject_rows[index] if index < len(self.reject_rows) else len(self.values)

    def position(self, row: int) -> int:
        """Return the offset to go on from when all rows before this one are done."""
        return self.batch.offsets[row] if row < len(self.batch) else self.batch.next_offset


@dataclass(slots=True)
class SharedBatch:
    """A fetched batch, and what came of decoding it by each codec that its agents use."""

    batch: RecordBatch
    _decoded: dict[int, tuple[Sequence[Any], Sequence[tuple[int, DecodeError]]]] = field(
        default_factory=dict[int, "tuple[Sequence[Any], Sequence[tuple[int, DecodeError]]]"]
    )

    def decode(self, source: SourceSpec) -> DecodedBatch:
        """Return the batch as an agent with this source sees it."""
        key = id(source.value_codec)
        if key not in self._decoded:
            self._decoded[key] = decode_column(source.value_codec, self.batch.values)
        values, failures = self._decoded[key]
        rejected = dict(failures)
        typed = source.value_codec.type not in (None, Any)
        if typed and not source.tombstones and None in self.batch.values:
            rejected |= {
                row: DecodeError("null value (a tombstone)", hint="read them with app.topic(..., allow_empty=True)")
                for row, value in enumerate(self.batch.values)
                if value is None
            }
        return DecodedBatch(self.batch, source, values, rejected, sorted(rejected))
