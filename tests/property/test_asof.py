"""As-of joins against a model that looks at each topic by itself, for any interleaving, batches and crash."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pelton.errors import ConfigurationError
from pelton.state.cache import TableCache
from pelton.state.memory import MemoryStores
from pelton.stream.lane import Lane
from pelton.stream.stream import Stream
from tests.property.test_joining import Event, Source, chunk, chunks, inputs, interleaved
from tests.unit.stream.feeding import TABLE, Effects, Feed, Program, a_cache, a_lane

unhurried = settings(deadline=None, max_examples=100)
Result = tuple[str, int | None, int | None, int]


def run(
    events: Sequence[Event], cuts: Iterable[int], tolerance_ms: int | None, grace_ms: int, cache: TableCache
) -> tuple[list[Result], Effects, Lane]:
    lane, effects = a_lane(cache)

    async def results() -> list[Result]:
        found: list[Result] = []
        stream = Stream[Any](Feed(*chunks(events, cuts)), lane, Program())
        tolerance = None if tolerance_ms is None else tolerance_ms / 1000
        async for pair in stream.asof_join(Source(), tolerance=tolerance, grace=grace_ms / 1000, late="late"):
            assert (lane.key, lane.timestamp_ms) == (pair.key, pair.time_ms)
            found.append((pair.key, *pair, pair.time_ms))
        return found

    return asyncio.run(results()), effects, lane


def in_time(events: Sequence[Event], topic: str, grace_ms: int) -> tuple[list[Event], list[Event], float]:
    """Return the events of a topic that are in time, those that are late, and how far it comes."""
    reached, kept, late = float("-inf"), [], []
    for event in (event for event in events if event.topic == topic):
        reached = max(reached, event.time_ms)
        (late if event.time_ms + grace_ms < reached else kept).append(event)
    return kept, late, reached


def model(events: Sequence[Event], tolerance_ms: int | None, grace_ms: int) -> tuple[Counter[Result], list[Event]]:
    lefts, late_lefts, _ = in_time(events, "t", grace_ms)
    rights, late_rights, right_end = in_time(events, "right", grace_ms)
    found: Counter[Result] = Counter()
    for left in lefts:
        if left.time_ms + grace_ms < right_end:
            before = [right for right in rights if right.key == left.key and right.time_ms <= left.time_ms]
            near = [one for one in before if tolerance_ms is None or one.time_ms >= left.time_ms - tolerance_ms]
            partner = max(near, key=lambda one: (one.time_ms, one.number), default=None)
            found[left.key, left.number, None if partner is None else partner.number, left.time_ms] += 1
    return found, [*late_lefts, *late_rights]


@unhurried
@example(
    events=[Event("t", "a", 9, 0), Event("right", "a", 5, 1), Event("right", "a", 9, 2), Event("right", "a", 10, 3)],
    cuts=[],
    tolerance_ms=None,
    grace_ms=0,
    picks=[],
)
@given(
    events=inputs(),
    cuts=st.lists(st.integers(0, 25), max_size=4),
    tolerance_ms=st.sampled_from([None, 0, 7, 100]),
    grace_ms=st.sampled_from([0, 5, 100]),
    picks=st.lists(st.booleans(), max_size=25),
)
def test_results_are_those_of_the_model_however_the_topics_interleave(
    events: list[Event], cuts: list[int], tolerance_ms: int | None, grace_ms: int, picks: list[bool]
) -> None:
    expected, late = model(events, tolerance_ms, grace_ms)
    for order in (events, interleaved(events, picks)):
        found, effects, lane = run(order, cuts, tolerance_ms, grace_ms, a_cache(Path("x")))
        assert Counter(found) == expected
        assert Counter(send.value for send in effects) == Counter(str(event.number).encode() for event in late)
        assert lane.late_events == len(late)


@unhurried
@given(
    events=inputs(),
    cut=st.integers(0, 24),
    lost=st.integers(0, 25),
    tolerance_ms=st.sampled_from([None, 7]),
    picks=st.lists(st.booleans(), max_size=25),
)
def test_after_a_crash_the_rest_may_come_in_another_order(
    events: list[Event], cut: int, lost: int, tolerance_ms: int | None, picks: list[bool]
) -> None:
    store = MemoryStores().open(Path("x"), 0, [TABLE])
    cache, found = TableCache(TABLE, store), []
    if events[:cut]:
        found, *_ = run(events[:cut], [], tolerance_ms, 5, cache)
        cache.take()
        store.write({TABLE: cache.committed(cut)})
        cache.stored(1_000_000)
    if events[cut : cut + lost]:
        run(events[cut : cut + lost], [], tolerance_ms, 5, cache)  # nothing of it was committed
    if events[cut:]:
        found += run(interleaved(events[cut:], picks), [], tolerance_ms, 5, TableCache(TABLE, store))[0]
    assert Counter(found) == model(events, tolerance_ms, 5)[0]


@unhurried
@given(events=inputs(), tolerance_ms=st.sampled_from([None, 7]))
def test_what_no_left_event_can_be_given_leaves_the_table(events: list[Event], tolerance_ms: int | None) -> None:
    cache = a_cache(Path("x"))
    numbers = iter(range(100, 110))
    ends = [Event(topic, "a", time_ms, next(numbers)) for time_ms in (1_000, 2_000) for topic in ("right", "t")]
    run([*events, *ends], [], tolerance_ms, 0, cache)
    keys = Counter(key[:1] for key, _ in cache.scan())
    held = {event.key for event in in_time(events, "right", 0)[0]} | {"a"}
    assert keys[b"l"] == 1  # the last one waits, for the topic may show another at 2,000
    assert keys[b"v"] == keys[b"r"] == (1 if tolerance_ms is not None else len(held))


def test_a_left_event_comes_as_soon_as_its_partner_is_certain_and_not_before() -> None:
    events = [Event("right", "a", 3, 0), Event("t", "a", 10, 1), Event("right", "b", 12, 2)]
    assert run(events, [], None, 2, a_cache(Path("x")))[0] == []
    events = [Event("right", "a", 3, 0), Event("t", "a", 10, 1), Event("right", "b", 13, 2)]
    assert run(events, [], None, 2, a_cache(Path("x")))[0] == [("a", 1, 0, 10)]


def test_in_silence_it_comes_too_where_that_was_asked_for() -> None:
    feed = Feed(chunk([Event("right", "a", 3_000, 0)]), chunk([Event("t", "a", 10_000, 1)]), None, None, None)

    async def results(**options: Any) -> list[tuple[Any, Any]]:
        stream = Stream[Any](feed, a_lane(a_cache(Path("x")))[0], Program())
        return [tuple(pair) async for pair in stream.asof_join(Source(), **options)]

    assert asyncio.run(results(idle=30)) == [(1, 0)]
    assert [timeout for timeout in feed.timeouts if timeout][:1] == [30.0]


def test_what_cannot_be_meant_is_refused() -> None:
    stream = Stream[Any](None, None, Program())
    with pytest.raises(ConfigurationError, match="0 or more"):
        stream.asof_join(Source(), tolerance=-1)
    with pytest.raises(ConfigurationError, match="0 or more"):
        stream.asof_join(Source(), idle=-1)
    with pytest.raises(ConfigurationError, match="expected a topic"):
        stream.asof_join(5)  # type: ignore[arg-type]
