"""Nexmark's events are the published model's, and its judge lets nothing pass."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from bench.nexmark.__main__ import options, summary
from bench.nexmark.catalogue import QUERIES
from bench.nexmark.events import Auction, Bid, Person
from bench.nexmark.expected import EXPECTED, frames
from bench.nexmark.generator import Event, Workload, closing, events
from bench.nexmark.judging import differences, per_bidder, rows_of_files
from bench.nexmark.running import Outcome

WORKLOAD = Workload(10_000)
E = TypeVar("E", Person, Auction, Bid)
NOON = datetime(2020, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def day() -> list[Event]:
    return list(events(WORKLOAD))


def of_kind(every: list[Event], kind: type[E]) -> list[E]:
    return [event for event in every if isinstance(event, kind)]


def test_events_are_a_pure_function_of_the_workload(day: list[Event]) -> None:
    assert list(events(WORKLOAD)) == day
    assert list(events(replace(WORKLOAD, seed=2))) != day


def test_the_proportions_are_those_that_were_published(day: list[Event]) -> None:
    assert [len(of_kind(day, kind)) for kind in (Person, Auction, Bid)] == [200, 600, 9_200]
    assert [event.id for event in of_kind(day, Person)] == list(range(1_000, 1_200))
    assert [event.id for event in of_kind(day, Auction)] == list(range(1_000, 1_600))


def test_some_keys_are_hot(day: list[Event]) -> None:
    bids, auctions = of_kind(day, Bid), of_kind(day, Auction)
    hot_auctions = sum(bid.auction % 100 == 0 for bid in bids) / len(bids)
    hot_bidders = sum(bid.bidder % 100 == 1 for bid in bids) / len(bids)
    hot_sellers = sum(auction.seller % 100 == 0 for auction in auctions) / len(auctions)
    assert hot_auctions == pytest.approx(1 / 2, abs=0.03)
    assert hot_bidders == pytest.approx(3 / 4, abs=0.03)
    assert hot_sellers == pytest.approx(3 / 4, abs=0.05)


def test_some_events_are_about_what_comes_later(day: list[Event]) -> None:
    begun: set[int] = set()
    early = 0
    for event in day:
        if isinstance(event, Auction):
            begun.add(event.id)
        elif isinstance(event, Bid):
            early += event.auction not in begun
    assert early > 50


def test_prices_are_spread_evenly_over_the_orders_of_magnitude(day: list[Event]) -> None:
    digits = Counter(len(str(bid.price)) for bid in of_kind(day, Bid))
    assert min(digits[number] for number in range(3, 9)) > 1_300


def test_disorder_moves_events_within_their_run_only() -> None:
    mixed = list(events(replace(WORKLOAD, events=1_000, disorder=50)))
    times = [event.date_time for event in mixed]
    assert times != sorted(times)
    assert [sorted(times[at : at + 50]) for at in range(0, 1_000, 50)] == [
        sorted(times)[at : at + 50] for at in range(0, 1_000, 50)
    ]


def test_closing_events_come_days_later(day: list[Event]) -> None:
    latest = max(event.date_time for event in day)
    first, second = closing(WORKLOAD)
    assert all(event.date_time >= latest + timedelta(days=1) for event in first)
    assert all(event.date_time >= latest + timedelta(days=2) for event in second)


# -- the oracle, where polars' way to say it is not plain ------------------------------------------


def bid(at_s: float, bidder: int = 1, auction: int = 1, price: int = 1) -> Bid:
    return Bid(auction, bidder, price, "Google", "https://x/a/b", NOON + timedelta(seconds=at_s), "c")


def answer(number: int, *every: Event) -> list[dict[str, object]]:
    # Frames need a row of each kind; these take part in nothing.
    others = (
        Person(-1, "", "", "", "", "WA", NOON, ""),
        Auction(-1, "", "", 1, 1, NOON, NOON, -2, 11, ""),
    )
    found = EXPECTED[number](frames([*others, *every], NOON + timedelta(days=1)))
    return sorted(found.to_dicts(), key=str)


def test_a_session_ends_after_more_than_ten_seconds() -> None:
    sessions = answer(11, bid(0), bid(10), bid(20.001), bid(5, bidder=2))
    assert [(row["bidder"], row["bid_count"]) for row in sessions] == [(1, 1), (1, 2), (2, 1)]
    assert {(row["endtime"] - NOON).total_seconds() for row in sessions} == {15, 20, 30.001}  # type: ignore[operator]


def test_a_bid_is_in_five_hopping_windows() -> None:
    starts = {(row["window_start"] - NOON).total_seconds() for row in answer(5, bid(9.999))}  # type: ignore[operator]
    assert starts == {0, 2, 4, 6, 8}


def test_equal_ones_are_all_the_hottest() -> None:
    hottest = answer(5, bid(0, auction=1), bid(0, auction=2), bid(0, auction=3), bid(0, auction=3))
    assert {(row["auction"], row["num"]) for row in hottest} == {(3, 2)}
    assert len(answer(5, bid(0, auction=1), bid(0, auction=2))) == 10


def test_a_bid_wins_while_its_auction_is_open() -> None:
    auction = Auction(5, "", "", 1, 1, NOON, NOON + timedelta(seconds=10), 1, 10, "")
    bids = [bid(-1, 1, 5, 99), bid(10, 2, 5, 50), bid(0, 3, 5, 50), bid(10.001, 4, 5, 99), bid(1, 5, 6, 99)]
    [row] = answer(9, auction, *bids)
    assert row["bid"]["bidder"] == 3  # type: ignore[index]


# -- the judge -------------------------------------------------------------------------------------

ROWS = [{"a": 1, "b": [NOON]}, {"a": 1, "b": [NOON]}, {"a": 2, "b": []}]


def test_equal_rows_are_equal_in_any_order() -> None:
    shifted = {"b": [NOON.astimezone()], "a": 1}
    assert differences(ROWS, [ROWS[2], shifted, ROWS[0]]) == []


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(ROWS[:2], id="lost"),
        pytest.param([*ROWS, ROWS[2]], id="doubled"),
        pytest.param([ROWS[0], ROWS[2], ROWS[2]], id="one twice for another"),
        pytest.param([*ROWS[:2], {"a": 3, "b": []}], id="changed"),
        pytest.param([], id="nothing"),
    ],
)
def test_other_rows_are_told(found: list[dict[str, object]]) -> None:
    assert differences(ROWS, found)


def test_windows_of_the_clock_are_those_of_the_clock() -> None:
    window = {"bidder": 1, "bid_count": 2, "starttime": NOON, "endtime": NOON + timedelta(seconds=10)}
    later = {**window, "starttime": NOON + timedelta(seconds=10), "endtime": NOON + timedelta(seconds=20)}
    assert per_bidder([window, later]) == ([{"bidder": 1, "bid_count": 4}], [])
    crooked = {**window, "starttime": NOON + timedelta(seconds=1), "endtime": NOON + timedelta(seconds=11)}
    assert per_bidder([crooked])[1]


def test_files_are_read_with_their_directories(tmp_path: Path) -> None:
    directory = tmp_path / "dt=2020-01-01" / "hm=12:00"
    directory.mkdir(parents=True)
    (directory / "0-5.csv").write_text("auction,date_time,extra\n1,2020-01-01T12:00:00.000000+0000,1\n")
    assert rows_of_files(tmp_path) == [
        {"auction": 1, "date_time": NOON, "extra": "1", "dt": "2020-01-01", "hm": "12:00"}
    ]


# -- the command -----------------------------------------------------------------------------------


def test_queries_are_chosen_by_number() -> None:
    assert options(["--query", "3, q9"]).query == [QUERIES[3], QUERIES[9]]
    assert options([]).query == options(["--query", "all"]).query == list(QUERIES.values())
    for text in ("23", "", "x"):
        with pytest.raises(SystemExit):
            options(["--query", text])


def test_a_query_that_fails_on_one_log_has_failed() -> None:
    outcomes = [
        Outcome(QUERIES[0], "sqlite", 1, 10, 2.0, []),
        Outcome(QUERIES[0], "kafka", 1, 10, 2.0, ["1 row missing"]),
        Outcome(QUERIES[1], "sqlite", 1, 10, 2.0, []),
    ]
    told = summary(options(["--query", "0,1"]), outcomes)
    assert (told["passed"], told["failed"], told["not_applicable"]) == (1, 1, 0)
    assert told["queries"]["q0"]["sqlite"] == {"rows": 1, "records_per_s": 5, "verdict": "passed"}  # type: ignore[index]
