"""Replicated (global) tables: every worker holds all partitions, and follows their changelogs.

A write of this worker joins the transaction of its event like any other; it is seen here at once, and by other workers
when they have read it back from the changelog.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.clock import Clock
from pelton.config import EngineConfig
from pelton.errors import UnavailableError
from pelton.log.contract import Log, OffsetRange
from pelton.log.partitioner import partition_for
from pelton.runtime.restore import changelog_writes
from pelton.runtime.spec import TableSpec
from pelton.runtime.threads import in_thread
from pelton.state.cache import TableCache
from pelton.state.contract import Store, TableWrites

__all__ = ["ReplicatedTables", "position_table"]

logger = logging.getLogger(__name__)

#: The wait before a changelog is read again, when the log does not answer.
_RETRY_S = 0.5
#: How long one read of a changelog's end waits; more partitions than one are read side by side.
_FOLLOW_S = 0.25


def position_table(table: str, number: int) -> str:
    """Return the name under which the store keeps how far changelog partition n was read."""
    return f"{table}@{number}"


class ReplicatedTables:
    """All replicated tables of an application, in one store.

    counts: changelog topic -> number of partitions.
    The store is written by following the changelogs alone: two ways into it would overtake each other, and leave an
    older value over a newer one (invariant I3). Until a write of this worker has come round, its cache holds it.
    """

    def __init__(
        self,
        log: Log,
        store: Store,
        tables: Sequence[TableSpec],
        counts: Mapping[str, int],
        config: EngineConfig,
        clock: Clock,
    ) -> None:
        self._log = log
        self._store = store
        self._tables = tables
        self._counts = counts
        self._config = config
        self._clock = clock
        self._cache_bytes_max = config.table_cache_bytes_max // len(tables)
        self._followers: list[asyncio.Task[None]] = []
        #: The offsets behind own writes that are durable and have not come round yet.
        self._unread: dict[TopicPartition, int] = {}
        self._followed: dict[TopicPartition, int] = {}
        self._committing = False
        self.caches: dict[str, TableCache] = {}
        self.reset()

    @property
    def store(self) -> Store:
        """What the changelogs have brought: committed values only."""
        return self._store

    def reset(self) -> None:
        """Forget whatever was not committed."""
        self._committing = False
        self.caches = {
            spec.name: TableCache(
                spec.name,
                self._store,
                window_size_ms=spec.window_size_ms,
                retention_ms=spec.retention_ms,
                bytes_max=self._cache_bytes_max,
            )
            for spec in self._tables
        }

    async def start(self) -> None:
        """Read every changelog to its end, then go on following them."""
        for spec in self._tables:
            sources = [
                TopicPartition(spec.changelog.name, number) for number in range(self._counts[spec.changelog.name])
            ]
            spans = await self._log.offsets(sources, decided=True)
            positions = await self._starting_positions(spec, spans)
            for source in sources:
                while positions[source] < spans[source].end:
                    positions[source] = await self._follow(spec, source, positions[source])
                self._followed[source] = positions[source]
                following = self._follow_on(spec, source, positions[source])
                self._followers.append(asyncio.create_task(following, name=f"follow {source}"))
        self.reset()

    async def _starting_positions(
        self, spec: TableSpec, spans: Mapping[TopicPartition, OffsetRange]
    ) -> dict[TopicPartition, int]:
        """Return where to go on; a store that the changelog cannot continue is wiped, for its keys are mixed."""
        marks = {source: self._store.position(position_table(spec.name, source.partition)) for source in spans}
        lost = [s for s, mark in marks.items() if mark is not None and not spans[s].start <= mark <= spans[s].end]
        if lost:
            logger.warning("%s: the store stands outside of it, the table is wiped and restored", lost[0])
            for table in (spec.name, *(position_table(spec.name, source.partition) for source in spans)):
                await in_thread(self._store.wipe, table)
            marks = dict.fromkeys(marks)
        return {source: spans[source].start if mark is None else mark for source, mark in marks.items()}

    async def _follow_on(self, spec: TableSpec, source: TopicPartition, position: int) -> None:
        while True:
            try:
                position = await self._follow(spec, source, position)
            except UnavailableError as error:
                logger.warning("%s is not followed for a moment: %s", source, error)
                await self._clock.sleep(_RETRY_S)

    async def _follow(self, spec: TableSpec, source: TopicPartition, position: int) -> int:
        bytes_max = self._config.restore_bytes_max
        batch = await self._log.read(source, position, bytes_max=bytes_max, timeout_s=_FOLLOW_S)
        if batch.next_offset > position:
            await in_thread(self._store.write, self._writes(spec, source, batch))
            self.caches[spec.name].invalidate(key for key in batch.keys if key is not None)
            self._came_round(source, batch.next_offset)
        self._followed[source] = batch.next_offset
        return batch.next_offset

    def _came_round(self, source: TopicPartition, position: int) -> None:
        """Read from the store again once all own writes are in it."""
        if self._unread.get(source, position + 1) <= position:
            del self._unread[source]
            self._forget(0)

    def _forget(self, cache_bytes_max: int) -> None:
        if not self._unread and not self._committing:
            for cache in self.caches.values():
                cache.stored(cache_bytes_max)

    def _writes(self, spec: TableSpec, source: TopicPartition, batch: RecordBatch) -> Mapping[str, TableWrites]:
        writes = changelog_writes(batch)
        mark = TableWrites(position=writes.position)
        return {spec.name: TableWrites(puts=writes.puts), position_table(spec.name, source.partition): mark}

    def stage(self, now_ms: int) -> list[OutgoingBatch]:
        """Take the writes of all complete events since the last commit, as changelog batches."""
        batches: dict[TopicPartition, OutgoingBatch] = {}
        for spec in self._tables:
            topic = spec.changelog.name
            for key, value in self.caches[spec.name].take().items():
                target = TopicPartition(topic, partition_for(key, self._counts[topic]))
                batch = batches.setdefault(target, OutgoingBatch(topic, target.partition, rank=spec.rank))
                batch.append(key, value, now_ms)
        self._committing = bool(batches)
        return list(batches.values())

    @property
    def staged(self) -> bool:
        """Whether there are writes of complete events that no commit has taken."""
        return any(cache.dirty for cache in self.caches.values())

    @property
    def staged_bytes(self) -> int:
        """About the memory of those writes; looks at each of them."""
        return sum(cache.dirty_bytes() for cache in self.caches.values())

    def committed(self, ends: Mapping[TopicPartition, int]) -> None:
        """Say that what `stage` took is durable. ends: the offset behind each batch of the commit."""
        topics = {spec.changelog.name for spec in self._tables}
        own = {source: end for source, end in ends.items() if source.topic in topics}
        self._unread |= {source: end for source, end in own.items() if self._followed[source] < end}
        self._committing = False
        self._forget(0 if own else self._cache_bytes_max)

    async def stop(self) -> None:
        """Stop following, and let go of the store."""
        for follower in self._followers:
            follower.cancel()
        await asyncio.gather(*self._followers, return_exceptions=True)
        self._followers.clear()
        self._store.close()

    def crash(self) -> BaseException | None:
        """Return the error that ended a follower, if one did."""
        for follower in self._followers:
            if follower.done() and not follower.cancelled() and (error := follower.exception()) is not None:
                return error
        return None
