"""Whether all is well, in one line: the worst that any worker, partition or topic has to tell, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from pelton.console.gathering import Colleague
from pelton.console.report import Owned, WorkerReport
from pelton.metrics.burrow import SEVERITIES

__all__ = ["LEVELS", "Level", "Verdict", "judge"]

Level = Literal["ok", "degraded", "bad"]
LEVELS: tuple[Level, ...] = ("ok", "degraded", "bad")

#: What Burrow's words mean for a reader.
_IN_WORDS = {
    "WARN": "falls behind: more comes in than is worked off",
    "STALL": "stands still: it commits, and does not move",
    "STOP": "stands still: nothing is committed any more",
    "REWIND": "was sent back to an earlier offset",
}


class Verdict(NamedTuple):
    """The worst level there is, and the reasons, the worst first; none when all is well."""

    level: Level
    reasons: Sequence[tuple[Level, str]]


def judge(workers: Sequence[Colleague], partitions: int) -> Verdict:
    """Return how the application does. partitions: how many numbers there are to be owned."""
    found = [reason for one in workers for reason in _of(one, several=len(workers) > 1)]
    found += _unowned(workers, partitions)
    found.sort(key=lambda reason: -LEVELS.index(reason[0]))
    return Verdict(found[0][0] if found else "ok", list(dict.fromkeys(found)))


def _of(worker: Colleague, *, several: bool) -> Iterator[tuple[Level, str]]:
    name = f"worker {worker.member.address or worker.member.member_id}: " if several else ""
    told = worker.report
    if told is None:
        # A worker without a web server is one that somebody started so.
        if worker.member.address:
            yield "degraded", f"{name or 'a worker: '}{worker.silent}"
        return
    for trouble in told.troubles:
        yield "bad", f"{name}{trouble}"
    if not told.alive and not told.troubles:
        yield "bad", f"{name}it is stuck"
    if told.outage:
        yield "bad", f"{name}the log does not answer: {told.outage}"
    for what in _waiting(told):
        yield "degraded", f"{name}{what}"
    for agent in told.paused:
        yield "degraded", f"agent {agent} is paused"
    for lag in told.lags:
        level: Level = "bad" if SEVERITIES[lag.status] > 1 else "degraded"
        # After a start what waited is worked off at first: that a young window sees it grow tells nothing.
        if lag.status != "OK" and (level == "bad" or lag.complete >= 1):
            yield level, f"{lag.topic} {_IN_WORDS[lag.status]} ({lag.lag:,} records, {lag.lag_s:.0f} s)"


def _waiting(told: WorkerReport) -> Iterator[str]:
    """Yield what a worker waits for, with how far a restore is."""
    restoring = [one for one in told.partitions if one.state == "restoring" and one.restore_total]
    yield from (f"partition {one.number} is being restored, {_percent(one)} %" for one in restoring)
    said = {f"partition {one.number} " for one in restoring}
    yield from (what for what in told.waiting if not any(what.startswith(start) for start in said))


def _percent(one: Owned) -> int:
    return int(100 * one.restored / one.restore_total)


def _unowned(workers: Sequence[Colleague], partitions: int) -> Iterator[tuple[Level, str]]:
    owned = {number for one in workers for number in one.member.tasks}
    nobody = sorted(set(range(partitions)) - owned)
    if nobody and owned:
        yield "degraded", f"no worker has partition {', '.join(map(str, nobody))}"
