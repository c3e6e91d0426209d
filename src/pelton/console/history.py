"""The last minutes of one worker: how many events and records a second, and how lag went.

A look every few seconds at counters that the engine keeps anyway. What leaves this worker takes its counts along, so
rates are never below zero, and those of a moment in which a partition came or went are too low.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec

from pelton.console.worker import Worker
from pelton.runtime.statistics import RuntimeStatistics

__all__ = ["Counts", "History", "Lately", "Sample"]

logger = logging.getLogger(__name__)

#: A look is so many seconds after the one before, and counts for so many looks: five minutes.
LOOK_EVERY_S = 2.0
LOOKS = 150
#: Rates are those of the last looks, so that one slow commit does not make them jump.
_RATE_LOOKS = 5
#: What grows is looked at over the same times as deploy/monitoring/alerts.yml does, in seconds.
DEAD_LETTERS_S = 900.0
COMMIT_FAILURES_S = 600.0
SHORT_S = 300.0
#: An event loop that answers later than this, in seconds, is late.
LATE_S = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look, with everything by name.

    time_s: by the monotonic clock. agents: events; read, written, lags: records; lags_s: the seconds of the partition
    that is behind most.
    """

    time_s: float
    events: int = 0
    agents: Mapping[str, int] = field(default_factory=dict[str, int])
    read: Mapping[str, int] = field(default_factory=dict[str, int])
    written: Mapping[str, int] = field(default_factory=dict[str, int])
    lags: Mapping[str, int] = field(default_factory=dict[str, int])
    lags_s: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class Counts:
    """What one look found counted since the worker started.

    looped: how often the event loop was asked how late it is; late: how often it was more than a second.
    lacking: partitions of the log that lack a replica in sync, at that moment.
    """

    time_s: float
    committed: int = 0
    commit_failures: int = 0
    dead_lettered: int = 0
    records_lost: int = 0
    looped: int = 0
    late: int = 0
    lacking: int = 0


class Lately(msgspec.Struct):
    """What became more lately, over the same times as the rules of deploy/monitoring.

    dead_lettered, records_lost: of 15 minutes. commit_failures: of 10. committed, late_share: events committed, and
    which share of the event loop's answers came more than a second late, in 5 minutes; None before that long.
    lacking: partitions of the log that lack a replica in sync now; lacking_s: for how long there have been some.
    """

    dead_lettered: int = 0
    records_lost: int = 0
    commit_failures: int = 0
    committed: int | None = None
    late_share: float | None = None
    lacking: int = 0
    lacking_s: float = 0.0


class History:
    """Looks at a worker for as long as its web server runs."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._samples: deque[Sample] = deque(maxlen=LOOKS)
        self._counts: deque[Counts] = deque(maxlen=int(DEAD_LETTERS_S / LOOK_EVERY_S) + 1)
        self._lacking_since_s: float | None = None
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._looking = asyncio.create_task(self._look(), name="pelton console")

    async def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            try:
                self.observe()
            except Exception:  # a fault of ours, which must not end the trends of everything else
                logger.exception("a look at this worker failed")
            await self._worker.clock.sleep(LOOK_EVERY_S, idle=True)

    def observe(self) -> None:
        """Take one look."""
        statistics = self._worker.statistics()
        if statistics is None:
            return
        agents, read, lags = Counter[str](), Counter[str](), Counter[str]()
        lags_s: dict[str, float] = {}
        for task in statistics.tasks:
            agents[task.agent] += task.events
        for source, flow in statistics.measured.fetched.items():
            read[source.topic] += flow.records
        for lag in self._worker.lags():
            lags[lag.topic] += lag.lag
            lags_s[lag.topic] = max(lags_s.get(lag.topic, 0.0), lag.lag_s)
        written = dict(statistics.measured.written)
        now_s = self._worker.clock.monotonic()
        self._samples.append(Sample(now_s, statistics.records_in, agents, read, written, lags, lags_s))
        self._count(statistics, now_s)

    def _count(self, statistics: RuntimeStatistics, now_s: float) -> None:
        delays = statistics.measured.loop_delay_s
        looped = late = 0
        if delays is not None:
            looped = sum(delays.counts)
            late = sum(delays.counts[bisect_right(delays.bounds, LATE_S) :])
        lacking: Mapping[str, int] = getattr(statistics.log, "under_replicated", {})
        counts = Counts(
            now_s,
            statistics.committed_records,
            statistics.commit_failures,
            statistics.dead_lettered,
            statistics.records_lost,
            looped,
            late,
            sum(lacking.values()),
        )
        self._counts.append(counts)
        if not counts.lacking:
            self._lacking_since_s = None
        elif self._lacking_since_s is None:
            self._lacking_since_s = now_s

    def lately(self) -> Lately:
        """Return what became more lately."""
        if not self._counts:
            return Lately()
        now = self._counts[-1]
        quarter, ten, short = (self._before(length) for length in (DEAD_LETTERS_S, COMMIT_FAILURES_S, SHORT_S))
        told = Lately(
            max(0, now.dead_lettered - quarter.dead_lettered),
            max(0, now.records_lost - quarter.records_lost),
            max(0, now.commit_failures - ten.commit_failures),
            lacking=now.lacking,
            lacking_s=0.0 if self._lacking_since_s is None else now.time_s - self._lacking_since_s,
        )
        if now.time_s - short.time_s >= SHORT_S - LOOK_EVERY_S:
            told.committed = max(0, now.committed - short.committed)
            if (looped := now.looped - short.looped) > 0:
                told.late_share = (now.late - short.late) / looped
        return told

    def _before(self, length_s: float) -> Counts:
        """Return the earliest look that is not longer ago."""
        now_s = self._counts[-1].time_s
        return next(one for one in self._counts if now_s - one.time_s <= length_s)

    def rate(self) -> float:
        """Return events a second, of the last seconds."""
        before, now = self._ends()
        return _per_s(before.events, now.events, now.time_s - before.time_s)

    def rates(self, kind: str) -> dict[str, float]:
        """Return what is counted by name, a second, of the last seconds. kind: "agents", "read" or "written"."""
        before, now = self._ends()
        then: Mapping[str, int] = getattr(before, kind)
        counts: Mapping[str, int] = getattr(now, kind)
        seconds = now.time_s - before.time_s
        return {name: _per_s(then.get(name, 0), count, seconds) for name, count in counts.items()}

    def throughput(self) -> Sequence[float]:
        """Return events a second between each two looks, oldest first."""
        looks = list(self._samples)
        return [_per_s(before.events, now.events, now.time_s - before.time_s) for before, now in pairwise(looks)]

    def lag(self, topic: str) -> Sequence[int]:
        """Return how many records of a topic each look found left, oldest first."""
        return [one.lags.get(topic, 0) for one in self._samples]

    def lag_s(self, topic: str) -> Sequence[float]:
        """Return how many seconds a topic was behind at each look, oldest first."""
        return [round(one.lags_s.get(topic, 0.0), 1) for one in self._samples]

    def _ends(self) -> tuple[Sample, Sample]:
        if not self._samples:
            return Sample(0.0), Sample(0.0)
        return self._samples[max(-len(self._samples), -1 - _RATE_LOOKS)], self._samples[-1]


def _per_s(before: int, now: int, seconds: float) -> float:
    return max(0.0, (now - before) / seconds) if seconds > 0 else 0.0
