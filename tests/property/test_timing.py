"""Timers against a model that looks at all of them with each event, for any batches, failures, commits and crashes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pelton.batch import RecordBatch
from pelton.clock import SystemClock
from pelton.config import MIB, EngineConfig
from pelton.errors import ConfigurationError
from pelton.stream.lane import Chunk
from pelton.stream.operating import operator_slot
from pelton.stream.stream import Stream
from pelton.stream.timing import FiredTimer, TimerPlan, Timers, _Agenda
from pelton.window import window_key_prefix
from tests.unit.runtime.task_rig import TOPIC, Rig, add, agent, letters, position, sent
from tests.unit.stream.feeding import TABLE, Feed, Program, a_cache, a_lane, a_stream

TIMERS = "timers"
TURNS = 30


class Event(NamedTuple):
    """An event, and what its handling does: set a timer (again, so often after it has fired), or cancel it."""

    key: str
    time_ms: int
    name: str
    after_ms: int
    again: int
    cancel: bool


class Step(NamedTuple):
    kind: Literal["put", "bad", "commit", "crash"]
    number: int


events_ = st.lists(
    st.builds(
        Event,
        st.sampled_from(["a", "b", "cc"]),
        st.integers(0, 60),
        st.sampled_from(["x", "y"]),
        st.integers(-5, 30),
        st.integers(0, 2),
        st.booleans(),
    ),
    min_size=1,
    max_size=15,
)
scripts = st.lists(st.builds(Step, st.sampled_from(["put", "bad", "commit", "crash"]), st.integers(1, 6)), max_size=20)


def model(events: Sequence[Event], grace_ms: int) -> list[str]:
    """Return what is put out, in order."""
    timers: dict[tuple[str, str], tuple[int, int]] = {}
    out: list[str] = []

    def fire(until_ms: int) -> None:
        while due := [(at, len(key), key, name) for (key, name), (at, _) in timers.items() if at <= until_ms]:
            at, _, key, name = min(due)
            _, again = timers.pop((key, name))
            out.append(f"{key} {name} {at} {again}")
            if again:
                timers[key, name] = at + 7, again - 1

    reached = events[0].time_ms
    for number, event in enumerate(events):
        reached = max(reached, event.time_ms)
        fire(reached - grace_ms)
        out.append(str(number))
        if event.cancel:
            timers.pop((event.key, event.name), None)
        else:
            timers[event.key, event.name] = event.time_ms + event.after_ms, event.again
        fire(reached - grace_ms)
    return out


class World:
    """One partition over all its crashes."""

    def __init__(self, events: Sequence[Event], grace_ms: int, loaded_max: int = 10_000) -> None:
        self.events, self.grace_ms = events, grace_ms
        self.plan = TimerPlan(None, grace_ms, TIMERS, loaded_max)
        self.fed = self.committed = self.bad = 0
        self.out: list[str] = []
        self.rig: Rig

    async def _agent(self, stream: Any) -> Any:
        stream.program = TimerProgram()
        timers: Timers[int] = Timers(stream, self.plan)
        async for one in timers:
            add(b"count", 1)
            if self.bad:
                self.bad -= 1
                raise ValueError("the body fails")
            if isinstance(one, FiredTimer):
                yield f"{one.key} {one.name} {one.at_ms} {one.value}"
                if one.value:
                    timers.set(one.name, after=0.007, value=one.value - 1)
                continue
            event = self.events[one]
            yield str(one)
            if event.cancel:
                timers.cancel(event.name)
            else:
                timers.set(event.name, after=event.after_ms / 1000, value=event.again)
                assert timers.get(event.name) == event.time_ms + event.after_ms

    def start(self, before: Rig | None) -> None:
        spec = agent(self._agent)
        self.rig = Rig(spec, starts={spec.name: self.committed}, retries=50, tables=[TIMERS], before=before)
        for task in self.rig.tasks:
            task.start()

    def put(self, count: int) -> None:
        rows = range(self.fed, min(self.fed + count, len(self.events)))
        if rows:
            events = [self.events[row] for row in rows]
            keys, times = [event.key.encode() for event in events], [event.time_ms for event in events]
            self.rig.put(RecordBatch(TOPIC, 0, rows, times, keys, [b"%d" % row for row in rows], rows.stop))
            self.fed = rows.stop

    def commit(self) -> None:
        staged = self.rig.partition.stage(0)
        if staged is not None:
            self.rig.store(staged)
            self.out += [(value or b"").decode() for value in sent(staged)]
            self.committed = position(staged).offset

    async def settle(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        await self.rig.until(lambda: self.rig.partition.idle)

    async def play(self, script: Sequence[Step]) -> None:
        self.start(None)
        try:
            for kind, number in script:
                if kind == "put":
                    self.put(number)
                elif kind == "bad":
                    self.bad = 1
                elif kind == "commit":
                    self.commit()
                else:
                    for task in self.rig.tasks:
                        await task.cancel()
                    self.fed = self.committed
                    self.start(self.rig)
                await self.settle()
            self.put(len(self.events))
            await self.settle()
            self.commit()
        finally:
            for task in self.rig.tasks:
                await task.cancel()


class TimerProgram(Program):
    def operator_table(self, stream: Any, name: str) -> str:
        return TIMERS


@settings(deadline=None, max_examples=100)
@example(events=[Event("a", 0, "x", 5, 2, False), Event("a", 40, "x", 5, 0, True)], script=[Step("bad", 1)], grace_ms=0)
@given(events=events_, script=scripts, grace_ms=st.sampled_from([0, 10]))
def test_timers_fire_once_and_in_order(events: list[Event], script: list[Step], grace_ms: int) -> None:
    world = World(events, grace_ms)
    asyncio.run(world.play(script))
    expected = model(events, grace_ms)
    assert world.out == expected
    sums = dict(world.rig.partition.store.scan("sums"))
    assert sums[b"count"] == b"%d" % len(expected)


TOPICS = ("one", "two")


class Ordered(NamedTuple):
    """An event of one of several topics, each in order, that sets or cancels a timer of its topic's."""

    topic: str
    key: str
    time_ms: int
    name: str
    after_ms: int
    cancel: bool


