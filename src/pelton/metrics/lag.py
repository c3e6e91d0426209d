"""How far a worker's partitions are behind: in records, in seconds, and judged as Burrow does.

It looks once a second beside the work, or more rarely where that takes long: what is committed (the runtime knows), and
how far the log goes (the log is asked). So a partition that is not fetched does not pass for one that has nothing to
read.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pelton.batch import TopicPartition
from pelton.clock import Clock
from pelton.errors import PeltonError
from pelton.log.contract import Log, OffsetRange
from pelton.metrics.burrow import Commit, CommitWindow, Status
from pelton.runtime.partition import Partition
from pelton.runtime.runtime import Runtime

__all__ = ["Growth", "LagWatch", "PartitionLag"]

logger = logging.getLogger(__name__)

#: Burrow takes one commit a second into its window.
_LOOK_EVERY_S = 1.0
#: A look at 64 partitions of SQLite takes 7 ms of CPU: of many more, or where the log is slow, it looks more rarely, so
#: that looking is not the work.
_PAUSE_TIMES = 50
_PAUSE_S_MAX = 10.0
#: For so many looks it is known how far the log went.
_ENDS_MAX = 600


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """How far one partition is behind.

    committed, end: offsets. lag: records between them. lag_s: how long ago the first of them was written, 0 when there
    is none. status: as Burrow judges it. complete: how much of Burrow's window there is, from 0 to 1.
    gathers_s: for how long an agent holds records on purpose at most, to handle them together.
    """

    topic: str
    partition: int
    committed: int
    end: int
    lag: int
    lag_s: float
    status: Status
    complete: float
    gathers_s: float = 0.0


class Growth:
    """When a partition grew to what length, as far as it was watched."""

    def __init__(self) -> None:
        self._ends: deque[tuple[int, int]] = deque(maxlen=_ENDS_MAX)

    def observe(self, end: int, now_ms: int) -> None:
        """Note where it ends now. Of looks that found the same end, the first and the last count."""
        if len(self._ends) > 1 and self._ends[-2][0] == self._ends[-1][0] == end:
            self._ends.pop()
        self._ends.append((end, now_ms))

    def written_ms(self, offset: int) -> float | None:
        """Return about when the record at an offset was written; None where it was there before anybody looked."""
        before: tuple[int, int] | None = None
        for end, time_ms in self._ends:
            if end > offset:
                if before is None:
                    return None
                return before[1] + (time_ms - before[1]) * (offset - before[0]) / (end - before[0])
            before = end, time_ms
        return None

    @property
    def since_ms(self) -> int:
        """When the watch began that is remembered; only after the first look."""
        return self._ends[0][1]


@dataclass(slots=True)
class _Watched:
    """What is known of one partition of a topic. commits: the partition number's, as of the last look."""

    window: CommitWindow = field(default_factory=CommitWindow)
    growth: Growth = field(default_factory=Growth)
    commits: int = -1


class LagWatch:
    """Watches the partitions that run here. lags: as of the last look, in order."""

    def __init__(self, runtime: Runtime, log: Log, clock: Clock) -> None:
        self.lags: Sequence[PartitionLag] = ()
        self._runtime = runtime
        self._log = log
        self._clock = clock
        self._watched: dict[TopicPartition, _Watched] = {}
        self._ends: Mapping[TopicPartition, OffsetRange] = {}
        self._trouble = ""
        self._looking = asyncio.create_task(self._run(), name="pelton lag")

    async def _run(self) -> None:
        while True:
            began_s = self._clock.monotonic()
            await self._look()
            pause_s = _PAUSE_TIMES * (self._clock.monotonic() - began_s)
            await self._clock.sleep(min(max(pause_s, _LOOK_EVERY_S), _PAUSE_S_MAX), idle=True)

    async def _look(self) -> None:
        running = [one for one in self._runtime.partitions.values() if one.state == "running"]
        sources = [source for one in running for source in one.standing()]
        try:
            self._ends = await self._log.offsets(sources) if sources else {}
            self._trouble = ""
        except PeltonError as error:  # the old ends stand meanwhile
            if str(error) != self._trouble:
                logger.warning("how far the log goes is not known: %s", error)
            self._trouble = str(error)
        # What left while the log was asked is not told any more.
        running = [one for one in running if one.state == "running"]
        now_ms = self._clock.time_ms()
        self.lags = sorted((lag for one in running for lag in self._lags(one, now_ms)), key=_by_name)
        here = {TopicPartition(lag.topic, lag.partition) for lag in self.lags}
        self._watched = {source: one for source, one in self._watched.items() if source in here}

    def _lags(self, partition: Partition, now_ms: int) -> Sequence[PartitionLag]:
        found: list[PartitionLag] = []
        for source, committed in partition.standing().items():
            if source not in self._ends:
                continue
            end = max(committed, self._ends[source].end)
            watched = self._watched.setdefault(source, _Watched())
            watched.growth.observe(end, now_ms)
            if watched.commits != partition.commits:  # where it stood when it came counts as a commit, too
                watched.commits = partition.commits
                watched.window.add(Commit(committed, end - committed, now_ms))
            lag_s = self._age_s(source, committed, watched.growth, now_ms) if end > committed else 0.0
            gathers_s, complete = partition.gathers_s(source), watched.window.complete
            status = watched.window.status(end - committed, now_ms, lag_s * 1000, gathers_s * 1000)
            found.append(PartitionLag(*source, committed, end, end - committed, lag_s, status, complete, gathers_s))
        return found

    def _age_s(self, source: TopicPartition, offset: int, growth: Growth, now_ms: int) -> float:
        """Return how long ago the record at an offset was written.

        Where it was there before the watch began, its batch's timestamp tells; where nobody has fetched it, the watch
        itself: it is at least that old.
        """
        written_ms = growth.written_ms(offset)
        if written_ms is None:
            told_ms = self._runtime.measures.written_ms(source, offset)
            written_ms = growth.since_ms if told_ms is None else min(told_ms, growth.since_ms)
        return max(0.0, (now_ms - written_ms) / 1000)

    def crash(self) -> BaseException | None:
        """Return the error that ended the watch against all rules, if one did."""
        looking = self._looking
        return looking.exception() if looking.done() and not looking.cancelled() else None

    async def close(self) -> None:
        """Look no more."""
        self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)


def _by_name(lag: PartitionLag) -> tuple[str, int]:
    return lag.topic, lag.partition
