"""Reading windows by key and by range of time, in order, against all windows of a model, open and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pelton.aggregate import Count, Sum
from pelton.state.cache import TableCache
from pelton.stream.lane import TableSlot
from pelton.stream.stream import Stream
from pelton.stream.window_plan import WindowResult
from pelton.stream.window_reader import WindowPlace, WindowReader
from pelton.stream.windowing import counting, unbounded
from tests.property.test_event_time import WINDOWINGS, Payment, chunks
from tests.property.test_windowing import Model as WindowModel
from tests.property.test_windowing import Payment as Paid
from tests.property.test_windowing import SlidingModel
from tests.unit.stream.feeding import TABLE, Feed, Program, a_cache, a_lane

unhurried = settings(deadline=None, max_examples=50)
events_of_one_topic = st.lists(
    st.builds(Payment, st.just("one"), st.sampled_from("ab"), st.integers(0, 60), st.integers(1, 9)),
    min_size=1,
    max_size=25,
)
Row = tuple[Any, ...]


class Places:
    """The partitions of an operator's table; the first one has all keys that begin with a, and so on."""

    def __init__(self, *places: WindowPlace) -> None:
        self._places = places

    def places(self) -> Sequence[WindowPlace]:
        return self._places

    def place(self, key: str) -> WindowPlace:
        return self._places[("ab".index(key)) % len(self._places)]

    def encode_key(self, key: str) -> bytes:
        return key.encode()

    def decode_key(self, key: bytes) -> str:
        return key.decode()


def work(events: Sequence[Payment], windowing: Any, cache: TableCache, **options: Any) -> WindowReader:
    """Let windows work events off, and return a reader of them."""
    lane, _ = a_lane(cache)
    program = Program()

    async def through() -> None:
        feed = Feed(*chunks(events, [5])) if events else Feed()
        windows = Stream[Any](feed, lane, program).window(windowing, **options)
        async for _ in windows.agg(count=Count(), total=Sum("amount")):
            pass

    asyncio.run(through())
    place: TableSlot = lane.tables[TABLE]
    return WindowReader(*program.windows, Places(place))


def rows(results: Any) -> list[Row]:
    def row(result: WindowResult) -> Row:
        return result.end_ms, result.start_ms, result.key, result["count"], result["total"], result.final

    return [row(result) for result in results]


def model_rows(events: Sequence[Payment], windowing: Any, grace_ms: int, retention_ms: int) -> list[Row]:
    model = (SlidingModel if hasattr(windowing, "before_ms") else WindowModel)(windowing, grace_ms)
    for event in events:
        model.take(Paid(event.key, event.time_ms, event.amount))
    assert model.reached is not None
    closed = [
        (window.end_ms, window.start_ms, key, count, total, True)
        for key, window, count, total in model.closed
        if window.end_ms + retention_ms > model.reached
    ]
    open_ = [
        (window.end_ms, window.start_ms, key, len(held), sum(one.amount for one in held), False)
        for (key, window), held in model.held.items()
    ]
    return sorted([*closed, *open_])


@pytest.mark.parametrize("kind", WINDOWINGS)
@unhurried
@given(
    events=events_of_one_topic,
    retention_ms=st.sampled_from([0, 10, 32, 1000]),
    start=st.one_of(st.none(), st.integers(-20, 80)),
    length=st.one_of(st.none(), st.integers(1, 40)),
)
def test_a_range_of_time_holds_the_windows_of_the_model_in_order(
    kind: str, events: list[Payment], retention_ms: int, start: int | None, length: int | None
) -> None:
    end = None if length is None else (start or 0) + length
    reader = work(events, WINDOWINGS[kind], a_cache(Path("x")), grace=0.005, retention=retention_ms / 1000)
    bounds = [None if bound is None else bound / 1000 for bound in (start, end)]
    first, behind = (-(10**9) if start is None else start), (10**9 if end is None else end)
    expected = [
        row for row in model_rows(events, WINDOWINGS[kind], 5, retention_ms) if row[0] > first and row[1] < behind
    ]
    assert rows(reader.between(*bounds)) == expected
    for key in "ab":
        assert rows(reader.of(key, *bounds)) == [row for row in expected if row[2] == key]


@unhurried
@given(events=events_of_one_topic)
def test_several_partitions_are_read_as_one(events: list[Payment]) -> None:
    parts = [[event for event in events if event.key == key] for key in "ab"]
    caches = [a_cache(Path(name)) for name in "ab"]
    readers = [work(part, WINDOWINGS["tumbling"], cache) for part, cache in zip(parts, caches, strict=True)]
    both = WindowReader(readers[0]._plan, readers[0]._aggregates, Places(*caches))
    assert rows(both.between()) == sorted(rows(readers[0].between()) + rows(readers[1].between()))
    assert rows(both.of("b")) == rows(readers[1].between())


@unhurried
@given(events=events_of_one_topic)
def test_closed_windows_are_deleted_when_they_are_past_their_retention(events: list[Payment]) -> None:
    cache = a_cache(Path("x"))
    later = [Payment("one", "a", 1_000, 1), Payment("one", "a", 2_000, 1)]
    work([*events, *later], WINDOWINGS["tumbling"], cache, retention=0.100)
    assert [key[-1:] for key, _ in cache.scan(b"d", b"e")] == []


@pytest.mark.parametrize("windowing", [counting(3), unbounded()])
@unhurried
@given(events=events_of_one_topic)
def test_windows_of_events_are_read_by_key(windowing: Any, events: list[Payment]) -> None:
    reader = work(events, windowing, a_cache(Path("x")))
    expected = []
    for key in "ab":
        mine = [event for event in events if event.key == key]
        held = mine[len(mine) - len(mine) % 3 :] if windowing == counting(3) else mine
        if held:
            times = [event.time_ms for event in held]
            total = sum(event.amount for event in held)
            expected.append((max(times) + 1, min(times), key, len(held), total, False))
    assert rows(reader.between()) == expected
    assert [row for key in "ab" for row in rows(reader.of(key))] == expected