@st.composite
def ordered_events(draw: st.DrawFn) -> list[Ordered]:
    drawn = draw(
        st.lists(
            st.tuples(
                st.sampled_from(TOPICS),
                st.sampled_from("ab"),
                st.integers(0, 9),
                st.sampled_from("xy"),
                st.integers(1, 30),
                st.booleans(),
            ),
            min_size=1,
            max_size=20,
        )
    )
    reached = dict.fromkeys(TOPICS, 0)
    events: list[Ordered] = []
    for topic, key, later, name, after_ms, cancel in drawn:
        reached[topic] += later
        events.append(Ordered(topic, key, reached[topic], f"{topic} {name}", after_ms, cancel))
    return events


def fired_of(events: Sequence[Ordered], cuts: Sequence[int], grace_ms: int) -> Counter[str]:
    """Return the timers that fire; after a cut a new lane goes on over the same table."""
    cache, fired = a_cache(Path("x")), Counter[str]()

    async def through(part: Sequence[Ordered]) -> None:
        lane, _ = a_lane(cache)
        lane.topics = frozenset(TOPICS)
        chunks = [
            Chunk(
                RecordBatch(event.topic, 0, (0,), [event.time_ms], [event.key.encode()], [b""], 1),
                (0,),
                [event],
                bytes.decode,
                1,
            )
            for event in part
        ]
        timers: Timers[Any] = Timers(Stream[Any](Feed(*chunks), lane, Program()), TimerPlan(None, grace_ms, TABLE))
        async for one in timers:
            if isinstance(one, FiredTimer):
                fired[f"{one.key} {one.name} {one.at_ms}"] += 1
            elif one.cancel:
                timers.cancel(one.name)
            else:
                timers.set(one.name, after=one.after_ms / 1000)

    edges = [0, *sorted({cut % len(events) for cut in cuts} - {0}), len(events)]
    for start, end in pairwise(edges):
        asyncio.run(through(events[start:end]))
    return fired


