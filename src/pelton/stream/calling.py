"""Calls to the outside from a stream: `stream.map_async(ask_model, concurrency=64)`.

The lane takes events ahead, has a function called for many of them at once, and hands the results to the agent's code
one by one, each at its own event: key, timestamp, sinks and transaction are that event's.

    events ──▶ open, in log order ──▶ calls, at most `concurrency` ──▶ results ──▶ the code, one event at a time
                     │                     │ each lands: recorded         │ complete: gone, or marked done
                     ▼                     ▼                              ▼
               position: the first    the operator's table, committed while others are still under way
               that is not complete

A result is recorded under its event's place in the log as soon as it is there, so that a crash calls nothing twice that
was recorded. An event that is complete before an earlier one is marked as done, in the same commit as its effects, and
skipped after a restart. Once the position has passed an event, its row goes.

Keys of the table: `e` topic 0 offset -> `r` result, or `d` for an event that is done; those of the cache are told in
`pelton.stream.call_cache`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from heapq import heappop
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from pelton.batch import record_bytes
from pelton.errors import ConfigurationError
from pelton.stream.ahead_feed import AheadFeed, ahead_feed
from pelton.stream.call_attempts import attempt_until_landed
from pelton.stream.call_cache import ResultCache
from pelton.stream.call_state import (
    BEHIND_EVENTS,
    DONE,
    EVENTS,
    RESULT,
    Call,
    CallPlan,
    Flight,
    Order,
    Room,
    place_of,
    row_of,
)
from pelton.stream.event import Event
from pelton.stream.joins import SKIPPED
from pelton.stream.lane import Apart, Chunk, Lane, StreamEnded
from pelton.stream.operating import operator_slot

if TYPE_CHECKING:
    from pelton.stream.stream import Stream

__all__ = ["CallPlan", "CalledStream", "Order"]

T = TypeVar("T")

#: Events that are taken ahead for each call that may be under way, so that one that is slow idles no others.
_OPEN_PER_CALL = 8
#: So many results may go out before others have their turn.
_TURNS = 64
#: No more is taken ahead once the records that are open hold so many bytes (invariant I10).
_OPEN_BYTES_MAX = 16 * 1024 * 1024
#: Nor once so many rows wait for the position to pass them: at least so many, and so many for each call.
_MARKED_MIN, _MARKED_PER_CALL = 10_000, 64


class _Caller(Generic[T]):
    """The calls of one lane, for one run of the agent's code."""

    def __init__(self, stream: Stream[Any], feed: AheadFeed, lane: Lane, plan: CallPlan[T]) -> None:
        self.stream = stream
        self.feed = feed
        self.lane = lane
        self.plan = plan
        self.slot = operator_slot(lane, plan.table)
        self.room: Room = lane.operators.get(plan.table) or self._make_room()
        #: Events that are not complete, in log order.
        self.open: dict[bytes, Call] = {}
        self.open_bytes = 0
        #: For order="key": key -> its open events, of which only the first may be called.
        self.queues: dict[bytes, deque[Call]] = {}
        self.startable: deque[Call] = deque()
        self.ready: deque[Call] = deque()
        #: topic -> behind the last event that was taken in.
        self.taken: dict[bytes, int] = {}
        self.room.landed.clear()

    def _make_room(self) -> Room:
        room = self.lane.operators[self.plan.table] = Room()
        if self.plan.cache is not None:
            room.cache = ResultCache(self.slot, self.plan.cache)
        for row, _ in self.slot.scan(EVENTS, BEHIND_EVENTS):
            room.mark(row)
        return room

    async def results(self) -> AsyncIterator[tuple[Call, T]]:
        """Yield each event and its result, in the order that was asked for; the event is complete behind it."""
        for turn in count():
            self.feed.turn(self.lane)
            moved = await self._take_in()
            self._start()
            call = self._next()
            if call is None or turn % _TURNS == 0:
                self._sweep()
                await (self.feed.breathe(self.lane) if moved or call else self.feed.rest(self.lane, idle=not self.open))
            if call is None:
                continue
            flight = self.room.flights[call.row]
            if flight.data is None:
                assert flight.error is not None
                self.feed.give_up(self.lane, call.chunk, flight.error, flight.attempts)
            else:
                self._hand_out(call)
                yield call, self.plan.codec.decode(flight.data)
                self.lane.finish_apart()
            self._close(call)

    async def land(self) -> None:
        """Let the calls that are under way come to their end, so that their results are recorded."""
        while self.room.flying:
            await self.feed.sleep(_LAND_S)

    # -- events come in ------------------------------------------------------------------------------

    async def _take_in(self) -> bool:
        """Take what has arrived, as far as there is room. Returns: whether there was anything."""
        moved, room = False, self.plan.concurrency * _OPEN_PER_CALL
        while len(self.open) < room and self.open_bytes < _OPEN_BYTES_MAX and self._may_mark():
            chunk = self.feed.poll(self.lane, room - len(self.open))
            if chunk is None:
                break
            moved = True
            rows = [_single(chunk, index) for index in range(len(chunk.rows))]
            self.lane.held += rows  # before anything is awaited: the position must not pass them
            for row in rows:
                await self._admit(row)
        return moved

    def _may_mark(self) -> bool:
        """Return whether more may be done while the first event is not; with none open, that is to be found yet."""
        most = max(_MARKED_MIN, _MARKED_PER_CALL * self.plan.concurrency)
        if self.open and len(self.room.marked) > most:
            self._sweep()
        return not self.open or len(self.room.marked) <= most

    async def _admit(self, chunk: Chunk) -> None:
        """Have one event processed, and put it among those to be called; at once complete when there is no call."""
        lane = self.lane
        topic, offset = chunk.batch.topic.encode(), chunk.offset(0)
        row = row_of(topic, offset)
        self.taken[topic] = offset + 1
        lane.chunk, lane.cursor, lane.apart = chunk, 0, Apart(chunk)
        value = lane.value = chunk.values[0]
        if self.slot.get(row) == DONE:
            lane.finish_apart()
            return
        if self.stream.processors:
            value = await self.stream.process(value)
            if lane.touched:
                raise ConfigurationError(
                    f"agent {lane.agent}: a processor before map_async wrote to a table",
                    hint="the event may be complete long after those behind it: write in the loop over the results",
                )
            if value is SKIPPED:
                if lane.dirty:
                    self._put_done(row)
                lane.finish_apart()
                return
        key, data = lane.raw_key, chunk.batch.values[chunk.rows[0]]
        sends, lane.sends, lane.dirty = lane.sends, [], False
        lane.chunk = lane.apart = None
        call = Call(row, chunk, key, value, sends, record_bytes(key, data, chunk.headers(0)))
        self.open[row] = call
        self.open_bytes += call.nbytes
        if self.plan.order == "key" and key is not None:
            queue = self.queues.setdefault(key, deque())
            queue.append(call)
            if len(queue) > 1:
                return
        self.startable.append(call)

    # -- calls begin and land ------------------------------------------------------------------------

    def _start(self) -> None:
        """Begin calls, as many as may be under way, none while paused; what has a result already needs none."""
        room = self.room
        while not self.feed.paused and self.startable and room.flying < self.plan.concurrency:
            call = self.startable.popleft()
            if call.row not in self.open:
                continue  # its call had begun before, and has landed meanwhile
            flight = room.flights.get(call.row) or self._flight(call)
            room.flights[call.row] = flight
            if flight.landed:
                self.ready.append(call)

    def _flight(self, call: Call) -> Flight:
        """Return the call of an event: as it was recorded, from the cache, one under way for the same, or a new one."""
        room, chunk = self.room, call.chunk
        stored = self.slot.get(call.row)
        if stored is not None and stored[:1] == RESULT:
            return Flight([call.row], data=stored[1:])
        digest = b""
        if room.cache is not None:
            try:
                digest = room.cache.digest(chunk, call.value)
            except Exception as error:  # the program's own function, or what it made: another attempt would meet it too
                return Flight([call.row], error=error, attempts=1)
            same = room.by_content.get(digest)
            if same is not None:
                same.rows.append(call.row)
                return same
            found = room.cache.get(digest, chunk.batch.timestamps_ms[chunk.rows[0]])
            if found is not None:
                flight = Flight([call.row])
                self._land(flight, call, b"", found)
                return flight
        flight = Flight([call.row])
        if digest:
            room.by_content[digest] = flight
        room.flying += 1
        self.feed.spawn(self._fly(flight, call, digest), f"call {self.plan.called}", at=chunk)
        return flight

    async def _fly(self, flight: Flight, call: Call, digest: bytes) -> None:
        """Carry out one call: attempts, until one succeeds or it is given up."""
        room = self.room
        try:
            await attempt_until_landed(
                self.plan, self.feed, flight, call, lambda data: self._land(flight, call, digest, data)
            )
        finally:
            room.flying -= 1
            room.by_content.pop(digest, None)
            if flight.landed:
                room.landed += flight.rows
                self.feed.wake()

    def _land(self, flight: Flight, call: Call, digest: bytes, data: bytes) -> None:
        """Record a result for all events that wait for it; the next commit makes it durable."""
        for row in flight.rows:
            self.slot.record(row, RESULT + data)
            self.room.mark(row)
        if digest and self.room.cache is not None:
            self.room.cache.put(digest, call.chunk.batch.timestamps_ms[call.chunk.rows[0]], data)
        flight.data = data

    # -- results go out ------------------------------------------------------------------------------

    def _next(self) -> Call | None:
        """Return an event whose turn it is; None when all have to wait."""
        for row in self.room.landed:
            if row in self.open and row in self.room.flights:
                self.ready.append(self.open[row])
        self.room.landed.clear()
        if self.plan.order != "log":
            while self.ready:
                call = self.ready.popleft()
                if self.open.get(call.row) is call:  # it may be in there twice
                    return call
            return None
        self.ready.clear()
        head = next(iter(self.open.values()), None)
        flight = self.room.flights.get(head.row) if head is not None else None
        return head if flight is not None and flight.landed else None

    def _hand_out(self, call: Call) -> None:
        """Put the lane at an event, and what becomes of its row among the event's effects."""
        lane = self.lane
        lane.chunk, lane.cursor, lane.apart = call.chunk, 0, Apart(call.chunk)
        lane.value = call.chunk.values[0]
        if call.sends:
            lane.sends, lane.dirty = [*call.sends], True
        if next(iter(self.open)) != call.row:
            self._put_done(call.row)
        elif self.slot.get(call.row) is not None:
            self.slot.put(call.row, None)

    def _put_done(self, row: bytes) -> None:
        """Mark an event as done, with its effects, while earlier ones may not be."""
        self.slot.put(row, DONE)
        self.room.mark(row)

    def _close(self, call: Call) -> None:
        """The event is complete, or given up; the next one of its key may be called."""
        del self.open[call.row]
        self.open_bytes -= call.nbytes
        self.room.flights.pop(call.row, None)
        queue = self.queues.get(call.key) if call.key is not None else None
        if queue is not None and queue[0] is call:
            queue.popleft()
            if queue:
                self.startable.append(queue[0])
            else:
                del self.queues[cast(bytes, call.key)]

    def _sweep(self) -> None:
        """Remove the rows that the position has passed."""
        first: dict[bytes, int] = {}
        for row in self.open:
            topic, offset = place_of(row)
            first.setdefault(topic, offset)
            if len(first) == len(self.taken):
                break
        for topic, taken in self.taken.items():
            marks, behind = self.room.marks.get(topic, []), first.get(topic, taken)
            while marks and marks[0] < behind:
                row = row_of(topic, heappop(marks))
                self.room.marked.discard(row)
                self.room.flights.pop(row, None)
                if self.slot.get(row) is not None:
                    self.slot.record(row, None)


