"""Results that an operator owes: final results of windows, what stands alone in a join, the pairs of an as-of join.

The event that brings such a result about is not to blame for it. So what comes of the event lies in the operator's
table as a row of its own, in the event's commit, and is handed out behind the event, *apart* from it: the row's removal
is the first of the result's effects. When the code fails on it, it alone is tried again, and dead-lettered in the end,
with its name; neither the event nor those behind it are.

They are handed out in the order in which they came about, before the next event is taken in, also after a restart.

Keys of the table: `z`, number -> key, time and content of a result.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from itertools import islice
from struct import Struct
from typing import Any, Generic, NamedTuple, TypeVar
from zlib import crc32

import msgspec

from pelton.batch import RecordBatch
from pelton.stream.ahead_feed import AheadFeed
from pelton.stream.lane import Apart, Chunk, GivenUp, Lane, TableSlot

__all__ = ["Owed", "PendingResults"]

logger = logging.getLogger(__name__)

T_co = TypeVar("T_co", covariant=True)

_PENDING, _BEHIND_PENDING = b"z", b"{"
_Number = Struct(">Q")
#: Others have their turn after so many results, and the code gets no more of them at once.
_TURNS, _FRAME_MAX = 64, 10_000


class Owed(NamedTuple):
    """A result before it is worked out: its key and time in milliseconds, and what its operator kept of it."""

    key: bytes
    time_ms: int
    content: Any


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[bytes, int, Any]).decode


class PendingResults(Generic[T_co]):
    """The results that an operator owes in one partition, first in, first out.

    read: works a result out. tell: names one for its dead letter, and says what the letter keeps of it.
    rows: where they lie; empty when nothing is owed.
    """

    def __init__(
        self,
        lane: Lane,
        slot: TableSlot,
        table: str,
        read: Callable[[Owed], T_co],
        tell: Callable[[Owed], GivenUp],
    ) -> None:
        self._lane = lane
        self._slot = slot
        self._table = table
        self._read = read
        self._tell = tell
        self.rows = deque(row for row, _ in slot.scan(_PENDING, _BEHIND_PENDING))
        #: Under this name the lane keeps how many come one by one, because of several the code has failed on one.
        self._singly = f"{table} one by one"

    def put(self, key: bytes, time_ms: int, content: Any) -> None:
        """Owe a result, as an effect of the event at hand. content: builtin types."""
        number = _Number.unpack(self.rows[-1][1:])[0] + 1 if self.rows else 0
        row = _PENDING + _Number.pack(number)
        self._slot.put(row, _encode((key, time_ms, content)))
        self.rows.append(row)

    async def hand_out(self, feed: AheadFeed, rest: Chunk | None, most: int = 1) -> AsyncIterator[list[T_co]]:
        """Yield what is owed, up to so many results at once, each time complete by itself; the lane is then as before.

        rest: what the lane has been handed and not done.
        Raises: StreamEnded when the lane is to stop.
        """
        lane = self._lane
        before = lane.chunk, lane.cursor, lane.value, lane.held
        handed = 0
        while self.rows:
            lane.held = [] if rest is None else [rest]
            rows = list(islice(self.rows, 1 if self._singly in lane.operators else min(most, _FRAME_MAX)))
            yield self._open(rows)
            lane.finish_apart()
            for _ in rows:
                self.rows.popleft()
            self._count_down(len(rows))
            handed += len(rows)
            if handed >= _TURNS:
                handed = 0
                await _breathe(feed, lane)
        lane.chunk, lane.cursor, lane.value, lane.held = before

    def _open(self, rows: list[bytes]) -> list[T_co]:
        """Put the lane at results, whose removal is the first of their effects."""
        lane = self._lane
        kept = [self._slot.get(row) or b"" for row in rows]
        owed = [Owed(*_decode(data)) for data in kept]
        # Their content stands for them where failed attempts are counted; no record of the log has that topic.
        places, times_ms = [crc32(data) for data in kept], [one.time_ms for one in owed]
        nothing: list[bytes | None] = [None] * len(rows)
        batch = RecordBatch(self._table, lane.partition, places, times_ms, [one.key for one in owed], nothing, 0)
        chunk = Chunk(batch, range(len(rows)), nothing, lane.key_decoder, 0)
        several = partial(lane.operators.__setitem__, self._singly, len(rows)) if len(rows) > 1 else None
        lane.apart = Apart(chunk, give_up=partial(self._give_up, rows[0], owed[0]), divide=several)
        lane.chunk, lane.cursor = chunk, len(rows) - 1
        for row in rows:
            self._slot.put(row, None)
        results = [self._read(one) for one in owed]
        lane.value = results[-1]
        return results

    def _give_up(self, row: bytes, owed: Owed) -> GivenUp:
        self._slot.record(row, None)
        self._count_down(1)
        try:
            return self._tell(owed)
        except Exception:  # it may be what failed: a key or a value that cannot be decoded any more
            logger.exception("a result of %s cannot be told in its dead letter, which has its bytes", self._table)
            return GivenUp(f"a result of {self._table}", _encode(owed.content))

    def _count_down(self, done: int) -> None:
        operators = self._lane.operators
        left = operators.pop(self._singly, 0) - done
        if left > 0:
            operators[self._singly] = left


async def _breathe(feed: AheadFeed, lane: Lane) -> None:
    """Let others have their turn, and wait while nothing is to be handed out."""
    await feed.breathe(lane)
    feed.turn(lane)
    while feed.paused:
        await feed.rest(lane, idle=True)
        feed.turn(lane)
