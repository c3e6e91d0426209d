"""Joins of two streams by key and time: `orders.join(payments, within=timedelta(minutes=5))`.

A left and a right event of one key are a pair when the right one's time is in [left - before, left + after].

Each event is judged by its own topic: it is late when its time is more than the grace behind the greatest one that its
partition of that topic has shown. An event waits in the table until the other topic has come so far that no partner of
it would be in time; what has found none by then stands alone, once, in a left or an outer join. Both hang on the order
within each topic alone. So the pairs, those that stand alone and those that are late are the same however the runtime
interleaves the topics (invariants I8, I9). The price: where one topic is ahead, its events wait for the other to catch
up, and where one shows nothing new, nothing is given up as alone.

Source: Kafka Streams' JoinWindows (KIP-633) and KAFKA-10847 for what stands alone, and when; there one stream time is
that of both topics, and the interleaving decides what is late. Flink's interval join for the bounds.

What stands alone is no part of the event that ended its wait, and comes behind it (`pelton.stream.pending`).

Keys of the table: `l` or `r`, span, key -> the events of that span of time; `t` topic -> the greatest time it showed;
`z` number -> an event that stands alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any, Generic, TypeVar

import msgspec

from pelton.stream.lane import GivenUp, Lane, Send, TableSlot
from pelton.stream.operating import event_key, event_time_ms, operator_slot, put_aside
from pelton.stream.pending import Owed, PendingResults
from pelton.stream.progress import StreamTime, WallTime
from pelton.window import WINDOW_PREFIX_BYTES, iso_time, window_key

__all__ = ["JoinInput", "JoinOperator", "JoinPlan", "Joined", "event_bytes"]

L = TypeVar("L")
R = TypeVar("R")

_LEFT, _RIGHT = b"l", b"r"


class Joined(tuple[L, R]):
    """A left and a right value, of which one may be None: `async for order, payment in joined`.

    key: what both have in common. time_ms: the event time of the later one.
    """

    key: Any
    time_ms: int

    def __new__(cls, left: L, right: R, key: Any, time_ms: int) -> Joined[L, R]:
        """Return the pair of two values."""
        pair = super().__new__(cls, (left, right))
        pair.key, pair.time_ms = key, time_ms
        return pair

    @property
    def left(self) -> L:
        """The left value."""
        return self[0]

    @property
    def right(self) -> R:
        """The right value."""
        return self[1]


@dataclass(frozen=True, slots=True)
class JoinInput:
    """One of the two inputs of a join.

    topics: their names. decode, encode: of their values. time_of: reads an event's time; None for that of its topic.
    kept: whether an event that finds no partner is a result. late: makes a message of a late event.
    processed: whether the stream has processors, so that a value is not what the log holds.
    """

    topics: frozenset[str]
    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    time_of: Callable[[Any], Any] | None = None
    kept: bool = False
    late: Callable[[object, object], Send] | None = None
    processed: bool = False


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """What `stream.join` was asked for.

    before_ms, after_ms: left - before <= right <= left + after. grace_ms: how far behind its topic an event may be.
    table: where events wait for partners.
    idle_s: how long a topic may be silent before its time goes on with the wall clock; None to wait for ever.
    """

    left: JoinInput
    right: JoinInput
    before_ms: int
    after_ms: int
    grace_ms: int
    table: str
    idle_s: float | None = None


class _Row(msgspec.Struct, array_like=True):
    """An event that waits for partners. value: its bytes. paired: whether it has found one."""

    time_ms: int
    value: bytes | None
    paired: bool


_encode = msgspec.msgpack.Encoder().encode
_decode_rows = msgspec.msgpack.Decoder(list[_Row]).decode
#: An array with a count of four bytes, whatever its length, so that one more row can be put behind the others.
_ARRAY_32 = b"\xdd"
_ROWS_AT = 5


def _encode_rows(rows: list[_Row]) -> bytes:
    return b"".join([_ARRAY_32, len(rows).to_bytes(_ROWS_AT - 1, "big"), *map(_encode, rows)])


def _with_one_more(data: bytes | None, row: _Row) -> bytes:
    """Return the rows of a span with one more.

    A hot key may have thousands there: decoding and encoding them all for each event took most of a join's time.
    """
    if data is None:
        return _encode_rows([row])
    count = int.from_bytes(data[1:_ROWS_AT], "big") + 1
    return b"".join([_ARRAY_32, count.to_bytes(_ROWS_AT - 1, "big"), data[_ROWS_AT:], _encode(row)])


class _Side:
    """One input in one partition: the events that wait, and how far its topics have come.

    first_ms, last_ms: the partners of an event at t lie in [t + first, t + last].
    """

    def __init__(
        self,
        name: bytes,
        slot: TableSlot,
        time: StreamTime,
        given: JoinInput,
        bounds_ms: tuple[int, int],
        grace_ms: int,
    ) -> None:
        first_ms, last_ms = bounds_ms
        self.time = time
        self.given = given
        self.first_ms = first_ms
        self.last_ms = last_ms
        self._name = name
        self._slot = slot
        self._grace_ms = grace_ms
        #: As long as the partners of an event may be apart, so that they lie in two rows at most. With more, shorter
        #: ones, the lookups cost more than it saves to write less (measured: 4 take twice the time of 1).
        self._span_ms = last_ms - first_ms + 1
        #: (deadline, table key) of each event that waits, the earliest first; some may be gone from the table.
        self._waiting = [
            (self._deadline_ms(row.time_ms), table_key)
            for table_key, data in slot.scan(name, bytes([name[0] + 1]))
            for row in _decode_rows(data)
        ]
        heapify(self._waiting)

    @property
    def passed_ms(self) -> int | None:
        """How far all of its topics have come; None while one has shown nothing."""
        return self.time.passed_ms(self.given.topics)

    def observe(self, topic: str, time_ms: int) -> bool:
        """Note the time of an event of a topic. Returns: whether it is more than the grace behind it."""
        return time_ms + self._grace_ms < self.time.observe(topic, time_ms)

    def is_spent(self, time_ms: int, passed_ms: int | None) -> bool:
        """Return whether an event can find no partner any more, the other input having come so far."""
        return passed_ms is not None and self._deadline_ms(time_ms) < passed_ms

    def _deadline_ms(self, time_ms: int) -> int:
        return time_ms + self.last_ms + self._grace_ms

    @property
    def due_ms(self) -> int | None:
        """How far the other input has to come for the next event to be spent; None when none waits."""
        return self._waiting[0][0] + 1 if self._waiting else None

    def wait(self, key: bytes, row: _Row) -> None:
        """Keep an event until it is spent."""
        table_key = self._table_key(key, row.time_ms)
        self._slot.put(table_key, _with_one_more(self._slot.get(table_key), row))
        heappush(self._waiting, (self._deadline_ms(row.time_ms), table_key))

    def partners(self, key: bytes, first_ms: int, last_ms: int) -> list[_Row]:
        """Return the events of a key in a span of time, both ends included, and note that they have a partner."""
        found: list[_Row] = []
        start_ms = first_ms - first_ms % self._span_ms
        for span_ms in range(start_ms, last_ms + 1, self._span_ms):
            table_key = self._table_key(key, span_ms)
            rows = self._rows(table_key)
            hits = [row for row in rows if first_ms <= row.time_ms <= last_ms]
            if self.given.kept and not all(row.paired for row in hits):
                for row in hits:
                    row.paired = True
                self._store(table_key, rows)
            found += hits
        return found

    def take_spent(self, passed_ms: int | None) -> Iterator[tuple[bytes, _Row]]:
        """Take the events that are spent out of the table, and yield those that stand alone with their keys."""
        due: dict[bytes, None] = {}  # each once, in order: many of one span are often spent together
        while self._waiting and passed_ms is not None and self._waiting[0][0] < passed_ms:
            due[heappop(self._waiting)[1]] = None
        for table_key in due:
            rows = self._rows(table_key)
            spent = [row for row in rows if self.is_spent(row.time_ms, passed_ms)]
            self._store(table_key, [row for row in rows if not self.is_spent(row.time_ms, passed_ms)])
            if self.given.kept:
                key = table_key[len(self._name) + WINDOW_PREFIX_BYTES :]
                yield from ((key, row) for row in spent if not row.paired)

    def _table_key(self, key: bytes, time_ms: int) -> bytes:
        return self._name + window_key(time_ms - time_ms % self._span_ms, key)

    def _rows(self, table_key: bytes) -> list[_Row]:
        data = self._slot.get(table_key)
        return [] if data is None else _decode_rows(data)

    def _store(self, table_key: bytes, rows: list[_Row]) -> None:
        self._slot.put(table_key, _encode_rows(rows) if rows else None)

    def value(self, row: _Row) -> Any:
        """Return the value of an event that waited."""
        return None if row.value is None else self.given.decode(row.value)


def event_bytes(lane: Lane, given: JoinInput, value: Any) -> bytes | None:
    """Return the bytes of the event's value, as they are to wait in the table."""
    if given.processed:
        return None if value is None else given.encode(value)
    return lane.raw_value