#: How often a lane that ends looks whether its calls have come to their end, in seconds.
_LAND_S = 0.01


class CalledStream(Generic[T]):
    """The results of calls, as an agent iterates them; the agent is at the event of each."""

    def __init__(self, stream: Stream[Any], plan: CallPlan[T]) -> None:
        self._stream = stream
        self._plan = plan

    async def __aiter__(self) -> AsyncIterator[T]:
        """Yield each result."""
        async for _, result in self._results():
            yield result

    async def items(self) -> AsyncIterator[tuple[Any, T]]:
        """Yield (key, result)."""
        async for call, result in self._results():
            yield call.chunk.key(0), result

    async def pairs(self) -> AsyncIterator[tuple[Any, T]]:
        """Yield (value, result): what the function was called with, and what it returned."""
        async for call, result in self._results():
            yield call.value, result

    async def events(self) -> AsyncIterator[Event[T]]:
        """Yield events, whose values are the results."""
        async for call, result in self._results():
            yield Event(call.chunk, 0, result, self._stream.program)

    async def _results(self) -> AsyncIterator[tuple[Call, T]]:
        feed, lane = self._stream.begin()
        ahead = ahead_feed(feed, "map_async")
        caller: _Caller[T] | None = None
        try:
            ahead.turn(lane)
            caller = _Caller(self._stream, ahead, lane, self._plan)
            async for call, result in caller.results():
                yield call, result
        except StreamEnded:
            if caller is not None:
                await caller.land()


def _single(chunk: Chunk, index: int) -> Chunk:
    offset, row = chunk.offset(index), chunk.rows[index]
    return Chunk(chunk.batch, (row,), [chunk.values[index]], chunk.decode_key, offset + 1, chunk.alone)
