"""The embedded log: one SQLite file, shared by all processes of one machine.

Two threads do the blocking work, one for writes and one for reads, each with a connection of its own: in WAL mode
readers and the writer do not wait for each other. A third connection, on the event loop, only asks whether the file
has changed, which takes a few microseconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.clock import Clock, SystemClock
from pelton.errors import PeltonError, UnavailableError
from pelton.log.contract import GroupOptions, OffsetRange, Position, RebalanceListener, TopicSpec
from pelton.log.sqlite import records
from pelton.log.sqlite.cleaning import Cleaner
from pelton.log.sqlite.database import Database, parse_url
from pelton.log.sqlite.group import SqliteGroup

__all__ = ["LogStatistics", "SqliteLog"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: How often the file is looked at while nothing comes: soon after something came, more rarely when it is quiet.
_POLL_MIN_S = 0.001
_POLL_MAX_S = 0.02
_CLEAN_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class LogStatistics:
    """Counts since the log was opened: records and batches appended, batches read."""

    records_appended: int
    batches_appended: int
    batches_read: int


class SqliteLog:
    """A connection to the log in a file.

    url: `sqlite:///path`, or a path. `?synchronous=full` (the default) has every commit on the disk before it returns;
        `normal` survives the death of any process, but a power cut may take the last commits.
    """

    def __init__(self, url: str | Path, clock: Clock | None = None) -> None:
        self.path, self._synchronous = parse_url(url)
        self.clock = clock or SystemClock()
        self._threads: dict[str, ThreadPoolExecutor] = {}
        self._databases: dict[str, Database] = {}
        self._appended = asyncio.Event()
        self._cleaning: asyncio.Task[None] | None = None
        self._counts = [0, 0, 0]

    # -- life --------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the file, and make it when it is missing.

        Raises: UnavailableError, ConfigurationError, StateCorruptedError.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for role in ("writer", "reader"):
            self._threads[role] = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite {role}")
            self._databases[role] = await self._in_thread(role, lambda: Database(self.path, self._synchronous))
            if role == "writer":
                await self._in_thread(role, self._databases[role].prepare)
        self._databases["watcher"] = Database(self.path, self._synchronous)
        self._cleaning = asyncio.create_task(self._clean(), name="sqlite cleaning")

    async def close(self) -> None:
        """Let go of the file. Idempotent."""
        if self._cleaning is not None:
            self._cleaning.cancel()
            await asyncio.gather(self._cleaning, return_exceptions=True)
            self._cleaning = None
        for role, thread in self._threads.items():
            await asyncio.get_running_loop().run_in_executor(thread, self._databases[role].close)
            thread.shutdown()
        if "watcher" in self._databases:
            self._databases["watcher"].close()
        self._threads.clear()
        self._databases.clear()

    async def _in_thread(self, role: str, work: Callable[[], T]) -> T:
        thread = self._threads.get(role)
        if thread is None:
            raise UnavailableError(f"{self.path}: the log is not open")
        return await asyncio.get_running_loop().run_in_executor(thread, work)

    async def write(self, work: Callable[[Database], T]) -> T:
        """Run blocking work as one transaction; once begun it is finished, even when the caller is cancelled."""
        db = self._databases.get("writer")
        if db is None:
            raise UnavailableError(f"{self.path}: the log is not open")

        def transaction() -> T:
            with db.writing():
                return work(db)

        done = await asyncio.shield(asyncio.ensure_future(self._in_thread("writer", transaction)))
        self._appended.set()
        return done

    async def query(self, work: Callable[[Database], T]) -> T:
        """Run blocking reads against one snapshot."""
        db = self._databases.get("reader")
        if db is None:
            raise UnavailableError(f"{self.path}: the log is not open")

        def snapshot() -> T:
            with db.reading():
                return work(db)

        return await self._in_thread("reader", snapshot)

    def version(self) -> int:
        """Return a number that changes when another process, or another connection of ours, has written."""
        return int(self._databases["watcher"].execute("PRAGMA data_version").fetchone()[0])

    async def changed(self, version: int, timeout_s: float) -> bool:
        """Wait until the file is at another version. Returns: False when it was not in time."""
        deadline = self.clock.monotonic() + timeout_s
        pause = _POLL_MIN_S
        while self.version() == version:
            left = deadline - self.clock.monotonic()
            if left <= 0:
                return False
            self._appended.clear()
            try:
                async with asyncio.timeout(min(pause, left)):
                    await self._appended.wait()
            except TimeoutError:
                pause = min(pause * 1.2, _POLL_MAX_S)
        return True

    async def _clean(self) -> None:
        """Apply retention and compaction from time to time, a row at a time."""
        while True:
            await self.clock.sleep(_CLEAN_EVERY_S)
            try:
                await self.clean(self.clock.time_ms())
            except PeltonError as error:
                logger.warning("cleaning the log failed, it is tried again: %s", error)

    async def clean(self, now_ms: int) -> None:
        """Delete what retention lets go, and compact what is due; it happens by itself every ten seconds."""
        cleaner = Cleaner(self._databases["writer"])
        await self._in_thread("writer", lambda: cleaner.trim(now_ms))
        steps = cleaner.compact(now_ms)
        while await self._in_thread("writer", lambda: next(steps, None)) is not None:
            pass  # between two rows the writers have their turn

    # -- topics ------------------------------------------------------------------------------------

    async def declare(self, specs: Iterable[TopicSpec]) -> Mapping[str, int]:
        """Create the topics that are missing and check the others. Raises: TopicMismatch."""
        wanted = list(specs)
        return await self.write(lambda db: {spec.name: records.declare(db, spec) for spec in wanted})

    async def partitions(self, topics: Iterable[str]) -> Mapping[str, int]:
        """Return topic -> number of partitions; topics that do not exist are missing."""
        names = list(topics)
        return await self.query(lambda db: records.topics(db, names))

    async def topics(self) -> frozenset[str]:
        """Return the names of all topics."""
        return frozenset(await self.query(records.topics))

    async def delete_topics(self, topics: Iterable[str]) -> None:
        """Delete topics and their records."""
        names = list(topics)

        def transaction(db: Database) -> None:
            for name in names:
                records.delete(db, name)

        await self.write(transaction)

    # -- records -----------------------------------------------------------------------------------

    async def append(self, batches: Sequence[OutgoingBatch]) -> Sequence[int]:
        """Append in one transaction of its own. Returns: the offset of each batch's first record."""
        now_ms = self.clock.time_ms()
        bases = await self.write(lambda db: records.append(db, batches, now_ms))
        self.count_appended(batches)
        return bases

    def count_appended(self, batches: Sequence[OutgoingBatch]) -> None:
        """Count what became durable."""
        self._counts[0] += sum(map(len, batches))
        self._counts[1] += len(batches)

    async def read(self, partition: TopicPartition, offset: int, *, bytes_max: int, timeout_s: float) -> RecordBatch:
        """Return records from an offset as one batch; empty when none came in time. Raises: OffsetOutOfRangeError."""
        deadline = self.clock.monotonic() + timeout_s
        while True:
            version = self.version()
            found = await self.query(lambda db: records.read(db, partition, offset, bytes_max))
            left = deadline - self.clock.monotonic()
            if found or left <= 0:
                self._counts[2] += len(found)
                return _joined(found) if found else RecordBatch(*partition, [], [], [], [], offset)
            await self.changed(version, left)

    async def offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, OffsetRange]:
        """Return the offsets that each partition holds."""
        wanted = list(partitions)
        return await self.query(lambda db: {one: records.offset_range(db, one) for one in wanted})

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int | None:
        """Return the first offset with this timestamp or a later one; None when there is none."""
        return await self.query(lambda db: records.find_offset(db, partition, timestamp_ms))

    async def group_positions(
        self, group_id: str, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, Position]:
        """Return a group's committed positions; partitions that have none are missing."""
        wanted = list(partitions)
        return await self.query(lambda db: records.committed(db, group_id, wanted))

    async def join(self, options: GroupOptions, listener: RebalanceListener) -> SqliteGroup:
        """Become a member of a group."""
        group = SqliteGroup(self, options, listener)
        await group.join()
        return group

    def statistics(self) -> LogStatistics:
        """Return counts since the log was opened."""
        return LogStatistics(*self._counts)


def _joined(batches: Sequence[RecordBatch]) -> RecordBatch:
    """Return consecutive batches of a partition as one."""
    first = batches[0]
    if len(batches) == 1:
        return first
    headers = None
    if any(batch.headers is not None for batch in batches):
        headers = [one for batch in batches for one in (batch.headers or [()] * len(batch))]
    return RecordBatch(
        first.topic,
        first.partition,
        [offset for batch in batches for offset in batch.offsets],
        [time for batch in batches for time in batch.timestamps_ms],
        [key for batch in batches for key in batch.keys],
        [value for batch in batches for value in batch.values],
        batches[-1].next_offset,
        headers,
        sum(batch.nbytes for batch in batches),
    )
