"""Event time over several topics, silent topics, events from the future, and windows that are read later."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pelton.aggregate import Count, Sum
from pelton.batch import RecordBatch
from pelton.errors import ConfigurationError
from pelton.state.cache import TableCache
from pelton.state.memory import MemoryStores
from pelton.stream.lane import Chunk, Lane
from pelton.stream.progress import StreamTime
from pelton.stream.stream import Stream
from pelton.stream.window_plan import PROCESSING_TIME, WindowResult
from pelton.stream.windowing import counting, hopping, session, sliding, tumbling
from tests.unit.stream.feeding import TABLE, Effects, Feed, Program, a_cache, a_lane

WINDOWINGS = {
    "tumbling": tumbling(0.010),
    "hopping": hopping(0.020, 0.007),
    "session": session(0.006),
    "sliding": sliding(0.008),
}
TOPICS = ("one", "two", "three")
unhurried = settings(deadline=None, max_examples=50)


class Payment(NamedTuple):
    topic: str
    key: str
    time_ms: int
    amount: int


payments = st.lists(
    st.builds(Payment, st.sampled_from(TOPICS), st.sampled_from("ab"), st.integers(0, 60), st.integers(1, 9)),
    min_size=1,
    max_size=25,
)


def chunk(events: Sequence[Payment], record_ms: int | None = None) -> Chunk:
    batch = RecordBatch(
        topic=events[0].topic,
        partition=0,
        offsets=range(len(events)),
        timestamps_ms=[event.time_ms if record_ms is None else record_ms for event in events],
        keys=[event.key.encode() or None for event in events],
        values=[b"" for _ in events],
        next_offset=len(events),
    )
    return Chunk(batch, range(len(events)), list(events), bytes.decode, batch.next_offset)


def chunks(events: Sequence[Payment], cuts: Iterable[int]) -> list[Chunk]:
    edges = [0, *sorted({cut % len(events) for cut in cuts} - {0}), len(events)]
    parts = [events[start:end] for start, end in pairwise(edges)]
    return [chunk(list(run)) for part in parts for _, run in groupby(part, key=lambda event: event.topic)]


def interleaved(events: Sequence[Payment], picks: Sequence[str]) -> list[Payment]:
    """Return the events in another order, the same within each topic."""
    rest = {topic: [event for event in events if event.topic == topic] for topic in TOPICS}
    order: list[Payment] = []
    for pick in picks:
        order += rest[pick][:1]
        del rest[pick][:1]
    return [*order, *rest["three"], *rest["two"], *rest["one"]]


def run(
    feed: Feed, windowing: Any, cache: TableCache, topics: Iterable[str] = TOPICS, **options: Any
) -> tuple[list[WindowResult], Effects, Lane]:
    lane, effects = a_lane(cache)
    lane.topics = frozenset(topics)

    async def results() -> list[WindowResult]:
        windows = Stream[Any](feed, lane, Program()).window(windowing, late="late", **options)
        return [result async for result in windows.agg(count=Count(), total=Sum("amount")).on_close()]

    return asyncio.run(results()), effects, lane


def plain(results: Iterable[WindowResult]) -> Counter[tuple[Any, ...]]:
    return Counter((r.key, r.start_ms, r.end_ms, r["count"], r["total"]) for r in results)


class Model:
    """Each topic by itself says which of its events are late; the windows are found among all others, in any order."""

    def __init__(self, windowing: Any, grace_ms: int) -> None:
        self.windowing, self.grace_ms = windowing, grace_ms
        self.late: list[Payment] = []

    def results(self, events: Sequence[Payment]) -> Counter[tuple[Any, ...]]:
        reached: dict[str, int] = {}
        held: list[tuple[Payment, list[Any]]] = []
        for event in events:
            own = reached[event.topic] = max(reached.get(event.topic, event.time_ms), event.time_ms)
            windows = self.in_time(event, own)
            (held.append((event, windows)) if windows is not None else self.late.append(event))
        passed = min(reached.values()) if len(reached) == len(TOPICS) else float("-inf")
        found: Counter[tuple[Any, ...]] = Counter()
        for key in "ab":
            mine = [(event, windows) for event, windows in held if event.key == key]
            for (start, end), inside in self.windows(mine):
                if end + self.grace_ms + hasattr(self.windowing, "gap_ms") <= passed:
                    found[key, start, end, len(inside), sum(event.amount for event in inside)] += 1
        return found

    def in_time(self, event: Payment, own: int) -> list[Any] | None:
        """Return the windows of an event that its own topic has not passed; None when it is late."""
        if hasattr(self.windowing, "windows"):
            windows = [w for w in self.windowing.windows(event.time_ms) if w.end_ms + self.grace_ms > own]
            return windows or None
        return [] if event.time_ms + self.grace_ms >= own else None

    def windows(self, mine: list[tuple[Payment, list[Any]]]) -> list[tuple[tuple[int, int], list[Payment]]]:
        events = sorted((event for event, _ in mine), key=lambda event: event.time_ms)
        if hasattr(self.windowing, "windows"):
            bounds = {tuple(window) for _, windows in mine for window in windows}
            return [(bound, [event for event, windows in mine if bound in map(tuple, windows)]) for bound in bounds]
        if hasattr(self.windowing, "before_ms"):
            size = self.windowing.before_ms
            starts = {event.time_ms - size for event in events} | {event.time_ms + 1 for event in events}
            spans = [(start, start + size + 1) for start in starts]
            held = [(span, [event for event in events if span[0] <= event.time_ms < span[1]]) for span in spans]
            return [(span, inside) for span, inside in held if inside]
        sessions: list[list[Payment]] = []
        for event in events:
            if sessions and event.time_ms - sessions[-1][-1].time_ms <= self.windowing.gap_ms:
                sessions[-1].append(event)
            else:
                sessions.append([event])
        return [((one[0].time_ms, one[-1].time_ms + self.windowing.gap_ms), one) for one in sessions]


@pytest.mark.parametrize("kind", WINDOWINGS)
@unhurried
@example(
    events=[
        Payment("one", "a", 0, 1),
        Payment("two", "a", 60, 2),
        Payment("one", "a", 3, 4),
        Payment("three", "a", 9, 1),
    ],
    cuts=[],
    grace_ms=0,
    picks=["two", "three"],
)
@example(
    events=[
        Payment("one", "a", 0, 1),
        Payment("one", "b", 6, 1),
        Payment("three", "b", 6, 1),
        Payment("two", "b", 6, 1),
        Payment("two", "a", 6, 2),
    ],
    cuts=[],
    grace_ms=0,
    picks=[],
)
@given(
    events=payments,
    cuts=st.lists(st.integers(0, 25), max_size=4),
    grace_ms=st.sampled_from([0, 5, 100]),
    picks=st.lists(st.sampled_from(TOPICS), max_size=25),
)
def test_windows_over_several_topics_are_those_of_the_model_however_the_topics_interleave(
    kind: str, events: list[Payment], cuts: list[int], grace_ms: int, picks: list[str]
) -> None:
    model = Model(WINDOWINGS[kind], grace_ms)
    expected = model.results(events)
    for order in (events, interleaved(events, picks)):
        feed = Feed(*chunks(order, cuts))
        found, effects, lane = run(feed, WINDOWINGS[kind], a_cache(Path("x")), grace=grace_ms / 1000)
        assert plain(found) == expected
        assert Counter(send.value for send in effects) == Counter(str(event).encode() for event in model.late)
        assert lane.late_events == len(model.late)


@pytest.mark.parametrize("kind", WINDOWINGS)
@unhurried
@given(events=payments, cut=st.integers(0, 24), lost=st.integers(0, 25), picks=st.lists(st.sampled_from(TOPICS)))
def test_after_a_crash_the_rest_may_come_in_another_order(
    kind: str, events: list[Payment], cut: int, lost: int, picks: list[str]
) -> None:
    store = MemoryStores().open(Path("x"), 0, [TABLE])
    cache, found = TableCache(TABLE, store), []
    if events[:cut]:
        found, *_ = run(Feed(*chunks(events[:cut], [])), WINDOWINGS[kind], cache, grace=0.005)
        cache.take()
        store.write({TABLE: cache.committed(cut)})
        cache.stored(1_000_000)
    if events[cut : cut + lost]:
        run(Feed(*chunks(events[cut : cut + lost], [])), WINDOWINGS[kind], cache, grace=0.005)  # nothing was committed
    if events[cut:]:
        rest = interleaved(events[cut:], picks)
        found += run(Feed(*chunks(rest, [])), WINDOWINGS[kind], TableCache(TABLE, store), grace=0.005)[0]
    assert plain(found) == Model(WINDOWINGS[kind], 5).results(events)


# Silence


def silent(*steps: Chunk | None, idle: float = 10.0, cache: TableCache | None = None) -> tuple[Any, Feed]:
    feed = Feed(*steps)
    found, *_ = run(feed, tumbling(60), cache or a_cache(Path("x")), ["one", "two"], idle=idle, grace=5)
    return [(r.key, r.start_ms, r["count"]) for r in found], feed


def test_a_partition_that_is_silent_for_too_long_closes_its_windows_by_the_clock() -> None:
    cache = a_cache(Path("x"))
    steps = [chunk([Payment("one", "a", 50_000, 1)]), chunk([Payment("two", "a", 40_000, 1)])]
    assert silent(*steps, None, cache=cache)[0] == []  # it has woken up once, after 10 s: its time is 60 s then
    found, feed = silent(*steps, None, None)
    assert found == [("a", 0, 2)]
    assert feed.timeouts[2:] == [10.0, 5.0, None]  # silent for 10 s; 60 + 5 s is 5 s later; nothing else is open


def test_what_silence_has_closed_stays_closed_after_a_restart() -> None:
    cache = a_cache(Path("x"))
    steps = [chunk([Payment("one", "a", 50_000, 1)]), chunk([Payment("two", "a", 40_000, 1)])]
    assert silent(*steps, None, None, cache=cache)[0] == [("a", 0, 2)]
    feed = Feed(chunk([Payment("one", "a", 50_000, 7)]))
    found, effects, lane = run(feed, tumbling(60), cache, ["one", "two"], idle=10, grace=5)
    assert (found, len(effects), lane.late_events) == ([], 1, 1)


def test_a_silent_topic_no_longer_holds_the_others_back_and_one_with_records_waiting_does() -> None:
    def busy(waiting: set[str]) -> list[tuple[str, int]]:
        class Busy(Feed):
            async def next_chunk(self, lane: Lane, **options: Any) -> Chunk | None:
                self.now += 6.0
                return await super().next_chunk(lane, **options)

            def waiting(self) -> set[str]:
                return waiting

        feed = Busy(*(chunk([Payment("one", "a", time_ms, 1)]) for time_ms in (50_000, 70_000, 130_000)))
        found, *_ = run(feed, tumbling(60), a_cache(Path("x")), ["one", "two"], idle=10)
        return [(r.key, r.start_ms) for r in found]

    assert busy(set()) == [("a", 0), ("a", 60_000)]
    assert busy({"two"}) == []


def test_a_topic_that_was_silent_is_not_once_nobody_has_listened() -> None:
    class Deaf(Feed):
        since_s = 0.0

        def listening_since_s(self) -> float:
            return self.since_s

    feed, (lane, _) = Deaf(), a_lane(a_cache(Path("x")))
    time = StreamTime(lane.tables[TABLE], ["one", "two"], 10.0)
    time.heard("one", feed)
    time.observe("one", 50_000)
    feed.now = 11.0
    time.advance(feed)
    assert time.of("two") == 61_000
    feed.now = feed.since_s = 20.0
    time.heard("one", feed)
    time.observe("one", 100_000)
    assert time.of("two") == 61_000
    feed.now = 31.0
    time.advance(feed)
    assert time.of("two") == 111_000


def test_silence_begins_anew_when_nothing_is_waiting_any_more_and_nobody_looks_all_the_time_until_then() -> None:
    class Owing(Feed):
        def waiting(self) -> set[str]:
            return {"two"} if self.now < 35 else set()

    feed = Owing(*(chunk([Payment(topic, "a", 59_000, 1)]) for topic in ("one", "two")), *[None] * 6)
    found, *_ = run(feed, tumbling(60), a_cache(Path("x")), ["one", "two"], idle=10)
    assert [(r.key, r["count"]) for r in found] == [("a", 2)]
    assert feed.timeouts[2:] == [10.0, 10.0, 10.0, 10.0, None, None, None]


def test_without_idle_nothing_is_waited_for_and_nothing_closes() -> None:
    feed = Feed(chunk([Payment("one", "a", 50_000, 1)]), None, None)
    found, *_ = run(feed, tumbling(60), a_cache(Path("x")), ["one"])
    assert (found, set(feed.timeouts)) == ([], {None})


def test_windows_of_processing_time_close_when_it_is_time_without_any_record() -> None:
    feed = Feed(chunk([Payment("one", "a", 0, 1)]), None, chunk([Payment("one", "a", 0, 2)]), None, None)
    feed.began_ms = 1_000_000_000
    found, *_ = run(feed, tumbling(60), a_cache(Path("x")), ["one"], time=PROCESSING_TIME)
    start_ms = 1_000_000_000 - 1_000_000_000 % 60_000
    assert [(r.start_ms, r.end_ms, r["total"]) for r in found] == [
        (start_ms, start_ms + 60_000, 1),
        (start_ms + 60_000, start_ms + 120_000, 2),
    ]
    assert feed.timeouts == [None, 20.0, None, 60.0, None, None]


# Events from the future


@unhurried
@given(events=payments, cuts=st.lists(st.integers(0, 25), max_size=4))
def test_events_too_far_ahead_of_their_records_are_put_aside_and_close_nothing(
    events: list[Payment], cuts: list[int]
) -> None:
    edges = [0, *sorted({cut % len(events) for cut in cuts} - {0}), len(events)]
    at_forty = [chunk([event], record_ms=40) for start, end in pairwise(edges) for event in events[start:end]]
    feed = Feed(*at_forty)
    options: dict[str, Any] = {"time": lambda event: event.time_ms / 1000, "grace": 0.005}
    found, effects, lane = run(feed, tumbling(0.010), a_cache(Path("x")), max_future=0.010, **options)
    model = Model(tumbling(0.010), 5)
    assert plain(found) == model.results([event for event in events if event.time_ms <= 50])
    ahead = [event for event in events if event.time_ms > 50]
    assert Counter(send.value for send in effects) == Counter(str(event).encode() for event in [*model.late, *ahead])
    assert lane.late_events == len(model.late) + len(ahead)


@pytest.mark.parametrize("options", [{"idle": -1}, {"max_future": -1}, {"retention": -1}, {"idel": 5}])
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"expected|unknown"):
        Stream[Any](None, None, Program()).window(tumbling(60), **options)


def test_options_that_windows_cannot_have_are_refused() -> None:
    stream = Stream[Any](None, None, Program())
    with pytest.raises(ConfigurationError, match="do not close by time"):
        stream.window(counting(5), idle=5)
    with pytest.raises(ConfigurationError, match="never in the future"):
        stream.window(tumbling(5), time=PROCESSING_TIME, max_future=5)
