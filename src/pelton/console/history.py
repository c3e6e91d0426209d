"""The last minutes of one worker: how many events and records a second, and how lag went.

A look every few seconds at counters that the engine keeps anyway. What leaves this worker takes its counts along, so
rates are never below zero, and those of a moment in which a partition came or went are too low.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pelton.console.worker import Worker

__all__ = ["History", "Sample"]

logger = logging.getLogger(__name__)

#: A look is so many seconds after the one before, and counts for so many looks: five minutes.
LOOK_EVERY_S = 2.0
LOOKS = 150
#: Rates are those of the last looks, so that one slow commit does not make them jump.
_RATE_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. time_s: by the monotonic clock. agents: events; read, written: records; lags: records. All by name."""

    time_s: float
    events: int = 0
    agents: Mapping[str, int] = field(default_factory=dict[str, int])
    read: Mapping[str, int] = field(default_factory=dict[str, int])
    written: Mapping[str, int] = field(default_factory=dict[str, int])
    lags: Mapping[str, int] = field(default_factory=dict[str, int])


class History:
    """Looks at a worker for as long as its web server runs."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._samples: deque[Sample] = deque(maxlen=LOOKS)
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
        for task in statistics.tasks:
            agents[task.agent] += task.events
        for source, flow in statistics.measured.fetched.items():
            read[source.topic] += flow.records
        for lag in self._worker.lags():
            lags[lag.topic] += lag.lag
        written = dict(statistics.measured.written)
        now_s = self._worker.clock.monotonic()
        self._samples.append(Sample(now_s, statistics.records_in, agents, read, written, lags))

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

    def _ends(self) -> tuple[Sample, Sample]:
        if not self._samples:
            return Sample(0.0), Sample(0.0)
        return self._samples[max(-len(self._samples), -1 - _RATE_LOOKS)], self._samples[-1]


def _per_s(before: int, now: int, seconds: float) -> float:
    return max(0.0, (now - before) / seconds) if seconds > 0 else 0.0
