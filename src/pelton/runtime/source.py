"""Batches on their way from the log to the tasks.

Values that cannot be changed are decoded once, however many agents read them. Others are decoded for each agent: what
one does to an event's value must not be seen by another, or results would depend on who was faster (invariant I9).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from pelton.batch import RecordBatch
from pelton.codec import decode_column
from pelton.codec.contract import Codec
from pelton.errors import DecodeError
from pelton.runtime.spec import SourceSpec

__all__ = ["DecodedBatch", "SharedBatch"]


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class _Column:
    """A column of values as a codec left it."""

    values: list[Any]
    failures: Sequence[tuple[int, DecodeError]]


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """A batch with its values decoded for one agent.

    column: what the agents that are at this batch share.
    values: one a row; what stands in the rows that are rejected means nothing.
    rejected: row -> why it could not be decoded.
    reject_rows: those rows in order.
    """

    batch: RecordBatch
    source: SourceSpec
    column: _Column
    values: list[Any]
    rejected: Mapping[int, DecodeError]
    reject_rows: Sequence[int]

    def next_reject(self, row: int) -> int:
        """Return the first rejected row at or behind a row, or the number of rows."""
        index = bisect_left(self.reject_rows, row)
        return self.reject_rows[index] if index < len(self.reject_rows) else len(self.values)

    def position(self, row: int) -> int:
        """Return the offset to go on from when all rows before this one are done."""
        return self.batch.offsets[row] if row < len(self.batch) else self.batch.next_offset


#: Builtin types whose values nobody can change.
_UNCHANGEABLE = (str, bytes, int, float)


@dataclass(slots=True)
class SharedBatch:
    """A fetched batch, and what came of decoding it by each codec whose values its agents can share.

    Decoded values take several times the bytes that the queue counts, so they are kept while some agent is at them. One
    that comes much later decodes anew, and what waits for it is bytes (invariant I10).
    """

    batch: RecordBatch
    _decoded: WeakValueDictionary[int, _Column] = field(default_factory=WeakValueDictionary[int, "_Column"])

    def decode(self, source: SourceSpec) -> DecodedBatch:
        """Return the batch as an agent with this source sees it."""
        column = self._decode(source.value_codec)
        rejected = dict(column.failures)
        typed = source.value_codec.type not in (None, Any)
        if typed and not source.tombstones and None in self.batch.values:
            rejected |= {
                row: DecodeError("null value (a tombstone)", hint="read them with app.topic(..., allow_empty=True)")
                for row, value in enumerate(self.batch.values)
                if value is None
            }
        batch = self.batch
        if source.event_time is not None:
            batch, refused = source.event_time.apply(batch, column.values, rejected)
            rejected |= refused
        return DecodedBatch(batch, source, column, column.values, rejected, sorted(rejected))

    def _decode(self, codec: Codec[Any]) -> _Column:
        column = self._decoded.get(id(codec)) or _Column(*decode_column(codec, self.batch.values))
        if _cannot_change(codec.type):
            self._decoded[id(codec)] = column
        return column


def _cannot_change(type_: Any) -> bool:
    """Return whether the values of a type are safe to share: builtin ones, frozen structs and dataclasses."""
    config = getattr(type_, "__struct_config__", None) or getattr(type_, "__dataclass_params__", None)
    return type_ in _UNCHANGEABLE if config is None else bool(config.frozen)
