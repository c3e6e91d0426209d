"""The operators behind `stream.window(...).agg(...)`: what all have in common, and windows whose bounds are fixed.

Per key and window the aggregates' states lie in a table of the agent's own, so they are changelogged, restored, and
part of the same commit as everything else. What happens depends on the records of the partition alone (invariants I8,
I9), unless the plan asks for the wall clock.

Where several topics are read, an event is judged by how far its own topic has come, and windows close by the one that
is furthest behind (`pelton.stream.progress`). Then the windows of all events that are in time are the same however the
topics interleave. For that, an event of sessions or sliding windows is late there as soon as it is more than the grace
behind its topic: whether there is still a session that it could lengthen would hang on the other topics.

What a closed window came to is owed (`pelton.stream.pending`), and is no part of the event that closed it.

Keys of the table: `w` end start key -> states of an open window, `d` likewise of one that is closed and kept; `k` key
-> open sessions; `p` key -> the states of each time that sliding windows may still need; `c` key -> a count window; `t`
topic -> stream time; `z` number -> a result that is owed; `a` -> names and kinds of the aggregates, whose states lie in
their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from heapq import heapify, heappop, heappush
from typing import Any, cast

import msgspec

from pelton.aggregate import Aggregate, decode_states, encode_states
from pelton.errors import ConfigurationError
from pelton.stream.lane import Chunk, GivenUp, Lane
from pelton.stream.operating import event_key, event_time_ms, operator_slot, put_aside
from pelton.stream.pending import Owed, PendingResults
from pelton.stream.progress import ProcessingTime, StreamTime, WallTime
from pelton.stream.window_batches import Group, assign, groups
from pelton.stream.window_plan import (
    CLOSED,
    OPEN,
    WHOLE,
    CountWindow,
    WindowPlan,
    WindowResult,
    stored_window,
    window_of,
)
from pelton.window import (
    HoppingWindow,
    TumblingWindow,
    Window,
    iso_time,
    window_key_prefix,
    window_start_of,
)

__all__ = ["CountedWindows", "FixedWindows", "TimedWindows", "WindowOperator"]

_BEHIND_OPEN, _BEHIND_CLOSED = b"x", b"e"
_AGGREGATES = b"a"
#: Windows that are past their retention are deleted in so many goes a retention: each looks through what is written.
_SWEEPS = 16

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class WindowOperator:
    """What all kinds of windows share. Made anew for each iteration, so that a failed event leaves nothing here.

    Raises: ConfigurationError when the states in its table are those of other aggregates.
    """

    def __init__(self, lane: Lane, plan: WindowPlan, aggregates: Mapping[str, Aggregate[Any]], updates: bool) -> None:
        self.lane = lane
        self.plan = plan
        self.updates = updates
        self.slot = operator_slot(lane, plan.table)
        self.by_name = aggregates
        self.names = list(aggregates)
        self.aggregates = list(aggregates.values())
        self._kinds = [[name, type(one).__name__] for name, one in aggregates.items()]
        self._are_noted = self._noted()
        self.pending = PendingResults[WindowResult](lane, self.slot, plan.table, self._final, self._told)

    def __call__(self, value: Any) -> Iterator[WindowResult]:
        """Take in the event that the lane is at, and yield the updates that it makes."""
        raise NotImplementedError

    def heard(self, topic: str, world: WallTime) -> None:
        """Note that the next events are of this topic."""

    def wait_s(self, world: WallTime) -> float | None:
        """Return how long to wait for a record before waking up without one."""
        return None

    def wake(self, world: WallTime) -> None:
        """Close what closes although no record has come."""

    def take_batch(self, chunk: Chunk) -> Iterator[WindowResult]:
        """Take in whole rows, and yield the last update of each window that they change."""
        latest: dict[tuple[Any, int, int], WindowResult] = {}
        for self.lane.cursor, self.lane.value in enumerate(chunk.values):
            for result in self(self.lane.value):
                latest[result.key, result.start_ms, result.end_ms] = result
            self.lane.result = None
        yield from latest.values()

    def _noted(self) -> bool:
        """Return whether the table says whose states it holds: without a word, one would be taken for another's."""
        data = self.slot.get(_AGGREGATES)
        if data is not None and (kept := _decode(data)) != self._kinds:
            raise ConfigurationError(
                f"{self.plan.table} holds the states of agg({_told_kinds(kept)}), "
                f"and is to go on with agg({_told_kinds(self._kinds)})",
                hint='give the windows another name, as in stream.window(..., name="hourly_2"): they begin anew; '
                "stream.agg(...) is stream.window(pelton.unbounded()).agg(...)",
            )
        return data is not None

    def note(self) -> None:
        """Note, as an effect of the event at hand, whose states the table holds."""
        if not self._are_noted:
            self.slot.put(_AGGREGATES, _encode(self._kinds))
            self._are_noted = True

    def added(self, data: bytes | None, value: Any) -> list[Any]:
        """Return the aggregates' states with one more value."""
        self.note()
        states = [one.initial() for one in self.aggregates] if data is None else decode_states(data)
        return [one.add(state, value) for one, state in zip(self.aggregates, states, strict=True)]

    def merged(self, every: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the aggregates' states of several lots of values, the earlier lots first, together."""
        columns = zip(self.aggregates, zip(*every, strict=True), strict=True)
        return [reduce(one.merge, states) for one, states in columns]

    def result(self, key: bytes, window: Window, states: Sequence[Any], *, final: bool) -> WindowResult:
        """Return what a window has come to."""
        values = [one.result(state) for one, state in zip(self.aggregates, states, strict=True)]
        named = dict(zip(self.names, values, strict=True))
        return WindowResult(self.lane.decode_key(key), *window, named, final, self.by_name)

    def owe(self, key: bytes, window: Window, states: bytes) -> None:
        """Owe the final result of a window: its time is the last moment of it, whatever closed it."""
        self.pending.put(key, window.end_ms - 1, [*window, states])

    def _final(self, owed: Owed) -> WindowResult:
        start_ms, end_ms, states = owed.content
        return self.result(owed.key, Window(start_ms, end_ms), decode_states(states), final=True)

    def _told(self, owed: Owed) -> GivenUp:
        start_ms, end_ms, _ = owed.content
        name = f"final result of {self.plan.table} from {iso_time(start_ms)} to {iso_time(end_ms)}"
        found = self._final(owed)
        told = {"key": found.key, "start_ms": start_ms, "end_ms": end_ms, "values": found.values}
        return GivenUp(name, msgspec.json.encode(told, enc_hook=repr))


class TimedWindows(WindowOperator):
    """Windows of event time: stream time, lateness, and closing.

    own_ms: how far the topic of the event at hand has come. passed_ms: how far all topics have; None while one has
    shown nothing. slack_ms: how much longer a window is open than it needs to be where there is one topic.
    """

    slack_ms = 0

    def __init__(self, lane: Lane, plan: WindowPlan, aggregates: Mapping[str, Aggregate[Any]], updates: bool) -> None:
        super().__init__(lane, plan, aggregates, updates)
        kind = ProcessingTime if plan.processing else StreamTime
        self.time = kind(self.slot, lane.topics, plan.idle_s)
        self.several = len(self.time.topics) > 1 and not plan.processing
        #: Whether one topic's time is that of all; and whether an event's time is that of its record.
        self._alone = len(self.time.topics) == 1 and not plan.processing
        self._by_record = plan.time_of is None and not plan.processing
        self.topic = ""
        self.own_ms = 0
        self.passed_ms = self.time.passed_ms()
        self._moves = self.time.moves
        self._world: WallTime | None = None
        #: (end, table key) of what is open, the earliest end first; some may be gone from the table.
        self.open: list[tuple[int, bytes]] = self._ends()
        self._sweep_ms = self._next_sweep_ms() if plan.retention_ms is not None else None

    def __call__(self, value: Any) -> Iterator[WindowResult]:
        """Move stream time on, add the event to its windows, and close those that stream time has passed.

        In this order, because an event may lengthen a session that would end with it.
        """
        plan = self.plan
        key = event_key(self.lane, "window")
        time_ms = self.lane.timestamp_ms if self._by_record else self._time_ms(value)
        if plan.max_future_ms is not None and time_ms > self.lane.timestamp_ms + plan.max_future_ms:
            put_aside(self.lane, plan.late, value)
            return
        self.own_ms = self.time.observe(self.topic, time_ms)
        if plan.processing:
            time_ms = self.own_ms
        if advanced := self.time.moves != self._moves:
            self._moves = self.time.moves
            self.passed_ms = self.own_ms if self._alone else self.time.passed_ms()
        added = list(self.add(key, time_ms, value))
        if not added and self.is_late(time_ms):
            put_aside(self.lane, plan.late, value)
        if advanced:
            self._close()
        if self.updates:
            yield from (self.result(key, window, states, final=False) for window, states in added)

    def _ends(self) -> list[tuple[int, bytes]]:
        ends = [(window_start_of(key[1:]), key) for key, _ in self.slot.scan(OPEN, _BEHIND_OPEN)]
        heapify(ends)
        return ends

    def _time_ms(self, value: Any) -> int:
        if self.plan.processing:
            assert self._world is not None, "a stream tells its operator what it hears"
            return self._world.time_ms()
        return event_time_ms(self.lane, self.plan.time_of, value)

    def heard(self, topic: str, world: WallTime) -> None:
        """Note that the next events are of this topic; silent ones go on, as an effect of the first of these events."""
        self.topic, self._world = topic, world
        if self.plan.wakes:
            self.time.heard(topic, world)
            self.time.advance(world)

    def wait_s(self, world: WallTime) -> float | None:
        """Return how long to wait for a record before waking up without one."""
        due_ms = self.open[0][0] + self.plan.grace_ms + self.slack_ms if self.open else None
        return self.time.wait_s(due_ms, world)

    def wake(self, world: WallTime) -> None:
        """Close what closes although no record has come: topics have been silent for long enough."""
        self.time.advance(world)
        if self.time.moves != self._moves:
            self._move()
            self._close()

    def _move(self) -> None:
        self._moves = self.time.moves
        self.passed_ms = self.time.passed_ms()

    def add(self, key: bytes, time_ms: int, value: Any) -> Iterator[tuple[Window, Sequence[Any]]]:
        """Add an event to its windows that are not closed, and yield these with their new states."""
        raise NotImplementedError

    def is_late(self, time_ms: int) -> bool:
        """Return whether an event that was added to no window will never be."""
        return True

    def is_behind(self, time_ms: int) -> bool:
        """Return whether an event is more than the grace behind its own topic, where there are others."""
        return self.several and time_ms + self.plan.grace_ms < self.own_ms

    def forget(self, key: bytes, window: Window) -> None:
        """Note that a window is closed."""

    def follow(self, key: bytes, window: Window) -> None:
        """Look for what has become of a window that is not there any more: a session that was lengthened."""

    def tidy(self, table_key: bytes) -> None:
        """Remove what stream time has passed, and is no window."""

    def is_closed(self, end_ms: int) -> bool:
        """Return whether stream time has passed a window's end and the grace."""
        passed_ms = self.passed_ms
        return passed_ms is not None and end_ms + self.plan.grace_ms + self.slack_ms <= passed_ms

    def store(self, key: bytes, window: Window, states: Sequence[Any], *, fresh: bool) -> None:
        """Keep the states of a window; fresh when it was not open before."""
        table_key = stored_window(OPEN, key, window)
        self.slot.put(table_key, encode_states(states))
        if fresh:
            heappush(self.open, (window.end_ms, table_key))

    def _close(self) -> None:
        while self.open and self.is_closed(self.open[0][0]):
            _, table_key = heappop(self.open)
            if not table_key.startswith(OPEN):
                self.tidy(table_key)
                continue
            data = self.slot.get(table_key)
            key, window = window_of(table_key)
            if data is None:
                self.follow(key, window)
                continue
            self.slot.put(table_key, None)
            if self.plan.retention_ms is not None:
                self.slot.put(stored_window(CLOSED, key, window), data)
            self.forget(key, window)
            if not self.updates:
                self.owe(key, window, data)
        self._sweep()

    def _sweep(self) -> None:
        """Delete the closed windows that are past their retention, many in one go; readers leave them out before."""
        retention_ms = self.plan.retention_ms
        if retention_ms is None or self.passed_ms is None:
            return
        if self._sweep_ms is None:
            self._sweep_ms = self._next_sweep_ms()
        if self._sweep_ms is not None and self.passed_ms >= self._sweep_ms:
            past = CLOSED + window_key_prefix(self.passed_ms - retention_ms + 1)
            for key in [key for key, _ in self.slot.scan(CLOSED, past)]:
                self.slot.put(key, None)
            self._sweep_ms = self._next_sweep_ms()

    def _next_sweep_ms(self) -> int | None:
        """Return when, in stream time, the oldest of the closed windows and some more are past their retention."""
        assert self.plan.retention_ms is not None
        oldest = next(self.slot.scan(CLOSED, _BEHIND_CLOSED), None)
        if oldest is None:
            return None
        return window_start_of(oldest[0][1:]) + self.plan.retention_ms + self.plan.retention_ms // _SWEEPS


class FixedWindows(TimedWindows):
    """Tumbling and hopping windows: an event's time says which they are."""

    def add(self, key: bytes, time_ms: int, value: Any) -> Iterator[tuple[Window, Sequence[Any]]]:
        """Add an event to each window that holds its time, and that its own topic has not passed."""
        assert isinstance(self.plan.windowing, TumblingWindow | HoppingWindow)
        for window in self.plan.windowing.windows(time_ms):
            if window.end_ms + self.plan.grace_ms > self.own_ms:
                data = self.slot.get(stored_window(OPEN, key, window))
                states = self.added(data, value)
                self.store(key, window, states, fresh=data is None)
                yield window, states

    def take_batch(self, chunk: Chunk) -> Iterator[WindowResult]:
        """Take in whole rows, grouped by key and window."""
        plan, lane, windowing = self.plan, self.lane, self.plan.windowing
        assert isinstance(windowing, TumblingWindow | HoppingWindow)
        self.note()
        places = [place for place in range(len(chunk.values)) if not self._is_ahead(chunk, place)]
        if not places:
            return
        values = [chunk.values[place] for place in places]
        keys, times_ms = self._keys(chunk, places), self._times_ms(chunk, places)
        assignment = assign(times_ms, windowing, self.time.of(self.topic), plan.grace_ms)
        self.own_ms = self.time.observe(self.topic, max(times_ms))
        self._move()
        for row in assignment.late:
            lane.cursor = places[row]
            put_aside(lane, plan.late, values[row])
        lane.cursor = len(chunk.values) - 1
        for group in groups(keys, values, assignment, windowing.size_ms, self.aggregates):
            data = self.slot.get(stored_window(OPEN, group.key, group.window))
            states = self._added_rows(data, group, values)
            self.store(group.key, group.window, states, fresh=data is None)
            if self.updates:
                yield self.result(group.key, group.window, states, final=False)
        self._close()

    def _is_ahead(self, chunk: Chunk, place: int) -> bool:
        """Return whether a row is too far ahead of its record; such a row is put aside."""
        plan, lane = self.plan, self.lane
        if plan.max_future_ms is None:
            return False
        lane.cursor = place
        if self._time_ms(chunk.values[place]) <= lane.timestamp_ms + plan.max_future_ms:
            return False
        put_aside(lane, plan.late, chunk.values[place])
        return True

    def _keys(self, chunk: Chunk, places: Sequence[int]) -> list[bytes]:
        column, rows = chunk.batch.keys, chunk.rows
        keys = [column[rows[place]] for place in places]
        if None in keys:
            self.lane.cursor = places[keys.index(None)]
            event_key(self.lane, "window")  # raises, and tells why
        return cast("list[bytes]", keys)

    def _times_ms(self, chunk: Chunk, places: Sequence[int]) -> list[int]:
        if self.plan.processing or self.plan.time_of is not None:
            return [self._time_ms(chunk.values[place]) for place in places]
        column, rows = chunk.batch.timestamps_ms, chunk.rows
        return [column[rows[place]] for place in places]

    def _added_rows(self, data: bytes | None, group: Group, values: Sequence[Any]) -> list[Any]:
        """Return the aggregates' states with the rows of a group: at once where polars did it, or one by one."""
        states = [one.initial() for one in self.aggregates] if data is None else decode_states(data)
        for index, one in enumerate(self.aggregates):
            if group.partials[index] is not None:
                states[index] = one.merge(states[index], group.partials[index])
            else:
                for row in group.rows:
                    states[index] = one.add(states[index], values[row])
        return list(states)


class CountedWindows(WindowOperator):
    """Windows of so many events of a key, or of all there are."""

    def __call__(self, value: Any) -> Iterator[WindowResult]:
        """Add the event; the last one of a window closes it."""
        size = self.plan.windowing.size if isinstance(self.plan.windowing, CountWindow) else None
        key, time_ms = event_key(self.lane, "window"), event_time_ms(self.lane, self.plan.time_of, value)
        data = self.slot.get(WHOLE + key)
        count, least_ms, greatest_ms, before = _decode(data) if data is not None else (0, time_ms, time_ms, None)
        count, window = count + 1, Window(min(least_ms, time_ms), max(greatest_ms, time_ms) + 1)
        states = self.added(before, value)
        full = count == size
        self.slot.put(WHOLE + key, None if full else _encode([count, window[0], window[1] - 1, encode_states(states)]))
        if self.updates:
            yield self.result(key, window, states, final=full)
        elif full:
            self.owe(key, window, encode_states(states))


def _told_kinds(kinds: list[list[str]]) -> str:
    return ", ".join(f"{name}={kind}(…)" for name, kind in kinds)
