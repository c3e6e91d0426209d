"""Results that are no event's own, in a task: each is complete, fails and is dead-lettered by itself, whatever happens.

The agent's code fails on some of them always, and on anything now and then; batches, commits and crashes come between
any two results. What comes out, with what is dead-lettered, are the results of the models.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pelton.aggregate import Count, Sum
from pelton.batch import RecordBatch, TopicPartition
from pelton.codec import codec_for
from pelton.log.contract import TopicSpec
from pelton.runtime.spec import SourceSpec
from pelton.stream.joining import JoinInput
from pelton.stream.joins import JoinSources
from pelton.stream.lane import Send
from pelton.stream.stream import Stream
from pelton.stream.windowing import counting, hopping, session, sliding, tumbling
from tests.property import test_asof, test_joining, test_windowing
from tests.unit.runtime.task_rig import LETTERS, TOPIC, Rig, agent, lane
from tests.unit.stream.feeding import TABLE, Program

RIGHT = "right"
TURNS = 25
unhurried = settings(deadline=None, max_examples=30)


class Step(NamedTuple):
    kind: Literal["put", "bad", "commit", "crash", "pause", "turns"]
    number: int


scripts = st.lists(
    st.builds(Step, st.sampled_from(["put", "bad", "commit", "crash", "pause", "turns"]), st.integers(1, 6)),
    max_size=20,
)
poisons = st.sets(st.integers(0, 3))


@dataclass
class Event:
    """A record. number: its place among those of its topic, and its value."""

    topic: str
    key: str
    time_ms: int
    number: int


Result = tuple[Any, ...]


class TaskProgram(Program):
    """What the streams of a task's agent ask of the program around them: the table of results, and both topics."""

    def join_sources(self, stream: Stream[Any], other: Any, name: str, on: Any) -> JoinSources[Any]:
        sides = [JoinInput(frozenset([topic]), msgspec.json.decode, msgspec.json.encode) for topic in (TOPIC, RIGHT)]
        return JoinSources(stream, *sides, TABLE)


class World:
    """One partition over all its crashes.

    results: what the agent iterates, as lists of results. poisoned: whether the code fails on a result each time.
    """

    def __init__(
        self,
        events: Sequence[Event],
        results: Callable[[Stream[Any]], Any],
        poisoned: Callable[[Result], bool],
    ) -> None:
        self.events, self.results, self.poisoned = events, results, poisoned
        self.fed = self.bad = 0
        self.committed = {TOPIC: 0, RIGHT: 0}
        self.out: list[Result] = []
        self.letters: list[Send] = []
        self.rig: Rig

    async def _agent(self, stream: Any) -> Any:
        stream.program = TaskProgram()
        async for found in self.results(stream):
            if self.bad:
                self.bad -= 1
                raise ValueError("the body fails")
            await asyncio.sleep(0)  # a commit may come now
            if lane().apart is not None and any(map(self.poisoned, found)):
                raise ValueError("it always fails on that")
            for one in found:
                yield repr(one)

    def start(self, before: Rig | None) -> None:
        spec = agent(self._agent)
        right = SourceSpec(TopicSpec(RIGHT, 1), codec_for(str, role="key"), codec_for(int))
        spec = replace(spec, sources={**spec.sources, RIGHT: right})
        starts, also = {spec.name: self.committed[TOPIC]}, {TopicPartition(RIGHT, 0): self.committed[RIGHT]}
        only_one = all(event.topic == TOPIC for event in self.events)
        self.rig = Rig(spec, starts=starts, retries=7, tables=[TABLE], before=before, also=None if only_one else also)
        for task in self.rig.tasks:
            task.start()

    def put(self, count: int) -> None:
        part = self.events[self.fed : self.fed + count]
        for event in part:
            times, keys, values = [event.time_ms], [event.key.encode()], [b"%d" % event.number]
            numbers = range(event.number, event.number + 1)
            self.rig.put(RecordBatch(event.topic, 0, numbers, times, list(keys), list(values), event.number + 1))
        self.fed += len(part)

    def commit(self) -> None:
        staged = self.rig.partition.stage(0)
        if staged is not None:
            self.rig.store(staged)
            self.out += [eval(send.value or b"") for send in staged.sends if send.topic == "out"]
            self.letters += [send for send in staged.sends if send.topic == LETTERS]
            self.committed |= {source.topic: at.offset for source, at in staged.positions.items()}

    def _undone(self) -> int:
        """Return how many events come before the first one that a crash brings back; the order stays the same."""
        taken = [event.number < self.committed[event.topic] for event in self.events]
        return taken.index(False) if False in taken else len(taken)

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
                elif kind == "turns":
                    for _ in range(number):
                        await asyncio.sleep(0)
                elif kind == "commit":
                    self.commit()
                elif kind == "pause":
                    await self.settle()
                    for task in self.rig.tasks:
                        task.pause()
                        task.resume()
                else:
                    for task in self.rig.tasks:
                        await task.cancel()
                    self.fed = self._undone()
                    self.start(self.rig)
            self.put(len(self.events))
            await self.settle()
            self.commit()
        finally:
            for task in self.rig.tasks:
                await task.cancel()

    def named(self) -> list[str]:
        """Return what the dead letters say that they are; all of them do."""
        return [dict(letter.headers)["pelton-dlq-result"].decode() for letter in self.letters]  # type: ignore[union-attr]


