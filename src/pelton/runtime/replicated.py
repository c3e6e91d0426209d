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
from pelton.errors import StateCorruptedError, UnavailableError
from pelton.log.contract import Log, OffsetRange
from pelton.log.partitioner import partition_for
from pelton.runtime.facts import note_current, outdated
from pelton.runtime.restore import changelog_writes, forgotten, tell_too_slow
from pelton.runtime.spec import TableSpec
from pelton.runtime.threads import in_thread
from pelton.state.cache import TableCache
from pelton.state.contract import Store, TableWrites

__all__ = ["ReplicatedTables", "position_table"]

logger = logging.getLogger(__name__)

#: The wait before a changelog is read again, when the log does not answer.
_RETRY_S = 0.5
#: How often a changelog is read to its end before agents begin.
_PASSES = 2
#: How long one read of a changelog's end waits; more partitions than one are read side by side.
_FOLLOW_S = 0.25


class _StoodStill(StateCorruptedError):
    """A global table cannot be brought up from where it stands: its changelog has forgotten deletions."""


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
        #: Where the changelogs ended when the log was last asked, and when that was.
        self._spans: Mapping[TopicPartition, OffsetRange] = {}
        self._asked_ms = 0
        self._too_slow: set[TopicPartition] = set()
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
            try:
                positions = await self._fill(spec)
            except _StoodStill as error:
                logger.warning("%s; it begins anew", error)
                positions = await self._fill(spec, again=True)
            for source, position in positions.items():
                self._followed[source] = position
                following = self._follow_on(spec, source, position)
                self._followers.append(asyncio.create_task(following, name=f"follow {source}"))
        self.reset()

    async def _fill(self, spec: TableSpec, *, again: bool = False) -> dict[TopicPartition, int]:
        """Read a table's changelogs to their ends, and return these.

        again: whether it goes on when it takes longer than deletions are told: it would never come to an end.
        Raises: _StoodStill.
        """
        sources = [TopicPartition(spec.changelog.name, number) for number in self._numbers(spec)]
        names = {position_table(spec.name, source.partition): spec for source in sources}
        positions: dict[TopicPartition, int] = {}
        for _ in range(_PASSES):  # what came during the first is read in the second, which takes a moment
            asked_ms = self._clock.time_ms()
            spans = await self._log.offsets(sources, decided=True)
            positions = positions or await self._starting_positions(spec, spans, asked_ms)
            for source in sources:
                while positions[source] < spans[source].end:
                    positions[source] = await self._follow(spec, source, positions[source], anyhow=again)
            await in_thread(note_current, self._store, names, asked_ms)
        return positions

    async def _starting_positions(
        self, spec: TableSpec, spans: Mapping[TopicPartition, OffsetRange], asked_ms: int
    ) -> dict[TopicPartition, int]:
        """Return where to go on; a store that the changelog cannot continue is wiped, for its keys are mixed.

        asked_ms: when the log was asked for the spans, by the wall clock.
        """
        names = {source: position_table(spec.name, source.partition) for source in spans}
        marks = {source: self._store.position(name) for source, name in names.items()}

        def lost(source: TopicPartition) -> bool:
            mark, (start, end) = marks[source], spans[source]
            if mark is None:  # of a wiping that was cut off, or of a partition that nothing came in yet
                anything = start < end or all(one is None for one in marks.values())
                return anything and self._store.last_key(spec.name) is not None
            outside = not start <= mark <= end
            return outside or (mark < end and outdated(self._store, names[source], spec, asked_ms))

        gone = next((source for source in spans if lost(source)), None)
        if gone is not None:
            logger.warning("%s: it cannot bring the store up to date: the table is wiped and restored", gone)
            for table in (*names.values(), spec.name):
                await in_thread(self._store.wipe, table)
            marks = dict.fromkeys(marks)
        begun = {names[source]: spans[source].start for source, mark in marks.items() if mark is None}
        if begun:
            await in_thread(self._store.write, {name: TableWrites(position=start) for name, start in begun.items()})
            await in_thread(note_current, self._store, dict.fromkeys(begun, spec), asked_ms)
        return {source: spans[source].start if mark is None else mark for source, mark in marks.items()}

    async def note_current(self) -> None:
        """Note of which changelogs all is here that they held when the log was last asked, and ask anew.

        Raises: UnavailableError.
        """
        sources = {TopicPartition(one.changelog.name, n): one for one in self._tables for n in self._numbers(one)}
        reached = [source for source, span in self._spans.items() if self._followed[source] >= span.end]
        names = {position_table(sources[source].name, source.partition): sources[source] for source in reached}
        await in_thread(note_current, self._store, names, self._asked_ms)
        asked_ms = self._clock.time_ms()
        self._spans = await self._log.offsets(sources)
        self._asked_ms = asked_ms

    def _numbers(self, spec: TableSpec) -> range:
        return range(self._counts[spec.changelog.name])

    async def _follow_on(self, spec: TableSpec, source: TopicPartition, position: int) -> None:
        while True:
            try:
                position = await self._follow(spec, source, position)
            except UnavailableError as error:
                logger.warning("%s is not followed for a moment: %s", source, error)
                await self._clock.sleep(_RETRY_S)

    async def _follow(self, spec: TableSpec, source: TopicPartition, position: int, *, anyhow: bool = False) -> int:
        """Read on. anyhow: also where deletions may be missing. Raises: _StoodStill, UnavailableError."""
        bytes_max = self._config.restore_bytes_max
        batch = await self._log.read(source, position, bytes_max=bytes_max, timeout_s=_FOLLOW_S)
        if batch.next_offset > position:
            name = position_table(spec.name, source.partition)
            if forgotten(self._store, name, spec, batch, position, self._clock.time_ms()):
                if not anyhow:
                    raise _StoodStill(
                        f"{source} may have forgotten deletions: nothing was read of it for longer than it tells them",
                        hint="start the worker anew: it wipes the table and restores it",
                    )
                if source not in self._too_slow:
                    self._too_slow.add(source)
                    tell_too_slow(source)
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
