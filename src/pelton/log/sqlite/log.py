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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.clock import Clock, SystemClock
from pelton.errors import ConfigurationError, PeltonError, UnavailableError
from pelton.log.contract import (
    GroupOptions,
    MemberInfo,
    OffsetRange,
    Position,
    RebalanceListener,
    RecordRules,
    TopicSpec,
)
from pelton.log.sqlite import records, upkeep
from pelton.log.sqlite.cleaning import Cleaner
from pelton.log.sqlite.database import Database, parse_url
from pelton.log.sqlite.group import SqliteGroup
from pelton.log.sqlite.membership import Membership, rebalance_readers
from pelton.log.sqlite.waiting import POLL_MIN_S, Ends, longer
from pelton.log.upkeep import ServerState, TopicState

__all__ = ["LogStatistics", "SqliteLog"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CLEAN_EVERY_S = 10.0
_DONE = object()


@dataclass(frozen=True, slots=True)
class LogStatistics:
    """Counts since the log was opened: records and batches appended, batches read."""

    records_appended: int
    batches_appended: int
    batches_read: int


class SqliteLog:
    """A connection to the log in a file, on a disk of this machine: SQLite locks and shares memory (no NFS).

    url: `sqlite:///path`, or a path. `?synchronous=full` (the default) has every commit on the disk before it returns;
        `normal` survives the death of any process, but a power cut may take the last commits.
    """

    def __init__(self, url: str | Path, clock: Clock | None = None) -> None:
        self.path, self.synchronous = parse_url(url)
        self.clock = clock or SystemClock()
        self._opened: _Opened | None = None
        self._groups: list[SqliteGroup] = []
        self._cleaning: asyncio.Task[None] | None = None
        self._counts = [0, 0, 0]

    # -- life --------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the file, and make it when it is missing. Raises: UnavailableError, ConfigurationError."""
        if self._opened is not None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{self.path}: its directory cannot be made ({error})") from error
        self._opened = await _Opened.open(self.path, self.synchronous)
        self._cleaning = asyncio.create_task(self._clean(), name="sqlite cleaning")

    async def close(self) -> None:
        """Leave all groups and let go of the file, once the work under way is done. Idempotent."""
        groups, self._groups = self._groups, []
        try:
            for group in groups:
                await group.leave()
        finally:
            cleaning, self._cleaning = self._cleaning, None
            if cleaning is not None:
                cleaning.cancel()
                await asyncio.gather(cleaning, return_exceptions=True)
            opened, self._opened = self._opened, None
            if opened is not None:
                await opened.close()

    @property
    def _open(self) -> _Opened:
        if self._opened is None:
            raise UnavailableError(f"{self.path}: the log is not open", hint="await log.open() first")
        return self._opened

    async def write(self, work: Callable[[Database], T]) -> T:
        """Run blocking work as one transaction; once begun it is finished, even when the caller is cancelled."""
        opened = self._open

        def transaction() -> T:
            with opened.writer.db.writing():
                return work(opened.writer.db)

        done = await asyncio.shield(opened.writer.run(transaction))
        self.wake()
        return done

    async def query(self, work: Callable[[Database], T]) -> T:
        """Run blocking reads against one snapshot."""
        opened = self._open

        def snapshot() -> T:
            with opened.reader.db.reading():
                return work(opened.reader.db)

        return await opened.reader.run(snapshot)

    def version(self) -> int:
        """Return a number that changes when another process, or another connection of ours, has written."""
        return self._open.watcher.version()

    def wake(self) -> None:
        """Have those who wait for a change look again."""
        if self._opened is not None:
            self._opened.woken.set()

    async def changed(self, version: int, timeout_s: float) -> None:
        """Wait until the file is at another version, until somebody calls `wake`, or for so long."""
        opened = self._open
        deadline = self.clock.monotonic() + timeout_s
        pause = POLL_MIN_S
        opened.woken.clear()
        while opened.watcher.version() == version and (left := deadline - self.clock.monotonic()) > 0:
            # Not wait_for: it swallows a cancellation that meets the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(min(pause, left)):
                    await opened.woken.wait()
                return
            pause = longer(pause)

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
        opened = self._open
        steps = opened.cleaner.steps(now_ms)
        while await opened.writer.run(lambda: next(steps, _DONE)) is not _DONE:
            pass  # between two steps the writers have their turn

    # -- topics ------------------------------------------------------------------------------------

    async def declare(self, specs: Iterable[TopicSpec]) -> Mapping[str, int]:
        """Create the topics that are missing and check the others. Raises: TopicMismatch."""
        wanted = list(specs)
        existing = await self.partitions(spec.name for spec in wanted)
        new = {spec.name for spec in wanted} - existing.keys()

        def transaction(db: Database) -> dict[str, int]:
            counts = {spec.name: records.declare(db, spec) for spec in wanted}
            rebalance_readers(db, new)
            return counts

        # A transaction keeps all others out, so one is begun only when there is something to make.
        return await (self.write if new else self.query)(transaction)

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
            rebalance_readers(db, names)

        await self.write(transaction)

    async def record_bytes_max(self, topics: Iterable[str]) -> Mapping[str, int]:
        """Return topic -> how large a record of it may be; topics that do not exist are missing."""
        names = set(topics)
        return await self.query(lambda db: records.record_bytes_max(db, names))

    async def record_rules(self, topics: Iterable[str]) -> Mapping[str, RecordRules]:
        """Return topic -> what else it asks of its records; topics that do not exist are missing."""
        names = set(topics)
        return await self.query(lambda db: records.record_rules(db, names))

    async def deletions_ms(self, topics: Iterable[str]) -> Mapping[str, int]:
        """Return topic -> for how long it says that a key is gone; topics that do not exist are missing."""
        states = await self.states(topics)
        return {name: int(state.config["delete.retention.ms"]) for name, state in states.items()}

    async def states(self, topics: Iterable[str]) -> Mapping[str, TopicState]:
        """Return topic -> how it is; topics that do not exist are missing."""
        names = set(topics)
        return await self.query(lambda db: upkeep.states(db, names))

    async def configure(self, topic: str, config: Mapping[str, str]) -> None:
        """Change these settings of a topic, and leave all others as they are."""
        await self.write(lambda db: upkeep.configure(db, topic, config))

    async def grow(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions."""

        def transaction(db: Database) -> None:
            upkeep.grow(db, topic, partitions)
            rebalance_readers(db, [topic])

        await self.write(transaction)

    async def dismiss(self, group_id: str, instance_id: str) -> bool:
        """Take a member with this instance id out of a group."""
        return await self.write(lambda db: Membership(db, group_id, "", instance_id).dismiss())

    async def servers(self) -> Sequence[ServerState]:
        """Return the servers of the log: it is a file."""
        return ()

    async def trim(self, ends: Mapping[TopicPartition, int]) -> None:
        """Delete records before an offset, as far as whole rows go; see the contract."""
        await self.write(lambda db: records.trim(db, ends))

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
            found = await self.query(lambda db: records.read(db, partition, offset, bytes_max))
            left = deadline - self.clock.monotonic()
            if found or left <= 0:
                self._counts[2] += len(found)
                return records.joined(found) if found else RecordBatch(*partition, [], [], [], [], offset)
            await self._open.ends.moved(partition, offset, left)

    async def offsets(
        self, partitions: Iterable[TopicPartition], *, decided: bool = False
    ) -> Mapping[TopicPartition, OffsetRange]:
        """Return the offsets that each partition holds; no transaction is ever seen before it is decided."""
        wanted = list(partitions)

        def ranges(db: Database) -> Mapping[TopicPartition, OffsetRange]:
            return {one: records.offset_range(db, one) for one in wanted}

        return await self.query(ranges)

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int | None:
        """Return the first offset with this timestamp or a later one; None when there is none."""
        return await self.query(lambda db: records.find_offset(db, partition, timestamp_ms))

    async def group_positions(
        self, group_id: str, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, Position]:
        """Return a group's committed positions; partitions that have none are missing."""
        wanted = list(partitions)
        return await self.query(lambda db: records.committed(db, group_id, wanted))

    async def group_members(self, group_id: str) -> Sequence[MemberInfo]:
        """Return a group's members, without joining it."""
        return await self.query(lambda db: Membership(db, group_id, "").members())

    async def join(self, options: GroupOptions, listener: RebalanceListener) -> SqliteGroup:
        """Become a member of a group."""
        group = SqliteGroup(self, options, listener)
        await group.join()
        self._groups = [*(one for one in self._groups if not one.left), group]
        return group

    def statistics(self) -> LogStatistics:
        """Return counts since the log was opened."""
        return LogStatistics(*self._counts)


class _Thread:
    """A thread with a connection of its own."""

    def __init__(self, name: str, path: Path, synchronous: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite {name}")
        self.db = Database(path, synchronous)

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run blocking work after what is under way."""
        return asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def close(self) -> None:
        await self.run(self.db.close)
        self._executor.shutdown()


class _Opened:
    """What an open log has: made within the running loop, so a log may be made before there is one."""

    def __init__(self, path: Path, synchronous: str) -> None:
        self.watcher = Database(path, synchronous)
        try:
            self.watcher.prepare()
            self.writer = _Thread("writer", path, synchronous)
            self.reader = _Thread("reader", path, synchronous)
        except BaseException:
            self.watcher.close()
            raise
        self.cleaner = Cleaner(self.writer.db)
        self.woken = asyncio.Event()
        self.ends = Ends(self.watcher, self.woken)

    @classmethod
    async def open(cls, path: Path, synchronous: str) -> _Opened:
        return await asyncio.to_thread(cls, path, synchronous)

    async def close(self) -> None:
        await self.ends.close()
        await self.writer.close()
        await self.reader.close()
        self.watcher.close()