WINDOWINGS = {
    "tumbling": tumbling(0.010),
    "hopping": hopping(0.020, 0.007),
    "session": session(0.006),
    "sliding": sliding(0.008),
    "events": counting(2),
}
payments = st.lists(
    st.builds(test_windowing.Payment, st.sampled_from("ab"), st.integers(0, 60), st.integers(1, 9)),
    min_size=1,
    max_size=20,
)


def window_model(kind: str, payments: Sequence[test_windowing.Payment]) -> list[Result]:
    windowing = WINDOWINGS[kind]
    if kind == "events":
        found: list[Result] = []
        for index, payment in enumerate(payments):
            mine = [one for one in payments[: index + 1] if one.key == payment.key]
            if len(mine) % 2 == 0:
                times = [one.time_ms for one in mine[-2:]]
                found.append((payment.key, min(times), max(times) + 1, 2, sum(one.amount for one in mine[-2:])))
        return found
    model = (test_windowing.SlidingModel if kind == "sliding" else test_windowing.Model)(windowing, 5)
    for payment in payments:
        model.take(payment)
    return [(key, *window, count, total) for key, window, count, total in model.closed]


@pytest.mark.parametrize("by", ["one", "frame"])
@pytest.mark.parametrize("kind", WINDOWINGS)
@unhurried
@example(
    payments=[test_windowing.Payment("a", time_ms, 1) for time_ms in (0, 15, 30, 59)],
    script=[Step("put", 3), Step("turns", 6), Step("commit", 1), Step("crash", 1)],
    poison={1, 2},
)
@given(payments=payments, script=scripts, poison=poisons)
def test_final_results_of_windows(
    kind: str, by: str, payments: list[test_windowing.Payment], script: list[Step], poison: set[int]
) -> None:
    async def results(stream: Stream[Any]) -> Any:
        grace: dict[str, Any] = {} if kind == "events" else {"grace": 0.005}
        amount = Sum(lambda number: payments[number].amount)
        windows = stream.window(WINDOWINGS[kind], **grace).agg(count=Count(), total=amount)
        if by == "frame":
            async for frame in windows.batches(final=True):
                yield frame.rows()
        else:
            async for one in windows.on_close():
                assert (lane().key, lane().timestamp_ms) == (one.key, one.end_ms - 1)
                yield [(one.key, one.start_ms, one.end_ms, one["count"], one["total"])]

    def poisoned(result: Result) -> bool:
        return result[4] % 4 in poison

    events = [Event(TOPIC, one.key, one.time_ms, number) for number, one in enumerate(payments)]
    world = World(events, results, poisoned)
    asyncio.run(world.play(script))
    expected = window_model(kind, payments)
    fine = [one for one in expected if not poisoned(one)]
    assert (world.out if by == "one" else sorted(world.out)) == (fine if by == "one" else sorted(fine))
    told = [msgspec.json.decode(letter.value or b"") for letter in world.letters]
    lettered = [(one["key"], one["start_ms"], one["end_ms"], *one["values"].values()) for one in told]
    assert sorted(lettered) == sorted(one for one in expected if poisoned(one))
    assert all(name.startswith(f"final result of {TABLE} from ") for name in world.named())
    assert [key for key, _ in world.rig.partition.store.scan(TABLE, b"z", b"{")] == []


def as_events(drawn: Sequence[test_joining.Event]) -> list[Event]:
    """Return events as records, numbered within their topics."""
    counts = Counter[str]()
    events: list[Event] = []
    for one in drawn:
        events.append(Event(TOPIC if one.topic == "t" else RIGHT, one.key, one.time_ms, counts[one.topic]))
        counts[one.topic] += 1
    return events


@pytest.mark.parametrize("kind", ["left_join", "outer_join", "asof_join"])
@unhurried
@given(drawn=test_joining.inputs(), script=scripts, poison=poisons)
def test_what_joins_owe(kind: str, drawn: list[test_joining.Event], script: list[Step], poison: set[int]) -> None:
    events = as_events(drawn)
    numbers = {(event.topic, event.number): one.number for event, one in zip(events, drawn, strict=True)}

    async def results(stream: Stream[Any]) -> Any:
        within: dict[str, Any] = {} if kind == "asof_join" else {"within": 0.005}
        async for left, right in getattr(stream, kind)(test_joining.Source(), grace=0.005, **within):
            yield [(lane().key, numbers.get((TOPIC, left)), numbers.get((RIGHT, right)), lane().timestamp_ms)]

    def poisoned(result: Result) -> bool:
        return (result[1] if result[1] is not None else result[2]) % 4 in poison

    world = World(events, results, poisoned)
    asyncio.run(world.play(script))
    if kind == "asof_join":
        expected = test_asof.model(drawn, None, 5)[0]
    else:
        expected = test_joining.Model(kind, (5, 5), 5).results(drawn)
    missing = expected - Counter(world.out)
    assert not Counter(world.out) - expected
    assert all(map(poisoned, missing))
    lettered = [(letter.key, letter.value, letter.timestamp_ms) for letter in world.letters]
    left_or_right = {one: (TOPIC, one[1]) if one[1] is not None else (RIGHT, one[2]) for one in missing}
    places = {(topic, number): place for (topic, place), number in numbers.items()}
    assert Counter(lettered) == Counter(
        {(one[0].encode(), b"%d" % places[left_or_right[one]], one[3]): count for one, count in missing.items()}
    )
    assert all(" event of table at 19" in name for name in world.named())
