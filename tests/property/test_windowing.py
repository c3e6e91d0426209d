"""The windows of a stream against a model that holds all events at once, for any batches and any point of failure."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pelton.aggregate import Count, Max, Min, Sum
from pelton.batch import RecordBatch
from pelton.errors import ConfigurationError, UserCodeError
from pelton.state.cache import TableCache
from pelton.state.memory import MemoryStores
from pelton.stream.event_windows import Sessions
from pelton.stream.lane import Chunk, Lane
from pelton.stream.stream import Stream
from pelton.stream.window_plan import WindowResult
from pelton.stream.windowing import counting, hopping, session, sliding, tumbling, window_plan
from pelton.window import Window
from tests.unit.stream.feeding import TABLE, Effects, Feed, Program, a_cache, a_lane

WINDOWINGS = {
    "tumbling": tumbling(0.010),
    "hopping": hopping(0.020, 0.007),
    "gaps": hopping(0.005, 0.008),
    "session": session(0.006),
    "sliding": sliding(0.008),
    "same time": sliding(0),
}
unhurried = settings(deadline=None)


class Payment(NamedTuple):
    key: str
    time_ms: int
    amount: int


payments = st.lists(
    st.builds(Payment, st.sampled_from("ab"), st.integers(0, 60), st.integers(1, 9)), min_size=1, max_size=25
)


def chunk(events: Sequence[Payment], offset: int) -> Chunk:
    batch = RecordBatch(
        topic="t",
        partition=0,
        offsets=range(offset, offset + len(events)),
        timestamps_ms=[event.time_ms for event in events],
        keys=[event.key.encode() if event.key else None for event in events],
        values=[b"" for _ in events],
        next_offset=offset + len(events),
    )
    return Chunk(batch, range(len(events)), list(events), bytes.decode, batch.next_offset)


def chunks(events: Sequence[Payment], cuts: Iterable[int]) -> list[Chunk]:
    edges = [0, *sorted({cut % len(events) for cut in cuts} - {0}), len(events)]
    return [chunk(events[start:end], start) for start, end in pairwise(edges)]


async def results(
    stream: Stream[Any], windowing: Any, grace_ms: int, *, updates: bool, into: list[WindowResult]
) -> None:
    windows = stream.window(windowing, grace=grace_ms / 1000, late="late")
    aggregated = windows.agg(count=Count(), total=Sum("amount"))
    async for result in aggregated if updates else aggregated.on_close():
        assert stream.bound()[1].key == result.key
        into.append(result)


def run(
    events: Sequence[Payment], cuts: Iterable[int], windowing: Any, grace_ms: int, cache: TableCache, *, updates: bool
) -> tuple[list[WindowResult], Effects, Lane]:
    """Let a lane over a table work the events off; return what it yields, sends, and the lane."""
    lane, effects = a_lane(cache)
    into: list[WindowResult] = []
    stream = Stream(Feed(*chunks(events, cuts)), lane, Program())
    asyncio.run(results(stream, windowing, grace_ms, updates=updates, into=into))
    return into, effects, lane


class Model:
    """Every event of each window, and the sessions found anew from all accepted events each time."""

    def __init__(self, windowing: Any, grace_ms: int) -> None:
        self.windowing, self.grace_ms = windowing, grace_ms
        self.reached: int | None = None
        self.held: dict[tuple[str, Window], list[Payment]] = {}
        self.closed: list[tuple[str, Window, int, int]] = []
        self.late: list[Payment] = []

    def is_closed(self, window: Window) -> bool:
        assert self.reached is not None
        return window.end_ms + self.grace_ms <= self.reached

    def take(self, event: Payment) -> None:
        self.reached = event.time_ms if self.reached is None else max(self.reached, event.time_ms)
        windows = [window for window in self.windows(event) if not self.is_closed(window)]
        for window in windows:
            self.held.setdefault((event.key, window), []).append(event)
        if not windows:
            self.late.append(event)
        self.close()

    def close(self) -> None:
        for key, window in sorted(self.held, key=lambda held: (held[1].end_ms, held[1].start_ms, held[0])):
            if self.is_closed(window):
                events = self.held.pop((key, window))
                self.closed.append((key, window, len(events), sum(event.amount for event in events)))

    def windows(self, event: Payment) -> list[Window]:
        if not hasattr(self.windowing, "gap_ms"):
            return list(self.windowing.windows(event.time_ms))
        gap = self.windowing.gap_ms
        near = [
            window
            for key, window in self.held
            if key == event.key and window.start_ms <= event.time_ms + gap and event.time_ms <= window.end_ms
        ]
        whole = Window(
            min([event.time_ms, *(w.start_ms for w in near)]), max([event.time_ms + gap, *(w.end_ms for w in near)])
        )
        if not self.is_closed(whole):
            events = [held for window in sorted(near) for held in self.held.pop((event.key, window))]
            if events:
                self.held[event.key, whole] = events
        return [whole]


class SlidingModel(Model):
    """All windows that any two events of a key define, found anew with each event among all that were in time."""

    def __init__(self, windowing: Any, grace_ms: int) -> None:
        super().__init__(windowing, grace_ms)
        self.accepted: list[Payment] = []

    def take(self, event: Payment) -> None:
        self.reached = event.time_ms if self.reached is None else max(self.reached, event.time_ms)
        size = self.windowing.before_ms
        if self.is_closed(Window(event.time_ms, event.time_ms + size + 1)):
            self.late.append(event)
        else:
            self.accepted.append(event)
            mine = [other for other in self.accepted if other.key == event.key]
            starts = {other.time_ms - size for other in mine} | {other.time_ms + 1 for other in mine}
            for window in (Window(start, start + size + 1) for start in starts):
                inside = [other for other in mine if window.start_ms <= other.time_ms < window.end_ms]
                if inside and not self.is_closed(window):
                    self.held[event.key, window] = inside
        self.close()


@pytest.mark.parametrize("kind", WINDOWINGS)
@unhurried
@example(events=[Payment("a", 0, 1), Payment("a", 6, 2), Payment("a", 30, 3)], cuts=[], grace_ms=0)
@example(events=[Payment("a", 0, 1), Payment("a", 12, 2), Payment("a", 6, 3), Payment("a", 90, 3)], cuts=[], grace_ms=5)
@example(events=[Payment("a", 0, 1), Payment("b", 9, 2), Payment("a", 5, 3), Payment("b", 90, 3)], cuts=[], grace_ms=0)
@given(events=payments, cuts=st.lists(st.integers(0, 25), max_size=4), grace_ms=st.sampled_from([0, 5, 100]))
def test_final_results_are_those_of_the_model(kind: str, events: list[Payment], cuts: list[int], grace_ms: int) -> None:
    model = (SlidingModel if hasattr(WINDOWINGS[kind], "before_ms") else Model)(WINDOWINGS[kind], grace_ms)
    for event in events:
        model.take(event)
    found, effects, lane = run(events, cuts, WINDOWINGS[kind], grace_ms, a_cache(Path("x")), updates=False)
    assert [(r.key, Window(r.start_ms, r.end_ms), r["count"], r["total"]) for r in found] == model.closed
    assert all(result.final for result in found)
    assert [send.value for send in effects] == [str(event).encode() for event in model.late]
    assert lane.late_events == len(model.late)


@pytest.mark.parametrize("kind", WINDOWINGS)
@unhurried
@given(events=payments, cut=st.integers(1, 24), updates=st.booleans())
def test_a_new_lane_over_the_same_table_goes_on_as_if_nothing_had_happened(
    kind: str, events: list[Payment], cut: int, updates: bool
) -> None:
    windowing = WINDOWINGS[kind]
    whole, *_ = run(events, [], windowing, 5, a_cache(Path("x")), updates=updates)
    cache, parts = a_cache(Path("y")), []
    for part in (events[:cut], events[cut:]):
        if part:
            found, *_ = run(part, [], windowing, 5, cache, updates=updates)
            parts += found
    assert parts == whole


@unhurried
@given(events=payments, size=st.integers(1, 5))
def test_windows_of_events(events: list[Payment], size: int) -> None:
    expected = []
    for index, event in enumerate(events):
        mine = [other for other in events[: index + 1] if other.key == event.key]
        if len(mine) % size == 0:
            last = mine[-size:]
            times = [one.time_ms for one in last]
            expected.append((event.key, min(times), max(times) + 1, size, sum(one.amount for one in last)))
    found, *_ = run(events, [3], counting(size), 0, a_cache(Path("x")), updates=False)
    assert [(r.key, r.start_ms, r.end_ms, r["count"], r["total"]) for r in found] == expected


def test_updates_come_with_each_event_and_are_not_final() -> None:
    events = [Payment("a", 1, 5), Payment("a", 2, 6), Payment("b", 12, 7)]
    found, *_ = run(events, [], tumbling(0.010), 0, a_cache(Path("x")), updates=True)
    assert [(r.key, r.start_ms, r["count"], r["total"], r.final) for r in found] == [
        ("a", 0, 1, 5, False), ("a", 0, 2, 11, False), ("b", 10, 1, 7, False),
    ]  # fmt: skip


def test_sliding_windows_are_defined_by_the_events() -> None:
    events = [Payment("a", 10, 1), Payment("a", 15, 2), Payment("a", 40, 4)]
    found, *_ = run(events, [], sliding(0.010), 0, a_cache(Path("x")), updates=False)
    assert [(r.start_ms, r.end_ms, r["total"]) for r in found] == [(0, 11, 1), (5, 16, 3), (11, 22, 2)]


def test_windows_go_by_any_clock() -> None:
    clock = iter([1.0, 1.009, 1.010])
    stream = Stream[Any](Feed(chunk([Payment("a", 0, 1)] * 3, 0)), a_lane(a_cache(Path("x")))[0], Program())

    async def closed() -> list[WindowResult]:
        windows = stream.window(tumbling(0.010), time=lambda value: next(clock))
        return [result async for result in windows.agg(count=Count()).on_close()]

    assert [(result.start_ms, result["count"]) for result in asyncio.run(closed())] == [(1000, 2)]


def test_a_closed_window_leaves_nothing_in_the_table() -> None:
    cache = TableCache(TABLE, MemoryStores().open(Path("x"), 0, [TABLE]))
    for windowing in (session(0.003), tumbling(0.003), sliding(0.003)):
        run([Payment("a", 1, 5), Payment("a", 50, 5), Payment("a", 1_000, 5)], [], windowing, 0, cache, updates=False)
    assert len([key for key, _ in cache.scan(b"w", b"x")]) == 3
    assert len([key for key, _ in cache.scan(b"p", b"q")]) == 1


@settings(deadline=None, max_examples=15)
@given(
    payments=st.lists(
        st.builds(Payment, st.sampled_from("ab"), st.integers(0, 400), st.integers(1, 9)), min_size=1, max_size=100
    ),
    hot=st.integers(0, 150),
)
@example(payments=[Payment("b", 0, 1)], hot=300)
@example(payments=[Payment("a", time_ms, 1) for time_ms in (*range(0, 400, 13), *range(6, 400, 13))], hot=0)
def test_memory_is_that_of_the_open_sessions_not_of_their_events(payments: list[Payment], hot: int) -> None:
    lane, _ = a_lane(a_cache(Path("x")))
    operator = Sessions(lane, window_plan(session(0.006), TABLE, {"grace": 1}, None), {"count": Count()}, False)
    for number, one in enumerate([*payments, *(Payment("c", time_ms, 1) for time_ms in range(hot))]):
        lane.chunk, lane.cursor = chunk([one], number), 0
        list(operator(one))
        lane.finish_event()
        sessions = len(list(lane.tables[TABLE].scan(b"w", b"x")))
        assert sessions <= len(operator.open) <= 2 * sessions + 64


def test_an_event_without_a_key_is_told() -> None:
    with pytest.raises(UserCodeError, match="needs a key"):
        run([Payment("", 1, 5)], [], tumbling(1), 0, a_cache(Path("x")), updates=True)


def test_what_cannot_be_meant_is_refused() -> None:
    stream = Stream[Any](None, None, Program())
    with pytest.raises(ConfigurationError, match="expected tumbling"):
        stream.window(60)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="grace"):
        stream.window(tumbling(60), grace=-1)
    with pytest.raises(ConfigurationError, match="nothing to work out"):
        stream.window(tumbling(60)).agg()
    with pytest.raises(ConfigurationError, match="at least 1"):
        counting(0)


def test_a_result_is_found_by_its_name_and_by_its_aggregate() -> None:
    count, total = Count(), Sum("amount")
    stream = Stream[Any](Feed(chunk([Payment("a", 0, 4)], 0)), a_lane(a_cache(Path("x")))[0], Program())

    async def updates() -> list[WindowResult]:
        return [result async for result in stream.window(tumbling(1)).agg(count=count, total=total)]

    (result,) = asyncio.run(updates())
    assert (result["count"], result[count], result["total"], result[total], result[Sum("amount")]) == (1, 1, 4, 4, 4)
    with pytest.raises(KeyError):
        result[Sum("time_ms")]


@pytest.mark.parametrize("windowing", [tumbling(0.010), sliding(0.010), session(0.010), counting(5)])
@pytest.mark.parametrize("frames", [False, True])
@pytest.mark.parametrize(
    "others", [{"high": Max("amount"), "low": Min("amount")}, {"low": Max("amount"), "high": Max("amount")}, {}]
)
def test_states_are_not_taken_for_those_of_other_aggregates(
    windowing: Any, others: dict[str, Any], *, frames: bool
) -> None:
    cache = a_cache(Path("x"))

    async def aggregate(aggregates: dict[str, Any]) -> None:
        events = [Payment("a", 0, 3), Payment("a", 1, 5)]
        stream = Stream[Any](Feed(chunk(events, 0)), a_lane(cache)[0], Program())
        windows = stream.window(windowing).agg(**aggregates)
        async for _ in windows.batches() if frames else windows:
            pass

    first = {"low": Min("amount"), "high": Max("amount")}
    asyncio.run(aggregate(first))
    asyncio.run(aggregate(first))
    with pytest.raises(ConfigurationError, match=r"low=Min\(…\), high=Max\(…\).*go on with agg\("):
        asyncio.run(aggregate(others or {**first, "count": Count()}))
