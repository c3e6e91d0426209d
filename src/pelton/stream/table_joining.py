"""A join of two tables: their changes in, the changes of the joined table out.

The state is the latest row of either side for each key, in a table of the agent's own. Each change gives the joined row
as it is then, or None (a tombstone) when there is none any more. So whoever folds what comes out has, at the end, the
join of the two tables, however their changes interleave; what it was in between depends on the interleaving.

Source: Kafka Streams' KTable-KTable join.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from pelton.stream.joins import SKIPPED
from pelton.stream.lane import CURRENT_LANE
from pelton.stream.operating import event_key, operator_slot

__all__ = ["TableJoin", "TableJoinKind"]

TableJoinKind = Literal["inner", "left", "outer"]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[bytes | None]).decode


@dataclass(frozen=True, slots=True)
class TableJoin:
    """A stream's processor: turns a change of one of two tables into a change of their join.

    sides: changelog topic -> 0 for left, 1 for right. decoders: of the values of left and of right.
    table: where the rows are kept.
    """

    kind: TableJoinKind
    sides: Mapping[str, int]
    decoders: tuple[Callable[[bytes], Any], Callable[[bytes], Any]]
    table: str

    def __call__(self, value: object) -> Any:
        """Take in the change that the lane is at. Returns: (left, right), None for a row that is gone, or SKIPPED."""
        lane = CURRENT_LANE.get()
        assert lane is not None, "the processors of an agent's stream run in its lane"
        assert lane.chunk is not None
        key, slot = event_key(lane, "join of tables"), operator_slot(lane, self.table)
        data = slot.get(key)
        rows: list[bytes | None] = [None, None] if data is None else _decode(data)
        was_there = self._holds(rows)
        rows[self.sides[lane.chunk.batch.topic]] = lane.raw_value
        slot.put(key, None if rows == [None, None] else _encode(rows))
        if self._holds(rows):
            return tuple(None if row is None else decode(row) for decode, row in zip(self.decoders, rows, strict=True))
        return None if was_there else SKIPPED

    def _holds(self, rows: list[bytes | None]) -> bool:
        """Return whether two rows, of which either may be missing, make one of the join."""
        left, right = (row is not None for row in rows)
        if self.kind == "inner":
            return left and right
        return left if self.kind == "left" else left or right
