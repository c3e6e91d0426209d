"""What Home tells: of one worker, of all of them, and whether that is well."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar

import msgspec
import pytest

from pelton.console.cards import HomeCard, HomeLine
from pelton.console.gathering import Gathering
from pelton.console.health import judge
from pelton.console.home import merged_lags, state_of
from pelton.console.logged import RecentErrors
from pelton.console.report import Owned, TopicLag, WorkerReport, report
from pelton.log.contract import MemberInfo
from pelton.runtime.measures import STEP_S, Histogram, Measured
from pelton.runtime.partition import PartitionStatistics
from pelton.runtime.task_options import TaskStatistics
from pelton.runtime.watchdog import Health, Trouble
from tests.unit.console.stage import StagedClock, StagedWorker, console, lag, statistics

HERE, THERE = MemberInfo("a", "127.0.0.1:1", frozenset({0, 1})), MemberInfo("b", "127.0.0.1:2", frozenset({2}))


def observed(worker: StagedWorker, *looks: tuple[int, int]) -> Any:
    """Return a console that looked at so many events, and so much lag, two seconds apart."""
    made = console(worker)
    for events, behind in looks:
        worker.told, worker.behind = statistics(events), [lag("orders", 0, behind)]
        made.history.observe()
        assert isinstance(worker.clock, StagedClock)
        worker.clock.now_s += 2.0
    return made


def test_rates_and_trends_come_from_what_was_counted() -> None:
    told = report(observed(StagedWorker(), (0, 5), (200, 50), (600, 500)))
    assert told.rate == 150.0
    assert told.throughput == [100.0, 200.0]
    assert told.lags == [TopicLag("orders", 1, 500, 1.0, "OK", 1.0, [5, 50, 500], [1.0, 1.0, 1.0])]


def test_a_partition_that_leaves_makes_no_negative_rate() -> None:
    assert report(observed(StagedWorker(), (500, 0), (100, 0))).rate == 0.0


def test_before_the_engine_has_started_there_is_a_report_too() -> None:
    told = report(console(StagedWorker(waits=["the worker starts"])))
    assert (told.waiting, told.rate, told.lags, told.partitions) == (["the worker starts"], 0.0, [], [])


def test_agents_with_what_waits_for_them() -> None:
    tasks = (TaskStatistics("a", 0, 10, 0, 0, 0, 300), TaskStatistics("a", 1, 10, 1, 2, 0, 100, paused=True))
    worker = StagedWorker(told=statistics(20, tasks=tasks, paused=("a",), lag={("orders", 0): 0, ("orders", 1): 0}))
    agent = report(console(worker)).agents["a"]
    assert (agent.queued_bytes, agent.queued_bytes_max, agent.failures, agent.dead_lettered) == (400, 1_000, 2, 1)
    assert agent.paused


async def test_all_workers_are_asked_once_for_all_who_look() -> None:
    other = WorkerReport("127.0.0.1:2", rate=5.0, lags=[TopicLag("orders", 1, 7, 3.0, "WARN", 1.0, [1, 7])])
    worker = StagedWorker(group=[THERE, HERE], peers={"127.0.0.1:2": msgspec.json.encode(other)}, partitions=3)
    gathering = Gathering(console(worker))
    one, two = await asyncio.gather(gathering.workers(), gathering.workers())
    assert one is two
    assert worker.asked == 1
    assert [(found.member, found.here) for found in one] == [(HERE, True), (THERE, False)]
    told = await state_of(gathering)
    assert (told["rate"], told["lag"], told["lag_s"], told["status"]) == (5.0, 7, 3.0, "WARN")
    assert told["health"]["level"] == "degraded"


async def test_a_worker_that_is_silent_is_told_and_hides_nothing_of_the_others() -> None:
    worker = StagedWorker(group=[HERE, THERE, MemberInfo("c", "")], partitions=4)
    gathering = Gathering(console(worker))
    told = await state_of(gathering)
    assert [one["silent"] for one in told["workers"]] == [
        "",
        "it has no web server",
        "worker 127.0.0.1:2 did not answer within 2 s",
    ]
    assert [one.number for one in told["workers"][2]["partitions"]] == [2], "what it has, the group knows"
    assert told["health"]["level"] == "degraded"
    reasons = [text for _, text in told["health"]["reasons"]]
    assert "worker 127.0.0.1:2 did not answer within 2 s" in reasons
    assert "no worker has partition 3" in reasons


async def test_an_answer_that_is_no_report_is_told() -> None:
    worker = StagedWorker(group=[HERE, THERE], peers={"127.0.0.1:2": b'{"address": 5}'}, partitions=3)
    (_, other) = await Gathering(console(worker)).workers()
    assert other.report is None
    assert "Expected `str`" in other.silent


@pytest.mark.parametrize(
    ("worker", "level", "reason"),
    [
        (StagedWorker(), "ok", ""),
        (StagedWorker(healthy=Health((Trouble("the event loop", 12.0),))), "bad", "the event loop (for 12 s)"),
        (StagedWorker(healthy=Health((), "connection refused")), "bad", "the log does not answer: connection refused"),
        (StagedWorker(waits=["partition 1 is being opened"]), "degraded", "partition 1 is being opened"),
        (StagedWorker(told=statistics(paused=("a",))), "degraded", "agent a is paused"),
        (StagedWorker(behind=[lag("t", 0, 9, 3, status="STALL")]), "bad", "t stands still"),
        (StagedWorker(behind=[lag("t", 0, 9, 3, status="STOP", complete=0.2)]), "bad", "t stands still"),
        (StagedWorker(behind=[lag("t", 0, 9, 3, status="WARN")]), "degraded", "t falls behind"),
        (StagedWorker(behind=[lag("t", 0, 9, 3, status="WARN", complete=0.2)]), "ok", ""),
        (
            StagedWorker(told=statistics(partitions=(PartitionStatistics(3, "restoring", 0, 25, 100),))),
            "degraded",
            "partition 3 is being restored, 25 %",
        ),
    ],
)
async def test_health_in_one_line(worker: StagedWorker, level: str, reason: str) -> None:
    verdict = judge(await Gathering(console(worker)).workers(), 0)
    assert verdict.level == level
    assert [text.startswith(reason) for _, text in verdict.reasons] == ([True] if reason else [])


def delays(*each_s: float) -> Measured:
    histogram = Histogram(STEP_S)
    for delay_s in each_s:
        histogram.observe(delay_s)
    return Measured(loop_delay_s=histogram.statistics())


class Log:
    """What a log tells of itself, as far as health looks at it."""

    under_replicated: ClassVar = {"orders": 2}


@pytest.mark.parametrize(
    ("now", "behind", "after_s", "level", "reason"),
    [
        ({"dead_lettered": 1}, 0, 2, "degraded", "1 record of the last 15 minutes could not be processed"),
        ({"dead_lettered": 2}, 0, 800, "degraded", "2 records of the last 15 minutes could not be processed"),
        ({"records_lost": 7}, 0, 2, "bad", "7 records of the last 15 minutes were deleted by the log"),
        ({"commit_failures": 3}, 0, 2, "ok", ""),
        ({"commit_failures": 4}, 0, 2, "degraded", "it went back to an earlier commit 4 times in 10 minutes"),
        ({"log": Log()}, 0, 2, "degraded", "partitions of the log lack a replica in sync: 2"),
        ({"measured": delays(*[0.001] * 80, *[1.5] * 20)}, 0, 2, "ok", ""),
        ({"measured": delays(*[0.001] * 80, *[1.5] * 20)}, 0, 300, "degraded", "its event loop answers more than"),
        ({"measured": delays(*[0.001] * 95, *[1.5] * 5)}, 0, 300, "ok", ""),
        ({}, 9, 200, "ok", ""),
        ({}, 9, 300, "bad", "nothing was committed for 5 minutes, and 9 records wait"),
        ({"committed_records": 1}, 9, 300, "ok", ""),
        ({"paused": ("a",)}, 9, 300, "degraded", "agent a is paused"),
    ],
)
async def test_health_knows_what_the_alerts_know(
    now: dict[str, Any], behind: int, after_s: float, level: str, reason: str
) -> None:
    worker = StagedWorker(told=statistics(), behind=[lag("orders", 0, behind)])
    made = console(worker)
    made.history.observe()
    assert isinstance(worker.clock, StagedClock)
    worker.clock.now_s += after_s
    worker.told = statistics(**now)
    made.history.observe()
    verdict = judge(await Gathering(made).workers(), 0)
    assert verdict.level == level
    assert [text.startswith(reason) for _, text in verdict.reasons] == ([True] if reason else [])


async def test_what_was_long_ago_is_forgotten_and_what_lasts_gets_worse() -> None:
    worker = StagedWorker(told=statistics())
    made = console(worker)
    assert isinstance(worker.clock, StagedClock)
    levels: list[str] = []
    for told in (statistics(), statistics(dead_lettered=5, log=Log()), statistics(dead_lettered=5, log=Log())):
        worker.told = told
        made.history.observe()
        levels.append(judge(await Gathering(made).workers(), 0).level)
        worker.clock.now_s += 1_000
    assert levels == ["ok", "degraded", "bad"]
    worker.told = statistics(dead_lettered=5)
    made.history.observe()
    assert judge(await Gathering(made).workers(), 0).level == "ok"


async def test_a_restore_that_takes_too_long_and_a_lag_that_is_too_old() -> None:
    restoring = PartitionStatistics(3, "restoring", 0, 25, 100, 901.0)
    behind = [lag("t", 0, 9, 660.0), lag("files", 0, 9, 660.0, gathers_s=600.0)]
    worker = StagedWorker(told=statistics(partitions=(restoring,)), behind=behind)
    verdict = judge(await Gathering(console(worker)).workers(), 0)
    assert verdict.reasons == [
        ("bad", "partition 3 is being restored for 15 minutes"),
        ("degraded", "partition 3 is being restored, 25 %"),
        ("degraded", "t is 11 minutes behind (9 records)"),
    ]


def test_the_trend_of_lag_is_told_in_seconds_too() -> None:
    worker = StagedWorker(told=statistics())
    made = console(worker)
    for seconds in (0.5, 2.0):
        worker.behind = [lag("orders", 0, 5, seconds), lag("orders", 1, 5, 0.25)]
        made.history.observe()
    (told,) = report(made).lags
    assert (told.trend, told.trend_s) == ([10, 10], [0.5, 2.0])
    there = WorkerReport("b", lags=[TopicLag("orders", 1, 5, 9.0, "OK", 1.0, [1], [9.0])])
    assert merged_lags([WorkerReport("a", lags=[told]), there])[0].trend_s == [0.5, 9.0]


def test_lags_of_several_workers_are_one() -> None:
    one = WorkerReport("a", lags=[TopicLag("t", 2, 5, 1.0, "OK", 1.0, [1, 2, 5]), TopicLag("u", 2, 0, 0.0, "OK")])
    two = WorkerReport("b", lags=[TopicLag("t", 1, 3, 9.0, "STALL", 0.5, [4, 3])])
    assert merged_lags([one, two]) == [
        TopicLag("t", 3, 8, 9.0, "STALL", 0.5, [1, 6, 8]),
        TopicLag("u", 2, 0, 0.0, "OK", 1.0, []),
    ]


def test_restores_are_told() -> None:
    worker = StagedWorker(told=statistics(partitions=(PartitionStatistics(3, "restoring", 0, 25, 100, 5.0),)))
    assert report(console(worker)).partitions == [Owned(3, "restoring", 25, 100, 15.0, 5.0)]


def test_what_is_logged_is_kept_and_repeats_count_once() -> None:
    errors = RecentErrors(lambda record: {"topic": "t", "offset": 5, "task": "x", "agent": None})
    log = logging.Logger("some.code")
    log.addHandler(errors)
    log.info("all is well")
    log.warning("%d left", 5)
    for _ in range(3):
        try:
            raise ValueError("no such key")
        except ValueError:
            log.exception("cannot go on")
    told = errors.latest()
    assert [(one.level, one.message, one.times) for one in told] == [
        ("ERROR", "cannot go on: ValueError('no such key')", 3),
        ("WARNING", "5 left", 1),
    ]
    assert told[0].where == {"topic": "t", "offset": "5"}
    for number in range(100):
        log.error("error %d", number)
    assert len(errors.latest()) == 50
    assert errors.latest()[0].message == "error 99"


def test_a_card_that_fails_is_told_in_its_place() -> None:
    def fails() -> list[HomeLine]:
        raise ValueError("no table")

    made = console(StagedWorker())
    made.cards += [HomeCard("Alerts", "/alerts", lambda: [HomeLine("one", ts=1.0)]), HomeCard("Broken", "", fails)]
    good, bad = report(made).cards
    assert (good.title, good.lines, good.error) == ("Alerts", [HomeLine("one", ts=1.0)], "")
    assert (bad.lines, bad.error) == ([], "ValueError: no table")
