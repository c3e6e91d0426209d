"""Whether all is well, in one line: the worst that any worker, partition or topic has to tell, and why.

What deploy/monitoring/alerts.yml wakes somebody for is told here too, by the same measures, and sooner where a moment
tells as much as minutes.
"""

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


#: As the rules of deploy/monitoring have it, in seconds, and as counts.
_LAG_TOO_OLD_S = 300
_RESTORE_TOO_LONG_S = 900
_LACKING_TOO_LONG_S = 600
_COMMIT_FAILURES_MAX = 3
_LATE_SHARE_MAX = 0.1


class Verdict(NamedTuple):
    """The worst level there is, and the reasons, the worst first; none when all is well."""

    level: Level
    reasons: Sequence[tuple[Level, str]]


def judge(workers: Sequence[Colleague], partitions: int) -> Verdict:
    """Return how the application does. partitions: how many numbers there are to be owned."""
    found = [reason for one in workers for reason in _of(one, several=len(workers) > 1)]
    found += _unowned(workers, partitions)
    found += _together([one.report for one in workers if one.report is not None])
    found.sort(key=lambda reason: -LEVELS.index(reason[0]))
    return Verdict(found[0][0] if found else "ok", list(dict.fromkeys(found)))


def _of(worker: Colleague, *, several: bool) -> Iterator[tuple[Level, str]]:
    name = f"worker {worker.member.address or worker.member.member_id}: " if several else ""
    told = worker.report
    if told is None:
        # A worker without a web server is one that somebody started so.
        if worker.member.address:
            told_whose = worker.member.address in worker.silent
            yield "degraded", worker.silent if told_whose else f"{name or 'a worker: '}{worker.silent}"
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
        elif lag.lag_s - lag.gathers_s > _LAG_TOO_OLD_S and lag.complete >= 1:
            yield "degraded", f"{lag.topic} is {lag.lag_s / 60:.0f} minutes behind ({lag.lag:,} records)"
    for level, what in _lately(told):
        yield level, f"{name}{what}"


def _lately(told: WorkerReport) -> Iterator[tuple[Level, str]]:
    lately = told.lately
    for one in told.partitions:
        if one.state == "restoring" and one.restore_s > _RESTORE_TOO_LONG_S:
            yield "bad", f"partition {one.number} is being restored for {one.restore_s / 60:.0f} minutes"
    if lately.commit_failures > _COMMIT_FAILURES_MAX:
        yield "degraded", f"it went back to an earlier commit {lately.commit_failures} times in 10 minutes"
    if lately.late_share is not None and lately.late_share > _LATE_SHARE_MAX:
        yield "degraded", f"its event loop answers more than a second late, {100 * lately.late_share:.0f} % of the time"


def _together(told: Sequence[WorkerReport]) -> Iterator[tuple[Level, str]]:
    """Yield what is told of all workers together: what they lose, leave, and share."""
    if lost := sum(one.lately.records_lost for one in told):
        yield "bad", f"{_records(lost)} of the last 15 minutes were deleted by the log before they were read"
    if dead := sum(one.lately.dead_lettered for one in told):
        yield "degraded", f"{_records(dead)} of the last 15 minutes could not be processed: see the dead letters"
    if lacking := max((one.lately.lacking for one in told), default=0):
        for_s = max(one.lately.lacking_s for one in told)
        level: Level = "bad" if for_s > _LACKING_TOO_LONG_S else "degraded"
        yield level, f"partitions of the log lack a replica in sync: {lacking}"
    committed = [one.lately.committed for one in told]
    behind = sum(lag.lag for one in told for lag in one.lags)
    idle = bool(told) and not any(count is None or count for count in committed)
    if idle and behind and not any(one.paused for one in told):
        yield "bad", f"nothing was committed for 5 minutes, and {_records(behind)} wait"


def _records(count: int) -> str:
    return f"{count:,} record{'' if count == 1 else 's'}"


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
