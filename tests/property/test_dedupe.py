"""Events let through once an id, against a model that looks at all that came before, for any batches and crash."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from contextvars import copy_context
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pelton import App
from pelton.aggregate import Count, Last, Sum
from pelton.batch import RecordBatch
from pelton.errors import ConfigurationError, UserCodeError
from pelton.state.cache import TableCache
from pelton.state.memory import MemoryStores
from pelton.stream.lane import CURRENT_LANE, Chunk, Lane
from pelton.stream.stream import Stream
from pelton.testing import Driver
from tests.unit.stream.feeding import TABLE, Effects, Feed, Program, a_cache, a_lane

unhurried = settings(deadline=None)


class Payment(NamedTuple):
    id: int
    time_ms: int
    number: int


@st.composite
def inputs(draw: st.DrawFn) -> list[Payment]:
    drawn = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 60)), min_size=1, max_size=25))
    return [Payment(*fields, number) for number, fields in enumerate(drawn)]


def chunk(events: Sequence[Payment]) -> Chunk:
    batch = RecordBatch(
        topic="t",
        partition=0,
        offsets=range(len(events)),
        timestamps_ms=[event.time_ms for event in events],
        keys=[str(event.id).encode() for event in events],
        values=[b"" for _ in events],
        next_offset=len(events),
    )
    return Chunk(batch, range(len(events)), list(events), bytes.decode, batch.next_offset)


def chunks(events: Sequence[Payment], cuts: Iterable[int]) -> list[Chunk]:
    edges = [0, *sorted({cut % len(events) for cut in cuts} - {0}), len(events)]
    return [chunk(events[start:end]) for start, end in pairwise(edges)]


def run(
    events: Sequence[Payment], cuts: Iterable[int], within_ms: int, cache: TableCache, by: Any = "id"
) -> tuple[list[Payment], Effects, Lane]:
    lane, effects = a_lane(cache)
    lane.chunk = None

    async def through() -> list[Payment]:
        CURRENT_LANE.set(lane)
        stream = Stream[Any](Feed(*chunks(events, cuts)), lane, Program())
        return [event async for event in stream.dedupe(by, within=within_ms / 1000, duplicates="again")]

    return copy_context().run(asyncio.run, through()), effects, lane


def model(events: Sequence[Payment], within_ms: int) -> tuple[list[Payment], list[Payment]]:
    """Return what goes through and what does not, looking each time at all that went through before."""
    let: list[tuple[int, Payment]] = []
    again: list[Payment] = []
    for index, event in enumerate(events):
        reached = max(one.time_ms for one in events[: index + 1])
        if any(one.id == event.id and reached <= then + within_ms for then, one in let):
            again.append(event)
        else:
            let.append((reached, event))
    return [event for _, event in let], again


@pytest.mark.parametrize("by", ["id", None, lambda event: ("payment", event.id)], ids=["field", "key", "function"])
@unhurried
@example(events=[Payment(1, 0, 0), Payment(1, 20, 1), Payment(1, 21, 2)], cuts=[], within_ms=20)
@given(events=inputs(), cuts=st.lists(st.integers(0, 25), max_size=4), within_ms=st.sampled_from([0, 5, 20, 1000]))
def test_what_goes_through_is_that_of_the_model(
    by: Any, events: list[Payment], cuts: list[int], within_ms: int
) -> None:
    found, effects, _ = run(events, cuts, within_ms, a_cache(Path("x")), by)
    through, again = model(events, within_ms)
    assert found == through
    assert [send.value for send in effects] == [str(event).encode() for event in again]


class Click(NamedTuple):
    topic: str
    id: int
    time_ms: int


@st.composite
def clusters(draw: st.DrawFn) -> list[Click]:
    """Clicks of two topics, each in order: those of an id in groups 20 ms wide at most and more than 20 ms apart."""
    clicks = draw(
        st.lists(
            st.builds(
                Click,
                st.sampled_from(["one", "two"]),
                st.integers(0, 2),
                st.tuples(st.integers(0, 3), st.integers(0, 20)).map(lambda at: 50 * at[0] + at[1]),
            ),
            min_size=1,
            max_size=25,
        )
    )
    return sorted(clicks, key=lambda click: click.time_ms)


@settings(deadline=None, max_examples=60)
@example(clicks=[Click("one", 7, 0), Click("two", 7, 100)], picks=[True], cut=0)
@given(clicks=clusters(), picks=st.lists(st.booleans(), max_size=25), cut=st.integers(0, 25))
def test_of_each_group_one_goes_through_however_the_topics_interleave(
    clicks: list[Click], picks: list[bool], cut: int
) -> None:
    rest = {topic: [click for click in clicks if click.topic == topic] for topic in ("one", "two")}
    order: list[Click] = []
    for pick in picks:
        topic = "two" if pick else "one"
        order += rest[topic][:1]
        del rest[topic][:1]
    order += [*rest["two"], *rest["one"]]
    cache, found = a_cache(Path("x")), []
    for part in (order[:cut], order[cut:]):
        lane, _ = a_lane(cache)
        lane.topics, lane.chunk = frozenset({"one", "two"}), None
        batches = [RecordBatch(c.topic, 0, (0,), [c.time_ms], [b"k"], [b""], 1) for c in part]
        parts = [Chunk(b, (0,), [c], bytes.decode, 1) for b, c in zip(batches, part, strict=True)]

        async def through(lane: Lane = lane, parts: list[Chunk] = parts) -> list[Click]:
            CURRENT_LANE.set(lane)
            return [c async for c in Stream[Any](Feed(*parts), lane, Program()).dedupe("id", within=0.020)]

        found += copy_context().run(asyncio.run, through())
    groups = {(click.id, click.time_ms // 50) for click in clicks}
    assert sorted((click.id, click.time_ms // 50) for click in found) == sorted(groups)


@unhurried
@given(events=inputs(), cut=st.integers(0, 24), lost=st.integers(0, 25), within_ms=st.sampled_from([0, 5, 20, 1000]))
def test_a_crash_forgets_no_id_and_remembers_none_of_what_was_not_committed(
    events: list[Payment], cut: int, lost: int, within_ms: int
) -> None:
    store = MemoryStores().open(Path("x"), 0, [TABLE])
    cache, found = TableCache(TABLE, store), []
    if events[:cut]:
        found, *_ = run(events[:cut], [], within_ms, cache)
        cache.take()
        store.write({TABLE: cache.committed(cut)})
        cache.stored(1_000_000)
    if events[cut : cut + lost]:
        run(events[cut : cut + lost], [], within_ms, cache)
    if events[cut:]:
        found += run(events[cut:], [], within_ms, TableCache(TABLE, store))[0]
    assert found == model(events, within_ms)[0]


@unhurried
@given(events=inputs())
def test_ids_past_their_time_are_forgotten(events: list[Payment]) -> None:
    cache = a_cache(Path("x"))
    run([*events, Payment(9, 1_000, 99), Payment(9, 2_000, 100)], [], 20, cache)
    assert Counter(key[:1] for key, _ in cache.scan()) == Counter({b"i": 1, b"e": 1, b"t": 1})


@unhurried
@given(events=inputs(), cut=st.integers(0, 24))
def test_aggregates_without_windows_go_on_for_ever(events: list[Payment], cut: int) -> None:
    cache, found = a_cache(Path("x")), []
    for part in (events[:cut], events[cut:]):

        async def results(part: Sequence[Payment] = part) -> list[Any]:
            stream = Stream[Any](Feed(*chunks(part, [3])) if part else Feed(), a_lane(cache)[0], Program())
            totals = stream.agg(count=Count(), total=Sum("number"), last=Last("number"))
            return [(r.key, r["count"], r["total"], r["last"], r.final) async for r in totals]

        found += asyncio.run(results())
    for index, event in enumerate(events):
        mine = [one.number for one in events[: index + 1] if one.id == event.id]
        assert found[index] == (str(event.id), len(mine), sum(mine), event.number, False)


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(UserCodeError, match="expected an id"):
        run([Payment(1, 0, 0)], [], 5, a_cache(Path("x")), lambda event: object())
    stream = Stream[Any](None, None, Program())
    with pytest.raises(ConfigurationError, match="0 or more"):
        stream.dedupe(within=-1)

    async def close() -> None:
        async for _ in stream.agg(count=Count()).on_close():
            pass

    with pytest.raises(ConfigurationError, match="never close"):
        asyncio.run(close())


def test_each_partition_has_its_own_stream_time_also_where_the_stream_is_regrouped_behind() -> None:
    """In front of group_by it is another agent that dedupes, in all partitions."""
    app = App("regrouped", topic_partitions=2)
    payments = app.topic("payments", key_type=str, value_type=dict)
    through: list[tuple[int, int]] = []

    @app.agent(payments)
    async def once(stream: Stream[Any]) -> None:
        async for payment in stream.dedupe("id", within=5).group_by("account"):
            through.append((payment["id"], payment["number"]))

    sent = [(0, 1_000.0, 1), (1, 1.0, 2), (1, 500.0, 2), (1, 503.0, 2), (0, 1_002.0, 1), (1, 900.0, 2)]
    with Driver(app) as driver:
        for number, (partition, ts, id_) in enumerate(sent):
            value = {"id": id_, "number": number, "account": "ann"}
            driver.send(payments, "k", value, ts=ts, partition=partition)
            if number == 2:
                driver.crash()
                driver.start()
        assert driver.dead_letters() == []
    assert through == [(1, 0), (2, 1), (2, 2), (2, 5)]


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("idle", [None, 30])
def test_a_silent_topic_keeps_ids_for_ever_unless_it_is_said_how_long_it_may_be_silent(
    idle: float | None, *, grouped: bool
) -> None:
    app = App("silent", topic_partitions=1)
    both = app.topic("one", "two", key_type=str, value_type=dict)
    changelog = app.topic("silent-once-dedupe-changelog", key_type=bytes, value_type=bytes)
    through: list[int] = []

    @app.agent(both)
    async def once(stream: Stream[Any]) -> None:
        stream = stream.dedupe("id", within=10, idle=idle)
        async for payment in stream.group_by("account") if grouped else stream:
            through.append(payment["id"])

    with Driver(app) as driver:
        driver.send("one", "k", {"id": 1, "account": "ann"}, ts=0.0)
        driver.advance(60)
        driver.send("one", "k", {"id": 2, "account": "ann"}, ts=100.0)
        driver.send("two", "k", {"id": 1, "account": "ann"}, ts=1.0)
        gone = {record.key for record in driver.read(changelog) if record.value is None and record.key[:1] == b"i"}
    assert gone == (set() if idle is None else {b"i\x01"})
    assert through == ([1, 2] if idle is None else [1, 2, 1])
