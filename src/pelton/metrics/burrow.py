"""Whether a consumer keeps up, as Burrow judges it: by a window of its commits, and no threshold.

How much lag is too much nobody can say for all topics. What can be told is whether it is worked off: from the last
commits of a partition, each with the lag there was then.
Source: Burrow's consumer lag evaluation rules, github.com/linkedin/Burrow/wiki/Consumer-Lag-Evaluation-Rules, and the
order in which its evaluator applies them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

__all__ = ["INTERVALS", "MIN_DISTANCE_MS", "SEVERITIES", "Commit", "CommitWindow", "Status", "judge", "worst"]

Status = Literal["OK", "WARN", "STALL", "STOP", "REWIND"]

#: How bad each is: 0 is well, 1 a warning, 2 an error. Burrow's order where two of a kind are to be compared.
SEVERITIES: dict[Status, int] = {"OK": 0, "WARN": 1, "STALL": 2, "STOP": 2, "REWIND": 2}

#: Burrow's defaults: the commits that a window holds, and how far apart they are at least.
INTERVALS = 10
MIN_DISTANCE_MS = 1_000


class Commit(NamedTuple):
    """One commit of a partition: the offset, the records that were behind it then, when it was made."""

    offset: int
    lag: int
    time_ms: int


def judge(
    commits: Sequence[Commit], lag: int, now_ms: int, *, waits_ms: float, least_span_ms: int = 0, gathers_ms: float = 0
) -> Status:
    """Return how a partition does.

    commits: the window, oldest first. lag: what there is now; waits_ms: for how long its first record has been there.
    now_ms: the time, by the clock of the commits.
    least_span_ms: how long a window counts for at least: a young one is so short that any pause would be a STOP.
    gathers_ms: for how long the consumer gathers records on purpose. What waits no longer than that, and the time of a
    window to handle it, says nothing of whether it keeps up: Burrow does not know such consumers.

    The rules, in Burrow's order:
    1. OK when there is no lag now.
    2. STOP when the last commit is longer ago than the window spans: nothing is committed any more. Who had caught up
       a moment ago has not stopped: with nothing to do there is nothing to commit.
    3. OK when there was no lag at some commit of the window: it has caught up since.
    4. REWIND when an offset is lower than the one before: somebody sent it back.
    5. STALL when all commits are of one offset, with lag at each: it commits, and does not move.
    6. WARN when it moves, and the lag grew or stayed at every commit: it is slower than what comes in.
    """
    if not commits or lag <= 0 or (gathers_ms and waits_ms <= gathers_ms + least_span_ms):
        return "OK"
    span_ms = max(commits[-1].time_ms - commits[0].time_ms, least_span_ms)
    if now_ms - commits[-1].time_ms > span_ms and waits_ms > least_span_ms:
        return "STOP"
    return _judge_movement(commits)


def _judge_movement(commits: Sequence[Commit]) -> Status:
    """Return what the commits say of a consumer that goes on committing."""
    if any(commit.lag <= 0 for commit in commits):
        return "OK"
    if len(commits) == 1:
        return "OK"  # one commit tells nothing of how it moves; Burrow's own evaluator would call it a stall
    if any(after.offset < before.offset for before, after in pairwise(commits)):
        return "REWIND"
    if all(commit.offset == commits[0].offset for commit in commits):
        return "STALL"
    return "WARN" if all(after.lag >= before.lag for before, after in pairwise(commits)) else "OK"


class CommitWindow:
    """The last commits of one partition.

    intervals: how many. min_distance_ms: how far apart at least. least_span_ms: see `judge`; a full window's when None.
    """

    def __init__(
        self,
        intervals: int = INTERVALS,
        min_distance_ms: int = MIN_DISTANCE_MS,
        least_span_ms: int | None = None,
    ) -> None:
        self._commits: deque[Commit] = deque(maxlen=intervals)
        self._min_distance_ms = min_distance_ms
        self._least_span_ms = intervals * min_distance_ms if least_span_ms is None else least_span_ms

    @property
    def complete(self) -> float:
        """How much of the window there is: 1 when it is full."""
        return len(self._commits) / (self._commits.maxlen or 1)

    def add(self, commit: Commit) -> None:
        """Take a commit in; one that follows too soon takes the place of the one before, at that one's time."""
        if self._commits and commit.time_ms - self._commits[-1].time_ms < self._min_distance_ms:
            before = self._commits.pop()
            commit = commit._replace(time_ms=before.time_ms)
        self._commits.append(commit)

    def status(self, lag: int, now_ms: int, waits_ms: float, gathers_ms: float = 0) -> Status:
        """Return how the partition does; see `judge`."""
        span_ms = self._least_span_ms
        return judge(self._commits, lag, now_ms, waits_ms=waits_ms, least_span_ms=span_ms, gathers_ms=gathers_ms)


def worst(statuses: Sequence[Status]) -> Status:
    """Return the worst of several; OK when there are none."""
    order: tuple[Status, ...] = ("REWIND", "STOP", "STALL", "WARN", "OK")
    return order[min(map(order.index, statuses), default=-1)]
