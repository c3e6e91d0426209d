"""Joins of streams against a model that looks at each topic by itself, for any interleaving, batches and restart."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pelton.batch import RecordBatch
from pelton.errors import ConfigurationError, UserCodeError
from pelton.state.cache import TableCache
from pelton.state.memory import MemoryStores
from pelton.stream.joining import Joined
from pelton.stream.lane import Chunk, Lane
from pelton.stream.stream import Stream
from tests.unit.stream.feeding import TABLE, Effects, Feed, Program, a_cache, a_lane

unhurried = settings(deadline=None, max_examples=50)
BOUNDS = {"around": (5, 5), "same time": (0, 0), "only later": (0, 9), "a gap": (-3, 12), "long": (40, 20)}
KINDS = ("join", "left_join", "outer_join")


class Source:
    """A topic, as far as a join is concerned."""

    value_type: type[int] | None = int

    def __init__(self, *topics: str) -> None:
        self.topics = topics or ("right",)


class Event(NamedTuple):
    topic: str
    key: str
    time_ms: int
    number: int


@st.composite
def inputs(draw: st.DrawFn) -> list[Event]:
    """Events of both topics, in the order in which a task is given them."""
    drawn = draw(
        st.lists(
            st.tuples(st.sampled_from(["t", "right"]), st.sampled_from("ab"), st.integers(-5, 60)),
            min_size=1,
            max_size=25,
        )
    )
    return [Event(*fields, number) for number, fields in enumerate(drawn)]


def interleaved(events: Sequence[Event], picks: Sequence[bool]) -> list[Event]:
    """Return the events in another order, the same within each topic."""
    rest = {topic: [event for event in events if event.topic == topic] for topic in ("t", "right")}
    order: list[Event] = []
    for pick in picks:
        order += rest["t" if pick else "right"][:1]
        del rest["t" if pick else "right"][:1]
    return [*order, *rest["right"], *rest["t"]]


def chunk(events: Sequence[Event]) -> Chunk:
    batch = RecordBatch(
        topic=events[0].topic,
        partition=0,
        offsets=range(len(events)),
        timestamps_ms=[event.time_ms for event in events],
        keys=[event.key.encode() if event.key else None for event in events],
        values=[str(event.number).encode() for event in events],
        next_offset=len(events),
    )
    return Chunk(batch, range(len(events)), [event.number for event in events], bytes.decode, batch.next_offset)


def chunks(events: Sequence[Event], cuts: Iterable[int]) -> list[Chunk]:
    edges = [0, *sorted({cut % len(events) for cut in cuts} - {0}), len(events)]
    parts = [events[start:end] for start, end in pairwise(edges)]
    return [chunk(list(run)) for part in parts for _, run in groupby(part, key=lambda event: event.topic)]


Result = tuple[str, int | None, int | None, int]


async def results(stream: Stream[Any], kind: str, bounds: tuple[int, int], grace_ms: int, into: list[Result]) -> None:
    lane = stream.bound()[1]
    within = (bounds[0] / 1000, bounds[1] / 1000)
    joined = getattr(stream, kind)(Source(), within=within, grace=grace_ms / 1000, late="late")
    async for pair in joined:
        assert lane.key == pair.key
        assert lane.timestamp_ms == pair.time_ms
        into.append((pair.key, *pair, pair.time_ms))


def run(
    events: Sequence[Event],
    cuts: Iterable[int],
    kind: str,
    bounds: tuple[int, int],
    grace_ms: int,
    cache: TableCache,
    prepare: Callable[[Stream[Any]], object] = lambda stream: None,
) -> tuple[list[Result], Effects, Lane]:
    lane, effects = a_lane(cache)
    into: list[Result] = []
    stream = Stream[Any](Feed(*chunks(events, cuts)), lane, Program())
    prepare(stream)
    asyncio.run(results(stream, kind, bounds, grace_ms, into))
    return into, effects, lane


class Model:
    """Each topic by itself first: what is late, and how far it comes. Then all pairs, then what stands alone."""

    def __init__(self, kind: str, bounds: tuple[int, int], grace_ms: int) -> None:
        self.kind, (self.before, self.after), self.grace = kind, bounds, grace_ms
        self.late: list[int] = []

    def results(self, events: Sequence[Event]) -> Counter[Result]:
        lefts, left_end = self.in_time([event for event in events if event.topic == "t"])
        rights, right_end = self.in_time([event for event in events if event.topic == "right"])
        pairs = [(left, right) for left in lefts for right in rights if self.belong(left, right)]
        found = [(l.key, l.number, r.number, max(l.time_ms, r.time_ms)) for l, r in pairs]  # noqa: E741
        paired = {event.number for pair in pairs for event in pair}
        alone = [event for event in (*lefts, *rights) if event.number not in paired]
        for event in alone:
            if event.topic == "t" and self.kind != "join" and self.deadline(event) < right_end:
                found.append((event.key, event.number, None, event.time_ms))
            if event.topic == "right" and self.kind == "outer_join" and self.deadline(event) < left_end:
                found.append((event.key, None, event.number, event.time_ms))
        return Counter(found)

    def deadline(self, event: Event) -> int:
        return event.time_ms + (self.after if event.topic == "t" else self.before) + self.grace

    def in_time(self, events: Sequence[Event]) -> tuple[list[Event], float]:
        reached, kept = float("-inf"), []
        for event in events:
            reached = max(reached, event.time_ms)
            if event.time_ms + self.grace < reached:
                self.late.append(event.number)
            else:
                kept.append(event)
        return kept, reached

    def belong(self, left: Event, right: Event) -> bool:
        return left.key == right.key and left.time_ms - self.before <= right.time_ms <= left.time_ms + self.after


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bounds", BOUNDS)
@unhurried
@example(events=[Event("t", "a", 0, 0), Event("right", "a", 60, 1)], cuts=[], grace_ms=0, picks=[])
@given(
    events=inputs(),
    cuts=st.lists(st.integers(0, 25), max_size=4),
    grace_ms=st.sampled_from([0, 5, 100]),
    picks=st.lists(st.booleans(), max_size=25),
)
def test_results_are_those_of_the_model_however_the_topics_interleave(
    kind: str, bounds: str, events: list[Event], cuts: list[int], grace_ms: int, picks: list[bool]
) -> None:
    model = Model(kind, BOUNDS[bounds], grace_ms)
    expected = model.results(events)
    for order in (events, interleaved(events, picks)):
        found, effects, lane = run(order, cuts, kind, BOUNDS[bounds], grace_ms, a_cache(Path("x")))
        assert Counter(found) == expected
        assert Counter(send.value for send in effects) == Counter(str(number).encode() for number in model.late)
        assert lane.late_events == len(model.late)


@pytest.mark.parametrize("kind", KINDS)
@unhurried
@given(events=inputs(), cut=st.integers(1, 24), grace_ms=st.sampled_from([0, 5]))
def test_a_new_lane_over_the_same_table_goes_on_as_if_nothing_had_happened(
    kind: str, events: list[Event], cut: int, grace_ms: int
) -> None:
    whole, *_ = run(events, [], kind, (5, 5), grace_ms, a_cache(Path("x")))
    cache, parts = a_cache(Path("y")), []
    for part in (events[:cut], events[cut:]):
        if part:
            found, *_ = run(part, [], kind, (5, 5), grace_ms, cache)
            parts += found
    assert Counter(parts) == Counter(whole)


@pytest.mark.parametrize("kind", KINDS)
@unhurried
@given(
    events=inputs(),
    cut=st.integers(0, 24),
    lost=st.integers(0, 25),
    grace_ms=st.sampled_from([0, 5]),
    picks=st.lists(st.booleans(), max_size=25),
)
def test_after_a_crash_the_rest_may_come_in_another_order(
    kind: str, events: list[Event], cut: int, lost: int, grace_ms: int, picks: list[bool]
) -> None:
    store = MemoryStores().open(Path("x"), 0, [TABLE])
    cache, found = TableCache(TABLE, store), []
    if events[:cut]:
        found, *_ = run(events[:cut], [], kind, (5, 5), grace_ms, cache)
        cache.take()
        store.write({TABLE: cache.committed(cut)})
        cache.stored(1_000_000)
    if events[cut : cut + lost]:
        run(events[cut : cut + lost], [], kind, (5, 5), grace_ms, cache)  # nothing of it was committed
    if events[cut:]:
        rest, *_ = run(interleaved(events[cut:], picks), [], kind, (5, 5), grace_ms, TableCache(TABLE, store))
        found += rest
    assert Counter(found) == Model(kind, (5, 5), grace_ms).results(events)


@pytest.mark.parametrize("kind", KINDS)
def test_events_that_are_spent_leave_nothing_in_the_table(kind: str) -> None:
    cache = a_cache(Path("x"))
    events = [Event("t", "a", 1, 0), Event("right", "a", 2, 1), Event("t", "b", 3, 2), Event("right", "b", 30, 3)]
    run([*events, Event("t", "c", 1_000, 4), Event("right", "c", 1_000, 5)], [], kind, (5, 5), 0, cache)
    assert [key[-1:] for key, _ in cache.scan(b"l", b"s")] == [b"c", b"c"]


def test_a_left_event_stands_alone_as_soon_as_no_partner_can_come_and_not_before() -> None:
    events = [Event("t", "a", 10, 0), Event("right", "b", 22, 1)]
    assert run(events, [], "left_join", (5, 10), 2, a_cache(Path("x")))[0] == []
    events = [Event("t", "a", 10, 0), Event("right", "b", 23, 1)]
    assert run(events, [], "left_join", (5, 10), 2, a_cache(Path("x")))[0] == [("a", 0, None, 10)]


def test_a_side_of_several_topics_has_come_as_far_as_the_one_behind() -> None:
    async def alone(*events: Event) -> list[Joined[Any, Any]]:
        stream = Stream[Any](Feed(*chunks(events, [])), a_lane(a_cache(Path("x")))[0], Program())
        return [pair async for pair in stream.left_join(Source("right", "also"), within=0.005)]

    events = [Event("t", "a", 0, 0), Event("right", "b", 90, 1), Event("also", "b", 5, 2)]
    assert asyncio.run(alone(*events[:2])) == []
    assert asyncio.run(alone(*events)) == []
    assert asyncio.run(alone(*events, Event("also", "b", 6, 3))) == [(0, None)]


def test_code_that_leaves_at_a_result_is_at_the_next_event_then() -> None:
    events = [Event("right", "a", 0, 1), Event("right", "b", 100, 2)]
    events += [Event("t", "a", 0, 3), Event("t", "a", 0, 4), Event("t", "c", 0, 5)]

    async def leave() -> list[tuple[Any, Any]]:
        stream = Stream[Any](Feed(*chunks(events, [])), a_lane(a_cache(Path("x")))[0], Program())
        feed, lane = stream.bound()
        async for pair in stream.join(Source(), within=0):
            if pair.left == 4:
                break
        lane.leave()
        (left,) = lane.left
        assert isinstance(feed, Feed)
        feed.chunks.append(left)
        return [item async for item in stream.items()]

    assert asyncio.run(leave()) == [("c", 5)]


def test_processors_are_for_the_left_side_and_what_they_make_waits() -> None:
    def tenfold(stream: Stream[Any]) -> None:
        stream.filter(lambda number: number != 1).add_processor(lambda number: number * 10)

    events = [Event("t", "a", 0, 1), Event("t", "a", 0, 2), Event("right", "a", 0, 3)]
    found, *_ = run(events, [], "join", (0, 0), 0, a_cache(Path("x")), tenfold)
    assert found == [("a", 20, 3, 0)]


def test_an_event_without_a_key_is_told() -> None:
    with pytest.raises(UserCodeError, match="a join needs a key"):
        run([Event("t", "", 1, 5)], [], "join", (0, 0), 0, a_cache(Path("x")))


def test_each_way_to_write_a_join_is_the_same_join() -> None:
    events = [Event("t", "a", 0, 1), Event("right", "a", 0, 2), Event("right", "a", 7, 3)]

    async def collect(write: Callable[[Stream[Any]], Any]) -> list[Joined[Any, Any]]:
        stream = Stream[Any](Feed(*chunks(events, [])), a_lane(a_cache(Path("x")))[0], Program())
        return [pair async for pair in write(stream)]

    for write in (
        lambda stream: stream.join(Source(), within=0.007),
        lambda stream: stream.inner_join(Source(), within=(0, 0.007)),
        lambda stream: (stream & Source()).join(within=0.007),
        lambda stream: stream.combine(Source()).inner_join(within=0.007),
        lambda stream: stream.outer_join(Source(), within=0.007, time=None),
    ):
        found = asyncio.run(collect(write))
        assert [(pair.left, pair.right) for pair in found] == [(1, 2), (1, 3)]


def test_what_cannot_be_meant_is_refused() -> None:
    stream = Stream[Any](None, None, Program())
    with pytest.raises(ConfigurationError, match="bound of time"):
        stream.join(Source())  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="nothing is within"):
        stream.join(Source(), within=(5, -6))
    with pytest.raises(ConfigurationError, match="grace"):
        stream.join(Source(), within=5, grace=-1)
    with pytest.raises(ConfigurationError, match="one or two"):
        stream.join(Source(), within=5, time=("a", "b", "c"))
    with pytest.raises(ConfigurationError, match="expected a topic"):
        stream & 5  # type: ignore[operator]
    with pytest.raises(ConfigurationError, match="topic or a table"):
        stream.join(5)  # type: ignore[call-overload]