@settings(deadline=None, max_examples=100)
@example(
    events=[
        Ordered("one", "a", 0, "one x", 60, False),
        Ordered("two", "a", 1_000, "two x", 1, True),
        Ordered("one", "a", 50, "one x", 1, True),
        Ordered("one", "a", 1_000, "one y", 1, True),
    ],
    picks=[],
    cuts=[],
    grace_ms=0,
)
@given(
    events=ordered_events(),
    picks=st.lists(st.booleans(), max_size=20),
    cuts=st.lists(st.integers(0, 20), max_size=3),
    grace_ms=st.sampled_from([0, 10]),
)
def test_timers_of_several_topics_fire_by_the_one_behind_however_they_interleave(
    events: list[Ordered], picks: list[bool], cuts: list[int], grace_ms: int
) -> None:
    by_topic = {topic: [event for event in events if event.topic == topic] for topic in TOPICS}
    expected = Counter[str]()
    if all(by_topic.values()):
        passed_ms = min(mine[-1].time_ms for mine in by_topic.values()) - grace_ms
        for mine in by_topic.values():
            alone = [Event(one.key, one.time_ms, one.name, one.after_ms, 0, one.cancel) for one in mine]
            lines = [line for line in model(alone, grace_ms) if " " in line]
            expected += Counter(line[:-2] for line in lines if int(line.split()[3]) <= passed_ms)
    order: list[Ordered] = []
    rest = {topic: list(mine) for topic, mine in by_topic.items()}
    for pick in picks:
        order += rest[TOPICS[pick]][:1]
        del rest[TOPICS[pick]][:1]
    for one in (events, [*order, *rest["two"], *rest["one"]]):
        assert fired_of(one, cuts, grace_ms) == expected


async def test_more_timers_than_fit_into_memory_fire_in_order() -> None:
    events = [Event(f"k{number}", 0, "x", 100 - number, 0, False) for number in range(20)]
    events.append(Event("z", 1_000, "x", 5, 0, False))
    world = World(events, 0, loaded_max=3)
    await world.play([Step("put", 10), Step("commit", 0), Step("crash", 0)])
    assert world.out == model(events, 0)


