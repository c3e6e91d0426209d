"""Fetching: batches come from the group and go to the tasks that read their topics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence

from pelton.batch import RecordBatch, TopicPartition
from pelton.clock import Clock
from pelton.errors import OffsetOutOfRangeError, UnavailableError
from pelton.killpoints import step
from pelton.log.contract import Group, Log
from pelton.runtime.assignment import Assignment
from pelton.runtime.lost import RetentionTrap
from pelton.runtime.measures import Measures
from pelton.runtime.partition import Partition
from pelton.runtime.pressure import Pressure
from pelton.runtime.retry import RETRY_MAX_S, RETRY_S
from pelton.runtime.source import SharedBatch
from pelton.runtime.task import Task
from pelton.runtime.topics import Topics

__all__ = ["Fetching"]

logger = logging.getLogger(__name__)

#: How long a fetch waits for its first record; a stop or a rebalance cuts it short.
_FETCH_S = 0.5


class Fetching:
    """Keeps the queues of the tasks filled, and no fuller than they may be.

    fetches: how many were begun; outage: what the log said when it did not answer, "" when it does;
    answering_since_s: when it began to answer again, in elapsed seconds.
    """

    def __init__(
        self,
        group: Callable[[], Group],
        assignment: Assignment,
        topics: Topics,
        log: Log,
        clock: Clock,
        pressure: Pressure,
        trap: RetentionTrap,
        measures: Measures,
    ) -> None:
        self.fetches = 0
        self.outage = ""
        self.answering_since_s = 0.0
        self._group = group
        self._assignment = assignment
        self._topics = topics
        self._log = log
        self._clock = clock
        self._pressure = pressure
        self._trap = trap
        self._measures = measures
        self._full: set[TopicPartition] = set()
        self._ended = False

    def end(self) -> None:
        """Begin no further fetch."""
        self._ended = True

    async def run(self) -> None:
        """Fetch until `end` is called. Raises: RecordsLostError, and what else ends a worker."""
        delay = RETRY_S
        while not self._ended:
            self.fetches += 1
            try:
                self._dispatch(await self._fetch())
            except UnavailableError as error:
                self.outage = str(error)
                logger.warning("the log does not answer, trying again in %.1f s: %s", delay, error)
                await self._clock.sleep(delay)
                delay = min(delay * 2, RETRY_MAX_S)
                continue
            if self.outage:
                self.answering_since_s = self._clock.monotonic()
            self.outage, delay = "", RETRY_S
            await asyncio.sleep(0)

    def owed(self, sources: Iterable[TopicPartition]) -> list[TopicPartition]:
        """Return those of which there may be records that were not fetched: all, while the log does not answer."""
        lag = self._group().lag()  # a source that is missing there was not heard of yet
        return [source for source in sources if self.outage or lag.get(source, 1)]

    @step("fetch")
    async def _fetch(self) -> Sequence[RecordBatch]:
        try:
            bytes_max = self._pressure.fetch_bytes_max(*self._open())
            return await self._group().fetch(bytes_max=bytes_max, timeout_s=_FETCH_S)
        except OffsetOutOfRangeError as error:
            return [await self._pass_lost(error)]

    def _open(self) -> tuple[int, int]:
        """Return how many partitions of topics are fetched now, and how many there are."""
        assigned = self._group().assignment()
        reading = {source for partition in self._assignment.running() for source in partition.wanted()}
        return len(reading - self._full), len(assigned)

    async def _pass_lost(self, error: OffsetOutOfRangeError) -> RecordBatch:
        """Go on behind records that are gone; the batch without records moves the tasks' positions there.

        Raises: RecordsLostError.
        """
        source = TopicPartition(error.topic or "", error.partition or 0)
        if error.topic is None or error.partition is None or source not in self._group().assignment():
            raise error
        span = (await self._log.offsets([source]))[source]
        if error.offset is None or error.offset >= span.start:
            raise error  # past the end: another topic goes by this name now, and nobody can tell where to go on
        committed = (await self._group().committed([source])).get(source)
        target = self._trap.pass_over(source, error.offset, committed.offset if committed else None, span)
        self._group().seek(source, target)
        return RecordBatch(*source, [], [], [], [], target)

    def _dispatch(self, batches: Iterable[RecordBatch]) -> None:
        """Hand each batch to the tasks that read its topic."""
        for batch in batches:
            partition = self._assignment.partitions.get(batch.partition)
            if partition is None or partition.state != "running":
                continue  # it left while the fetch was under way; whoever owns it now fetches it again
            self._measures.fetched(batch)
            shared = SharedBatch(batch)
            for task in partition.tasks:
                if batch.topic in task.spec.sources:
                    task.put(shared)
            if partition.queued_of(batch.source) > self._share():
                self._full.add(batch.source)
                self._group().pause([batch.source])

    def resume_drained(self) -> None:
        """Fetch again what waits in queues that are half empty."""
        for source in list(self._full):
            partition = self._assignment.partitions.get(source.partition)
            if partition is None or partition.state != "running":
                self._full.discard(source)  # a start of it resumes what is to be fetched
            elif partition.queued_of(source) < self._share() // 2:
                self._full.discard(source)
                if source in partition.wanted():
                    self._group().resume([source])

    def _share(self) -> int:
        """Return how much of one source may wait: a flood on one topic does not keep others from being fetched."""
        return self._pressure.queue_bytes_max(max(1, len(self._group().assignment())))

    def pauses_changed(self, partition: Partition, resumed: Collection[Task]) -> None:
        """Agents were paused or resumed: fetch what somebody reads, for those who come back from where they stand."""
        group, wanted = self._group(), partition.wanted()
        group.pause(source for source in self._topics.sources(partition.number) if source not in wanted)
        for source in {source for task in resumed for source in task.handed_out()}:
            group.seek(source, wanted[source])
        self._full -= {source for source in self._full if source.partition == partition.number}
        group.resume(wanted)
