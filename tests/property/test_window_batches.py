"""Windows over whole batches, where polars does the work, give what the events give one by one: to the last bit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pelton.aggregate import ApproxDistinct, Count, Distinct, First, Last, Max, Mean, Min, Quantiles, Sum, Top, Variance
from pelton.errors import UserCodeError
from pelton.state.cache import TableCache
from pelton.state.memory import MemoryStores
from pelton.stream.stream import Stream
from pelton.stream.window_plan import PROCESSING_TIME
from pelton.stream.windowing import counting, tumbling, unbounded
from tests.property.test_event_time import TOPICS, WINDOWINGS, chunks
from tests.unit.stream.feeding import TABLE, Feed, Program, a_cache, a_lane

unhurried = settings(deadline=None, max_examples=25)
KINDS = {**WINDOWINGS, "gaps": WINDOWINGS["tumbling"], "events": counting(3), "unbounded": unbounded()}
numbers = st.one_of(
    st.integers(-9, 9),
    st.integers(-(2**40), 2**40),
    st.floats(-1e6, 1e6, allow_nan=False),
    st.sampled_from([0.0, -0.0, 0.1, True]),
)


class Payment(NamedTuple):
    topic: str
    key: str
    time_ms: int
    amount: Any


def payments(amounts: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Payment]]:
    one = st.builds(Payment, st.sampled_from(TOPICS[:2]), st.sampled_from("ab"), st.integers(0, 60), amounts)
    return st.lists(one, min_size=1, max_size=25)


def aggregates() -> dict[str, Any]:
    return {
        "count": Count(),
        "total": Sum("amount"),
        "least": Min("amount"),
        "greatest": Max("amount"),
        "mean": Mean("amount"),
        "first": First("amount"),
        "last": Last("amount"),
        "variance": Variance("amount"),
        "distinct": Distinct("amount"),
        "top": Top("amount", 2),
        "about": ApproxDistinct("key"),
        "quantiles": Quantiles(lambda one: float(one.amount), (0.5,)),
    }


Found = list[tuple[Any, ...]]


def run(
    events: Sequence[Payment], cuts: Sequence[int], windowing: Any, cache: TableCache, *, by: str
) -> tuple[Found, list[str]]:
    """Return the windows as rows of repr, so that 1 and 1.0 and True differ, and what was sent of late events."""
    lane, effects = a_lane(cache)
    lane.topics = frozenset(TOPICS[:2])

    async def results() -> Found:
        stream = Stream[Any](Feed(*chunks(events, cuts)), lane, Program())
        timed = {} if windowing in (counting(3), unbounded()) else {"grace": 0.005, "late": "late"}
        windows = stream.window(windowing, **timed).agg(**aggregates())
        found: Found = []
        if by == "batch":
            async for frame in windows.batches(final=True):
                found += [tuple(repr(cell) for cell in row) for row in frame.iter_rows()]
        else:
            async for one in windows.on_close():
                row = {"key": one.key, "start_ms": one.start_ms, "end_ms": one.end_ms, **one.values}
                found += [tuple(repr(cell) for cell in cells) for cells in [list(row.values())]]
        return found

    return asyncio.run(results()), sorted(str(send.value) for send in effects)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "unbounded"])
@unhurried
@given(
    events=st.one_of(
        payments(st.integers(-9, 9)), payments(st.floats(-1e6, 1e6)), payments(st.integers(-(2**40), 2**40))
    ),
    cuts=st.lists(st.integers(0, 25), max_size=4),
)
def test_a_batch_closes_the_windows_that_its_events_close(kind: str, events: list[Payment], cuts: list[int]) -> None:
    one_by_one = run(events, [], KINDS[kind], a_cache(Path("x")), by="event")
    whole = run(events, cuts, KINDS[kind], a_cache(Path("y")), by="batch")
    assert sorted(whole[0]) == sorted(one_by_one[0])
    assert whole[1] == one_by_one[1]


@pytest.mark.parametrize("kind", ["tumbling", "hopping", "unbounded"])
@unhurried
@given(events=payments(numbers), cuts=st.lists(st.integers(0, 25), max_size=4))
def test_the_state_is_the_same_to_the_last_bit(kind: str, events: list[Payment], cuts: list[int]) -> None:
    caches = [a_cache(Path("x")), a_cache(Path("y"))]
    for cache, by in zip(caches, ("event", "batch"), strict=True):
        if kind == "unbounded" and by == "event":
            asyncio.run(_updates(events, cache))
        elif kind == "unbounded":
            asyncio.run(_batches(events, cuts, cache))
        else:
            run(events, cuts, KINDS[kind], cache, by=by)
    assert list(caches[0].scan()) == list(caches[1].scan())


async def _updates(events: Sequence[Payment], cache: TableCache) -> None:
    stream = Stream[Any](Feed(*chunks(events, [])), a_lane(cache)[0], Program())
    async for _ in stream.agg(**aggregates()):
        pass


async def _batches(events: Sequence[Payment], cuts: Sequence[int], cache: TableCache) -> list[pl.DataFrame]:
    stream = Stream[Any](Feed(*chunks(events, cuts)), a_lane(cache)[0], Program())
    return [frame async for frame in stream.agg(**aggregates()).batches()]


@pytest.mark.parametrize("kind", ["tumbling", "hopping", "session"])
@unhurried
@given(events=payments(st.integers(1, 9)), cut=st.integers(0, 24), lost=st.integers(0, 25))
def test_after_a_crash_batches_go_on_from_the_commit(kind: str, events: list[Payment], cut: int, lost: int) -> None:
    expected = run(events, [], KINDS[kind], a_cache(Path("z")), by="event")[0]
    store = MemoryStores().open(Path("x"), 0, [TABLE])
    cache, found = TableCache(TABLE, store), []
    if events[:cut]:
        found = run(events[:cut], [], KINDS[kind], cache, by="batch")[0]
        cache.take()
        store.write({TABLE: cache.committed(cut)})
        cache.stored(1_000_000)
    if events[cut : cut + lost]:
        run(events[cut : cut + lost], [], KINDS[kind], cache, by="batch")
    if events[cut:]:
        found += run(events[cut:], [3], KINDS[kind], TableCache(TABLE, store), by="batch")[0]
    assert sorted(found) == sorted(expected)


def test_updates_come_once_a_batch_and_window() -> None:
    events = [Payment("one", "a", 1, 5), Payment("one", "a", 2, 6), Payment("one", "b", 12, 7)]

    async def frames() -> list[pl.DataFrame]:
        lane, _ = a_lane(a_cache(Path("x")))
        stream = Stream[Any](Feed(*chunks(events, [])), lane, Program()).filter(lambda one: one.amount != 7)
        return [frame async for frame in stream.window(tumbling(0.010)).agg(total=Sum("amount")).batches()]

    assert [frame.rows() for frame in asyncio.run(frames())] == [[("a", 0, 10, 11)]]


def test_processing_time_closes_without_a_batch() -> None:
    feed = Feed(*chunks([Payment("one", "a", 0, 5)], []), None)

    async def frames() -> list[pl.DataFrame]:
        windows = Stream[Any](feed, a_lane(a_cache(Path("x")))[0], Program()).window(tumbling(60), time=PROCESSING_TIME)
        return [frame async for frame in windows.agg(total=Sum("amount")).batches(final=True)]

    assert [frame["total"].to_list() for frame in asyncio.run(frames())] == [[5]]


def test_an_event_from_the_future_or_without_a_key() -> None:
    events = [Payment("one", "a", 0, 5), Payment("one", "a", 90_000, 5)]

    async def frames(events: Sequence[Payment]) -> tuple[int, int]:
        lane, effects = a_lane(a_cache(Path("x")))
        windows = Stream[Any](Feed(*chunks(events, [])), lane, Program()).window(
            tumbling(60), time=lambda one: one.time_ms, max_future=60, late="late"
        )
        async for _ in windows.agg(total=Sum("amount")).batches():
            pass
        return lane.late_events, len(effects)

    assert asyncio.run(frames(events)) == (1, 1)
    with pytest.raises(UserCodeError, match="needs a key"):
        asyncio.run(frames([Payment("one", "", 0, 5)]))
