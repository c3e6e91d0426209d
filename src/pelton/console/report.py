"""What one worker tells of itself, to its own Home and to that of other workers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pelton.console.cards import Card, drawn
from pelton.console.history import Lately
from pelton.console.logged import LoggedError
from pelton.console.surroundings import Console
from pelton.metrics.burrow import Status, worst
from pelton.metrics.lag import PartitionLag
from pelton.runtime.statistics import RuntimeStatistics

__all__ = ["REPORT_PATH", "AgentNow", "Owned", "TopicLag", "WorkerReport", "report"]

REPORT_PATH = "/api/console/worker"
_ERRORS_TOLD = 20


class TopicLag(msgspec.Struct):
    """How far a worker is behind on a topic.

    partitions: of it, here. complete: how much there is of the windows that the status is judged by, 0 to 1. trend: lag
    of the last minutes, oldest first; trend_s: the same in seconds. gathers_s: what agents hold of lag_s on purpose.
    """

    topic: str
    partitions: int
    lag: int
    lag_s: float
    status: Status
    complete: float = 1.0
    trend: list[int] = []
    trend_s: list[float] = []
    gathers_s: float = 0.0


class Owned(msgspec.Struct):
    """A partition number of a worker. restored, restore_total: changelog records. left_s: None when nobody can tell.

    restore_s: the seconds that the restore has taken so far.
    """

    number: int
    state: str
    restored: int = 0
    restore_total: int = 0
    left_s: float | None = None
    restore_s: float = 0.0


class AgentNow(msgspec.Struct):
    """What an agent does on a worker now.

    rate: events a second. queued_bytes: what waits for it, and queued_bytes_max, from which on its partitions are not
    fetched. paused: by somebody. failures, dead_lettered: since its partitions came.
    """

    rate: float
    queued_bytes: int
    queued_bytes_max: int
    failures: int
    dead_lettered: int
    paused: bool = False


class WorkerReport(msgspec.Struct):
    """One worker. All but `address` may be missing: an older version may not tell it yet.

    rate: events a second; throughput: that of the last minutes, oldest first. read, written: topic -> records a second.
    standbys: partition number -> records that its copy is behind.
    """

    address: str
    now_ms: int = 0
    alive: bool = True
    troubles: list[str] = []
    outage: str = ""
    waiting: list[str] = []
    paused: list[str] = []
    rate: float = 0.0
    throughput: list[float] = []
    dead_lettered: int = 0
    records_lost: int = 0
    lately: Lately = msgspec.field(default_factory=Lately)
    lags: list[TopicLag] = []
    partitions: list[Owned] = []
    standbys: dict[int, int] = {}
    agents: dict[str, AgentNow] = {}
    read: dict[str, float] = {}
    written: dict[str, float] = {}
    errors: list[LoggedError] = []
    cards: list[Card] = []


def report(console: Console) -> WorkerReport:
    """Return what this worker tells now."""
    worker, history = console.worker, console.history
    health = worker.health()
    told = WorkerReport(
        worker.address,
        worker.clock.time_ms(),
        health.alive,
        [f"{trouble.what} (for {trouble.for_s:.0f} s)" for trouble in health.troubles],
        health.outage,
        list(worker.waiting()),
        rate=history.rate(),
        throughput=[round(rate, 1) for rate in history.throughput()],
        lags=_lags(console, worker.lags()),
        read=history.rates("read"),
        written=history.rates("written"),
        errors=list(console.errors.latest())[:_ERRORS_TOLD],
        lately=history.lately(),
        cards=[drawn(card) for card in console.cards],
    )
    statistics = worker.statistics()
    if statistics is not None:
        _tell(told, statistics, history.rates("agents"), worker.queue_bytes_max)
    return told


def _tell(told: WorkerReport, statistics: RuntimeStatistics, rates: dict[str, float], queue_bytes_max: int) -> None:
    """Add what the engine counts."""
    share = queue_bytes_max // max(1, len(statistics.lag))
    told.paused = list(statistics.paused)
    told.dead_lettered, told.records_lost = statistics.dead_lettered, statistics.records_lost
    told.partitions = [
        Owned(one.number, one.state, one.restored, one.restore_total, one.restore_left_s, one.restore_s)
        for one in sorted(statistics.partitions, key=lambda one: one.number)
    ]
    told.standbys = {one.number: sum(one.lag.values()) for one in statistics.standbys}
    for task in statistics.tasks:
        now = told.agents.setdefault(task.agent, AgentNow(rates.get(task.agent, 0.0), 0, 0, 0, 0))
        now.queued_bytes += task.queued_bytes
        now.queued_bytes_max += share
        now.failures += task.failures
        now.dead_lettered += task.dead_lettered
        now.paused = task.agent in statistics.paused


def _lags(console: Console, lags: Sequence[PartitionLag]) -> list[TopicLag]:
    by_topic: dict[str, list[PartitionLag]] = {}
    for one in lags:
        by_topic.setdefault(one.topic, []).append(one)
    return [
        TopicLag(
            topic,
            len(found),
            sum(one.lag for one in found),
            round(max(one.lag_s for one in found), 2),
            worst([one.status for one in found]),
            min(one.complete for one in found),
            list(console.history.lag(topic)),
            list(console.history.lag_s(topic)),
            max(one.gathers_s for one in found),
        )
        for topic, found in sorted(by_topic.items())
    ]