class JoinOperator(Generic[L, R]):
    """Joins the events of one partition. Made anew for each iteration, so that a failed event leaves nothing here."""

    def __init__(self, lane: Lane, plan: JoinPlan) -> None:
        slot = operator_slot(lane, plan.table)
        before_ms, after_ms, grace_ms = plan.before_ms, plan.after_ms, plan.grace_ms
        self._lane = lane
        self._table = plan.table
        self.pending = PendingResults[Joined[L, R]](lane, slot, plan.table, self._alone, self._told)
        self._time = StreamTime(slot, plan.left.topics | plan.right.topics, plan.idle_s)
        self._left = _Side(_LEFT, slot, self._time, plan.left, (-before_ms, after_ms), grace_ms)
        self._right = _Side(_RIGHT, slot, self._time, plan.right, (-after_ms, before_ms), grace_ms)

    def __call__(self, value: Any) -> Iterator[Joined[L, R]]:
        """Take in the event that the lane is at, and yield the pairs that it makes, or itself where it stands alone."""
        # All of it first: code that leaves the loop at one of the results has completed the event all the same.
        for key, joined in self._take(value):
            self._lane.result = key, joined.time_ms
            yield joined

    def heard(self, topic: str, world: WallTime) -> None:
        """Note that the next events are of this topic."""
        if self._time.idle_s is not None:
            self._time.heard(topic, world)

    def wait_s(self, world: WallTime) -> float | None:
        """Return how long to wait for an event before silence may end the wait of another one."""
        due_ms = [side.due_ms for side in (self._left, self._right) if side.due_ms is not None]
        return self._time.wait_s(min(due_ms, default=None), world)

    def wake(self, world: WallTime) -> None:
        """Note what stands alone because a topic has been silent for long enough."""
        self._time.advance(world)
        self._end_waits(self._left, self._right)
        self._end_waits(self._right, self._left)

    def _take(self, value: Any) -> list[tuple[bytes, Joined[L, R]]]:
        assert self._lane.chunk is not None
        topic = self._lane.chunk.batch.topic
        mine, others = self._left, self._right
        if topic not in mine.given.topics:
            mine, others = others, mine
        key = event_key(self._lane, "join")
        time_ms = event_time_ms(self._lane, mine.given.time_of, value)
        if mine.observe(topic, time_ms):
            put_aside(self._lane, mine.given.late, value)
            return []
        partners = others.partners(key, time_ms + mine.first_ms, time_ms + mine.last_ms)
        results = [
            (key, self._joined(mine, key, value, others.value(row), max(time_ms, row.time_ms))) for row in partners
        ]
        if not mine.is_spent(time_ms, others.passed_ms):
            mine.wait(key, _Row(time_ms, event_bytes(self._lane, mine.given, value), bool(partners)))
        elif mine.given.kept and not partners:
            results.append((key, self._joined(mine, key, value, None, time_ms)))
        self._end_waits(others, mine)
        return results

    def _end_waits(self, side: _Side, other: _Side) -> None:
        """What waits for the other input, which has come too far for it, stands alone."""
        for key, row in side.take_spent(other.passed_ms):
            self.pending.put(key, row.time_ms, [side is self._left, row.value])

    def _alone(self, owed: Owed) -> Joined[L, R]:
        left, data = owed.content
        side = self._left if left else self._right
        return self._joined(side, owed.key, None if data is None else side.given.decode(data), None, owed.time_ms)

    def _told(self, owed: Owed) -> GivenUp:
        left, data = owed.content
        which = "left" if left else "right"
        return GivenUp(f"{which} event of {self._table} at {iso_time(owed.time_ms)}, without a partner", data)

    def _joined(self, side: _Side, key: bytes, value: Any, partner: Any, time_ms: int) -> Joined[Any, Any]:
        """Return a value of one side and its partner as left and right."""
        left, right = (value, partner) if side is self._left else (partner, value)
        return Joined(left, right, self._lane.decode_key(key), time_ms)
