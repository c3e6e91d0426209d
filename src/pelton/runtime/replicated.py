"""Replicated (global) tables: every worker holds all partitions, and follows their changelogs.

A write of this worker joins the transaction of its event like any other; it is seen here at once, and by other workers
when they have read it back from the changelog.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.log.contract import Log
from pelton.log.partitioner import partition_for
from pelton.runtime.restore import changelog_writes
from pelton.runtime.spec import TableSpec
from pelton.state.cache import TableCache
from pelton.state.contract import Store, TableWrites

__all__ = ["ReplicatedTables", "position_table"]

#: How long one read of a changelog's end waits; more partitions than one are read side by side.
_FOLLOW_S = 0.25


def position_table(table: str, number: int) -> str:
    """Return the name under which the store keeps how far changelog partition n was read."""
    return f"{table}@{number}"


class ReplicatedTables:
    """All replicated tables of an application, in one store.

    counts: changelog topic -> number of partitions.
    """

    def __init__(
        self, log: Log, store: Store, tables: Sequence[TableSpec], counts: Mapping[str, int], *, bytes_max: int
    ) -> None:
        self._log = log
        self._store = store
        self._tables = tables
        self._counts = counts
        self._bytes_max = bytes_max
        self._followers: list[asyncio.Task[None]] = []
        self.caches: dict[str, TableCache] = {}
        self.reset()

    def reset(self) -> None:
        """Forget whatever was not committed."""
        self.caches = {
            spec.name: TableCache(
                spec.name, self._store, window_size_ms=spec.window_size_ms, retention_ms=spec.retention_ms
            )
            for spec in self._tables
        }

    async def start(self) -> None:
        """Read every changelog to its end, then go on following them."""
        partitions = [
            (spec, TopicPartition(spec.changelog.name, number))
            for spec in self._tables
            for number in range(self._counts[spec.changelog.name])
        ]
        spans = await self._log.offsets([source for _, source in partitions])
        for spec, source in partitions:
            position = self._store.position(position_table(spec.name, source.partition))
            if position is None or not spans[source].start <= position <= spans[source].end:
                position = spans[source].start
            while position < spans[source].end:
                position = await self._follow(spec, source, position)
            self._followers.append(
                asyncio.create_task(self._follow_on(spec, source, position), name=f"follow {source}")
            )

    async def _follow_on(self, spec: TableSpec, source: TopicPartition, position: int) -> None:
        while True:
            position = await self._follow(spec, source, position)

    async def _follow(self, spec: TableSpec, source: TopicPartition, position: int) -> int:
        batch = await self._log.read(source, position, bytes_max=self._bytes_max, timeout_s=_FOLLOW_S)
        if batch.next_offset > position:
            await asyncio.to_thread(self._store.write, self._writes(spec, source, batch))
            self.caches[spec.name].invalidate(key for key in batch.keys if key is not None)
        return batch.next_offset

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
                batches.setdefault(target, OutgoingBatch(topic, target.partition)).append(key, value, now_ms)
        return list(batches.values())

    async def committed(self, cache_bytes_max: int) -> None:
        """Say that what `stage` took is durable: it goes into the store; following the changelog confirms it."""
        writes = {name: cache.committed(None) for name, cache in self.caches.items()}
        await asyncio.to_thread(self._store.write, writes)
        for cache in self.caches.values():
            cache.stored(cache_bytes_max)

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
