"""Timers: `stream.timers()` gives an agent's code its events, and, in between, the timers that it has set for keys.

A timer belongs to a key and has a name; setting it again moves it. It lies in a table of the agent's own, so it is
changelogged, restored, and set, moved, cancelled or fired in the same commit as everything else that came of the event
or timer that did it. One that fires is handled like an event: its effects become visible once, with its removal; when
the code fails, it is tried again, and dead-lettered in the end.

Timers of event time fire as stream time passes them, before the event that moves it: at what records they come hangs on
the records alone (invariants I8, I9). Of several topics, they go by the one that is furthest behind; for the events of
a topic that has come past a timer already it counts as fired. So whether an event moves or cancels a timer of its own
topic's hangs on that topic alone. Those of the wall clock fire when it is time, also while no event comes: they are the
one place where the clock decides.

Keys of the table: `e` or `w`, time, length of the key, key, name -> value; `n` length of the key, key, name -> kind and
time; `t` topic -> stream time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from heapq import heapify, heappop, heappush, nsmallest
from itertools import islice
from struct import Struct
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from zlib import crc32

import msgspec

from pelton.batch import RecordBatch
from pelton.errors import ConfigurationError, UserCodeError
from pelton.stream.ahead_feed import AheadFeed, ahead_feed
from pelton.stream.joins import SKIPPED
from pelton.stream.lane import Apart, Chunk, GivenUp, Lane, StreamEnded, TableSlot
from pelton.stream.operating import event_key, event_time_ms, operator_slot
from pelton.stream.progress import StreamTime
from pelton.window import WINDOW_PREFIX_BYTES, as_ms, iso_time, milliseconds, window_key_prefix, window_start_of

if TYPE_CHECKING:
    from pelton.stream.stream import Stream

__all__ = ["FiredTimer", "TimerPlan", "Timers"]

V = TypeVar("V")
TimerClock = Literal["event", "wall"]

_KINDS: dict[TimerClock, bytes] = {"event": b"e", "wall": b"w"}
_NAMES = b"n"
_Length = Struct(">I")
#: Others have their turn after so many timers.
_TURNS = 64
#: The longest that a lane waits without a look at the wall clock, in seconds: it may have been set.
_WAIT_MAX_S = 60.0

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


@dataclass(frozen=True, slots=True)
class FiredTimer:
    """A timer whose time has come.

    key: whose it is. name: the one it was set with. at_ms: when it was to fire, in milliseconds since the epoch.
    value: what it was set with. clock: "event" or "wall".
    """

    key: Any
    name: str
    at_ms: int
    value: Any
    clock: TimerClock


@dataclass(frozen=True, slots=True)
class TimerPlan:
    """What `stream.timers` was asked for.

    time_of: reads an event's time; None for that of its topic. grace_ms: how far behind stream time timers fire.
    table: where they are kept. loaded_max: how many of a kind are in memory, the earliest; the others are read when it
    is their turn (invariant I10).
    """

    time_of: Callable[[Any], Any] | None
    grace_ms: int
    table: str
    loaded_max: int = 10_000


class _Agenda:
    """The timers of one kind in one partition, by time; the earliest of them in memory."""

    def __init__(self, slot: TableSlot, kind: bytes, loaded_max: int) -> None:
        self._slot = slot
        self._kind = kind
        self._loaded_max = loaded_max
        self._heap: list[tuple[int, bytes]] = []
        #: Timers behind this one are in the table only; None when all are in memory.
        self._horizon: tuple[int, bytes] | None = None
        self._load()

    def _load(self) -> None:
        rows = self._slot.scan(self._kind, bytes([self._kind[0] + 1]))
        self._heap = [(_row_time(row), row) for row, _ in islice(rows, self._loaded_max)]
        self._horizon = self._heap[-1] if len(self._heap) == self._loaded_max else None
        heapify(self._heap)

    def __len__(self) -> int:
        """Return how many are in memory, with those whose rows are gone."""
        return len(self._heap)

    def add(self, time_ms: int, row: bytes) -> None:
        """Note a timer that was set."""
        if self._horizon is None or (time_ms, row) <= self._horizon:
            heappush(self._heap, (time_ms, row))
            if len(self._heap) > 2 * self._loaded_max:
                self._shrink()

    def _shrink(self) -> None:
        """Let go of the rows that are gone, moved timers above all, and then of the latest if there are still too many.

        What is left is loaded_max at most, so this is done once in as many additions.
        """
        self._heap = [timer for timer in set(self._heap) if self._slot.get(timer[1]) is not None]
        if len(self._heap) > self._loaded_max:
            self._heap = nsmallest(self._loaded_max, self._heap)
            self._horizon = self._heap[-1]
        heapify(self._heap)

    def next_ms(self) -> int | None:
        """Return when the first timer is due; None when there is none."""
        while True:
            while self._heap and self._slot.get(self._heap[0][1]) is None:
                heappop(self._heap)  # moved, cancelled, or of an event that failed
            if self._heap:
                return self._heap[0][0]
            if self._horizon is None:
                return None
            self._load()

    def due(self, now_ms: int) -> bytes | None:
        """Return the row of the first timer that is due, if any; it stays there until its row is gone."""
        next_ms = self.next_ms()
        return self._heap[0][1] if next_ms is not None and next_ms <= now_ms else None


class _Book:
    """The timers of one lane, for one run of the agent's code."""

    def __init__(self, feed: AheadFeed, lane: Lane, plan: TimerPlan) -> None:
        self.feed = feed
        self.lane = lane
        self.plan = plan
        self.slot = slot = operator_slot(lane, plan.table)
        self.agendas = {clock: _Agenda(slot, kind, plan.loaded_max) for clock, kind in _KINDS.items()}
        self._time = StreamTime(slot, lane.topics)
        self._several = len(self._time.topics) > 1
        self._passed_ms = self._time.passed_ms()
        #: The time of the event or timer that the code is at.
        self.now_ms = 0
        #: Up to when timers count as fired for the event at hand, for its own topic has passed them; None where those
        #: have fired. set_here: but not those that it has set itself.
        self._fired_ms: int | None = None
        self._set_here: set[bytes] = set()

    def look_ahead(self, topic: str, time_ms: int) -> bool:
        """Return whether timers are due with an event of a topic: they come before it, and before what it changes."""
        self._passed_ms = self._time.passed_with(topic, time_ms)
        return self.due("event") is not None

    def enter(self, topic: str, time_ms: int) -> None:
        """Put the lane at an event, whose effects begin with how far its topic has come."""
        own_ms = self._time.observe(topic, time_ms)
        self._passed_ms = self._time.passed_ms()
        self.now_ms = time_ms
        self._set_here.clear()
        self._fired_ms = own_ms - self.plan.grace_ms if self._several else None

    def due(self, clock: TimerClock) -> bytes | None:
        """Return the row of a timer that is due, if any."""
        if clock == "wall":
            return None if self.feed.paused else self.agendas["wall"].due(self.feed.time_ms())
        return None if self._passed_ms is None else self.agendas["event"].due(self._passed_ms - self.plan.grace_ms)

    def wait_s(self) -> float | None:
        """Return how long to wait for the next timer of the wall clock, in seconds; None when there is none.

        Those of event time that are due wait for the end of a pause, and for nothing else.
        """
        if self.due("event") is not None:
            return 0.0
        next_ms = self.agendas["wall"].next_ms()
        return None if next_ms is None else min(_WAIT_MAX_S, max(0.0, (next_ms - self.feed.time_ms()) / 1000))

    def open(self, clock: TimerClock, row: bytes) -> FiredTimer:
        """Put the lane at a timer, whose removal is the first of its effects."""
        lane, at_ms = self.lane, _row_time(row)
        key, name = _parts(row[1 + WINDOW_PREFIX_BYTES :])
        data = self.slot.get(row)
        # Its place stands for it where failed attempts are counted; no record of the log has that topic.
        batch = RecordBatch(self.plan.table, lane.partition, (crc32(row),), [at_ms], [key], [data], 0)
        chunk = Chunk(batch, (0,), [None], lane.key_decoder, 0)
        lane.chunk, lane.cursor, lane.apart = chunk, 0, Apart(chunk, give_up=lambda: self._give_up(row))
        self.now_ms, self._fired_ms = at_ms, None
        found = self._found(key, name)
        self.slot.put(row, None)
        if found == row:
            self.slot.put(_index(key, name), None)
        fired = lane.value = FiredTimer(chunk.key(0), name.decode(), at_ms, _decode(data or b"\xc0"), clock)
        return fired

    def _give_up(self, row: bytes) -> GivenUp:
        key, name = _parts(row[1 + WINDOW_PREFIX_BYTES :])
        data = self.slot.get(row)
        if self._found(key, name) == row:
            self.slot.record(_index(key, name), None)
        self.slot.record(row, None)
        return GivenUp(f"timer {name.decode()!r}, due at {iso_time(_row_time(row))}", data)

    def set(self, key: bytes, name: bytes, clock: TimerClock, at_ms: int, data: bytes) -> None:
        """Set a timer, in place of the one of the same key and name."""
        self.cancel(key, name)
        row = _row(clock, at_ms, key, name)
        self.slot.put(row, data)
        self.slot.put(_index(key, name), _encode([clock, at_ms]))
        self._set_here.add(row)
        self.agendas[clock].add(at_ms, row)

    def cancel(self, key: bytes, name: bytes) -> bool:
        """Cancel a timer. Returns: whether there was one."""
        row = self.find(key, name)
        if row is None:
            return False
        self.slot.put(_index(key, name), None)
        self.slot.put(row, None)
        return True

    def find(self, key: bytes, name: bytes) -> bytes | None:
        """Return the row of the timer of a key and name; None where none is set, or it counts as fired."""
        row = self._found(key, name)
        if row is None or self._fired_ms is None or row[:1] != _KINDS["event"] or row in self._set_here:
            return row
        return row if _row_time(row) > self._fired_ms else None

    def _found(self, key: bytes, name: bytes) -> bytes | None:
        found = self.slot.get(_index(key, name))
        if found is None:
            return None
        clock, at_ms = _decode(found)
        return _row(clock, at_ms, key, name)