@pytest.mark.parametrize("span_ms", [0, 7, 1_000])
async def test_timers_that_are_moved_all_the_time_take_no_more_memory_than_others(span_ms: int, tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    slot = operator_slot(a_lane(cache)[0], TABLE)
    agenda = _Agenda(slot, b"e", 4)
    timers: dict[int, tuple[int, bytes]] = {}
    for number in range(300):  # those of ten keys, each moved thirty times, now earlier, now later
        at_ms = number * 37 % (span_ms + 1)
        row = b"e" + window_key_prefix(at_ms) + b"%d" % (number % 10)
        if number % 10 in timers:
            slot.put(timers[number % 10][1], None)
        slot.put(row, b"")
        timers[number % 10] = at_ms, row
        agenda.add(at_ms, row)
        assert len(agenda) <= 2 * 4
        assert agenda.next_ms() == min(timers.values())[0]
    fired: list[bytes] = []
    while (due := agenda.due(span_ms)) is not None:
        slot.put(due, None)
        fired.append(due)
    assert fired == [row for _, row in sorted(timers.values())]


async def test_a_timer_that_always_fails_is_dead_lettered_and_holds_nothing_up() -> None:
    async def function(stream: Any) -> Any:
        stream.program = TimerProgram()
        timers = stream.timers()
        async for one in timers:
            if isinstance(one, FiredTimer):
                add(b"never", 1)
                raise ValueError("cannot")
            timers.set("late", after=0.001, value={"why": one})
            yield one

    rig = Rig(agent(function), tables=[TIMERS], retries=2)
    for task in rig.tasks:
        task.start()
    try:
        rig.put(RecordBatch(TOPIC, 0, range(2), [1, 5], [b"a", b"b"], [b"1", b"2"], 2))
        await rig.idle()
        staged = rig.take()
        assert sent(staged) == [b"1", b"2"]
        (letter,) = [message for message in staged.sends if message.topic == "letters"]
        assert (letter.key, letter.timestamp_ms, len(letters(staged))) == (b"a", 2, 1)
        assert dict(letter.headers)["pelton-dlq-attempts"] == b"3"
        assert b"never" not in dict(rig.partition.store.scan("sums"))
        assert [key[:1] for key, _ in rig.partition.store.scan(TIMERS)] == [b"e", b"n", b"t"], "that of b is left"
    finally:
        for task in rig.tasks:
            await task.cancel()


async def test_many_timers_that_are_due_at_once_wait_for_commits() -> None:
    async def function(stream: Any) -> Any:
        stream.program = TimerProgram()
        timers = stream.timers()
        async for one in timers:
            if isinstance(one, FiredTimer):
                yield "x" * (MIB // 4)
            else:
                timers.set(after=0.1)

    rig = Rig(agent(function), tables=[TIMERS])
    task = rig.tasks[0]
    task.start()
    try:
        count, most, out = 600, 0, 0
        keys = [b"%d" % number for number in range(count)]
        rig.put(RecordBatch(TOPIC, 0, range(count), [1] * count, keys, [b"1"] * count, count))
        await rig.idle()
        rig.take()
        rig.put(RecordBatch(TOPIC, 0, range(count, count + 1), [1_000], [b"z"], [b"1"], count + 1))
        while out < count:
            await rig.until(lambda: rig.partition.idle or task.options.pressure.full())
            most = max(most, rig.partition.staged_bytes)
            out += len(sent(rig.take()))
            task.options.pressure.taken()
        assert most < EngineConfig().commit_bytes_max + 64 * MIB // 2, "it is asked every 64 timers"
    finally:
        await task.cancel()


class Clock(SystemClock):
    """A wall clock that stands where it is put; the loop's time goes on."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def time_ms(self) -> int:
        return self.now_ms


async def test_timers_of_the_wall_clock_fire_without_any_event_and_once() -> None:
    clock = Clock()
    fired: list[FiredTimer] = []

    async def function(stream: Any) -> Any:
        stream.program = TimerProgram()
        timers = stream.timers()
        async for one in timers:
            if isinstance(one, FiredTimer):
                fired.append(one)
                yield one.name
            else:
                timers.set("soon", after=60, clock="wall")
                timers.set("later", at=clock.now_ms / 1000 + 90, clock="wall", value=one)

    def start(before: Rig | None, at: int) -> Rig:
        rig = Rig(agent(function), tables=[TIMERS], before=before, starts={"agent": at}, clock=clock)
        for task in rig.tasks:
            task.start()
        return rig

    rig = start(None, 0)
    await rig.done(RecordBatch(TOPIC, 0, range(1), [5], [b"a"], [b"7"], 1))
    assert fired == []
    for task in rig.tasks:
        await task.cancel()
    clock.now_ms += 60_000
    rig = start(rig, 1)
    await rig.until(lambda: fired)
    await rig.idle()
    staged = rig.take()
    assert sent(staged) == [b"soon"]
    assert position(staged).offset == 1
    assert fired == [FiredTimer("a", "soon", 1_060_000, None, "wall")]
    for task in rig.tasks:
        await task.cancel()
    clock.now_ms += 60_000
    rig = start(rig, 1)
    await rig.until(lambda: len(fired) > 1)
    await rig.idle()
    assert sent(rig.take()) == [b"later"]
    assert fired[1:] == [FiredTimer("a", "later", 1_090_000, 7, "wall")]
    for task in rig.tasks:
        await task.cancel()


def test_what_makes_no_sense_is_refused() -> None:
    stream = a_stream()[0]
    with pytest.raises(ConfigurationError, match="grace of 0 or more"):
        stream.timers(grace=-1)
    timers: Timers[Any] = stream.timers()
    with pytest.raises(ConfigurationError, match="no event is at hand"):
        timers.set(after=1)