class Timers(Generic[V]):
    """An agent's timers, and what it iterates: its events and, in between, `FiredTimer`s.

    Timers are set and cancelled from within the loop, for the key of the event or timer that the code is at.
    """

    def __init__(self, stream: Stream[V], plan: TimerPlan) -> None:
        self._stream = stream
        self._plan = plan
        self._book: _Book | None = None

    def set(
        self,
        name: str = "",
        *,
        at: Any = None,
        after: float | timedelta | None = None,
        clock: TimerClock = "event",
        value: Any = None,
    ) -> None:
        """Set a timer for the key at hand; one of the same name is moved.

        at: when, in seconds since the epoch, as a datetime or in ISO 8601. after: how much later than the event or
        timer at hand (with clock="wall": than now), in seconds or as a timedelta.
        clock: "event", or "wall" for one that fires when it is time, whether or not events come.
        value: comes with the timer: builtin types. What is due already fires right behind what the code is at.
        Raises: ConfigurationError, UserCodeError for a value that cannot be kept.
        """
        book, key = self._at("set")
        if clock not in _KINDS:
            raise ConfigurationError(f'timers.set: clock: expected "event" or "wall", got {clock!r}')
        if (at is None) == (after is None):
            raise ConfigurationError("timers.set: expected a time", hint="write timers.set(after=60), or at=...")
        now_ms = book.feed.time_ms() if clock == "wall" else book.now_ms
        at_ms = as_ms(at) if after is None else now_ms + milliseconds(after)
        try:
            data = _encode(value)
        except (TypeError, ValueError) as error:
            raise UserCodeError(
                f"the value of a timer cannot be kept: {type(value).__name__}: {error}",
                hint="give it dicts, lists, text and numbers; keep anything else in a table",
            ) from error
        book.set(key, name.encode(), clock, at_ms, data)

    def cancel(self, name: str = "") -> bool:
        """Cancel a timer of the key at hand. Returns: whether there was one."""
        book, key = self._at("cancel")
        return book.cancel(key, name.encode())

    def get(self, name: str = "") -> int | None:
        """Return when a timer of the key at hand fires, in milliseconds since the epoch; None when it is not set."""
        book, key = self._at("get")
        row = book.find(key, name.encode())
        return None if row is None else _row_time(row)

    def _at(self, doing: str) -> tuple[_Book, bytes]:
        book = self._book
        if book is None or book.lane.chunk is None:
            raise ConfigurationError(
                f"timers.{doing}: no event is at hand", hint="call it in the loop: async for event in timers: ..."
            )
        return book, event_key(book.lane, "timer")

    async def __aiter__(self) -> AsyncIterator[V | FiredTimer]:
        """Yield each event's value, behind the timers that stream time passes with it, and timers of the wall clock."""
        feed, lane = self._stream.begin()
        ahead = ahead_feed(feed, "timers")
        try:
            ahead.turn(lane)
            book = self._book = _Book(ahead, lane, self._plan)
            while True:
                if not ahead.paused:
                    async for fired in self._fire(book, None):
                        yield fired
                chunk = await feed.next_chunk(lane, timeout_s=book.wait_s())
                if chunk is None:
                    continue
                async for one in self._chunk(book, chunk):
                    yield one
        except StreamEnded:
            return

    async def _chunk(self, book: _Book, chunk: Chunk) -> AsyncIterator[V | FiredTimer]:
        """Yield the events of a chunk, each behind the timers that are due by then."""
        lane = book.lane
        for cursor, value in enumerate(chunk.values):
            lane.cursor, lane.value = cursor, value
            time_ms = event_time_ms(lane, self._plan.time_of, value)
            if book.look_ahead(chunk.batch.topic, time_ms):
                async for fired in self._fire(book, chunk.split(cursor)):
                    yield fired
                lane.chunk, lane.cursor, lane.value, lane.held = chunk, cursor, value, []
            book.enter(chunk.batch.topic, time_ms)
            processed: Any = await self._stream.process(value) if self._stream.processors else value
            if processed is not SKIPPED:
                yield processed
            if lane.dirty:
                lane.finish_event()

    async def _fire(self, book: _Book, rest: Chunk | None) -> AsyncIterator[FiredTimer]:
        """Yield the timers that are due, each complete by itself. rest: what the lane has been handed and not done."""
        lane = book.lane
        for turn, (clock, row) in enumerate(_due(book, "event" if rest is not None else None), 1):
            lane.held = [] if rest is None else [rest]
            yield book.open(clock, row)
            lane.finish_apart()
            if turn % _TURNS == 0:
                await book.feed.breathe(lane)


def _due(book: _Book, only: TimerClock | None) -> Iterator[tuple[TimerClock, bytes]]:
    """Yield the timers that are due, until none is; of event time first."""
    clocks: tuple[TimerClock, ...] = ("event", "wall") if only is None else (only,)
    for clock in clocks:
        while (row := book.due(clock)) is not None:
            yield clock, row


def _row(clock: TimerClock, at_ms: int, key: bytes, name: bytes) -> bytes:
    return _KINDS[clock] + window_key_prefix(at_ms) + _Length.pack(len(key)) + key + name


def _row_time(row: bytes) -> int:
    return window_start_of(row[1:])


def _index(key: bytes, name: bytes) -> bytes:
    return _NAMES + _Length.pack(len(key)) + key + name


def _parts(data: bytes) -> tuple[bytes, bytes]:
    """Return key and name, which are written one behind the other."""
    end = _Length.size + _Length.unpack_from(data)[0]
    return data[_Length.size : end], data[end:]
