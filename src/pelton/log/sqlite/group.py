"""One worker's membership in a group on the embedded log: fetching, rebalancing, committing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.errors import PeltonError
from pelton.log.contract import GroupOptions, MemberInfo, Position, RebalanceListener
from pelton.log.sqlite import records
from pelton.log.sqlite.database import Database
from pelton.log.sqlite.membership import Membership, Standing

if TYPE_CHECKING:
    from pelton.log.sqlite.log import SqliteLog

__all__ = ["GroupStatistics", "SqliteGroup"]

logger = logging.getLogger(__name__)

#: How often a member looks whether its assignment has changed, in seconds, even when it fetches all the time.
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class GroupStatistics:
    """Counts since this member joined."""

    records_fetched: int
    commits: int
    rebalances: int


@dataclass(frozen=True, slots=True)
class _Found:
    """What one look into the file found: records, and the end of each partition."""

    batches: list[RecordBatch]
    ends: dict[TopicPartition, int]


class SqliteGroup:
    """A member of a group; `join` makes it one."""

    def __init__(self, log: SqliteLog, options: GroupOptions, listener: RebalanceListener) -> None:
        self._log = log
        self._options = options
        self._listener = listener
        self._counts: Mapping[str, int] = {}
        self._assignment: frozenset[TopicPartition] = frozenset()
        self._standing = Standing(alive=False)
        self._members: Sequence[MemberInfo] = ()
        self._positions: dict[TopicPartition, int] = {}
        self._fetched_from: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self._beating: asyncio.Task[None] | None = None
        self._looked_at = 0.0
        self._turn = 0
        self._left = False
        self._statistics = [0, 0, 0]
        self.member_id = ""

    # -- membership --------------------------------------------------------------------------------

    async def join(self) -> None:
        """Become a member, under a new name each time: whoever had an old one is fenced."""
        options = self._options
        self.member_id = f"{options.instance_id or 'member'}-{uuid4()}"
        now_ms = self._log.clock.time_ms()
        await self._log.write(lambda db: self._membership(db).join(options, now_ms))
        self._looked_at = 0.0
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat(), name=f"heartbeat {options.group_id}")

    def _membership(self, db: Database) -> Membership:
        return Membership(db, self._options.group_id, self.member_id)

    async def _beat(self) -> None:
        """Say from time to time that this member lives, whatever else it does."""
        clock = self._log.clock
        while True:
            await clock.sleep(self._options.heartbeat_interval_ms / 1000)
            try:
                await self._log.write(lambda db: self._membership(db).beat(clock.time_ms()))
            except PeltonError as error:
                logger.warning("heartbeat failed, it is tried again: %s", error)

    @property
    def generation(self) -> int:
        """The generation of the assignment in force."""
        return self._standing.generation

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions this member owns."""
        return self._assignment

    def members(self) -> Sequence[MemberInfo]:
        """Return all members, as of the last rebalance."""
        return self._members

    async def _rebalance_if_due(self) -> None:
        """Look at the group, let go of what goes to others, take what is ours and free."""
        clock = self._log.clock
        if clock.monotonic() - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = clock.monotonic()
        standing = await self._log.query(lambda db: self._membership(db).standing())
        if not standing.alive:
            await self._rejoin()
            return
        changed = standing.generation != self._standing.generation
        leaving = standing.owned - standing.target
        if leaving:
            await self._listener.revoked(self._of(leaving))
            self._forget(leaving)
            await self._log.write(lambda db: self._membership(db).release(leaving))
        if standing.free:
            await self._log.write(lambda db: self._membership(db).take(standing.free))
        if changed or leaving or standing.free:
            await self._settle()

    async def _rejoin(self) -> None:
        """This member was expelled: what it had is lost, and it begins anew."""
        lost, self._assignment = self._assignment, frozenset()
        self._positions.clear()
        self._standing = Standing(alive=False)
        if lost:
            logger.warning("expelled from group %s after a silence; joining again", self._options.group_id)
            await self._listener.lost(lost)
        await self.join()

    async def _settle(self) -> None:
        """Make the assignment what the file says, and tell the engine."""
        self._counts = await self._log.partitions(self._options.topics)
        standing, members = await self._log.query(
            lambda db: (self._membership(db).standing(), self._membership(db).members())
        )
        self._members = members
        owned = self._of(standing.owned)
        same = owned == self._assignment and standing.standbys == self._standing.standbys
        self._standing = standing
        if same and self._statistics[2]:
            return
        self._statistics[2] += 1
        fresh = owned - self._assignment
        self._assignment = owned
        committed = await self.committed(fresh)
        spans = await self._log.offsets(fresh)
        for partition in fresh:
            position = committed.get(partition)
            start = spans[partition].end if self._options.start == "latest" else spans[partition].start
            self._positions[partition] = position.offset if position is not None else start
            self._ends[partition] = spans[partition].end
        await self._listener.assigned(owned, standing.standbys)

    def _of(self, numbers: Iterable[int]) -> frozenset[TopicPartition]:
        return frozenset(
            TopicPartition(topic, number)
            for number in numbers
            for topic, count in self._counts.items()
            if number < count
        )

    def _forget(self, numbers: Iterable[int]) -> None:
        for partition in self._of(numbers):
            self._positions.pop(partition, None)
            self._ends.pop(partition, None)
            self._paused.discard(partition)
        self._assignment -= self._of(numbers)

    def update(self, *, topics: frozenset[str] | None = None, held: frozenset[int] | None = None) -> None:
        """Tell the group of other topics, or other state on disk."""
        if topics is not None:
            self._options = replace(self._options, topics=topics)
        telling = asyncio.create_task(self._tell(topics, held))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _tell(self, topics: frozenset[str] | None, held: frozenset[int] | None) -> None:
        try:
            await self._log.write(lambda db: self._membership(db).update(topics, held))
        except PeltonError as error:
            logger.warning("the group could not be told of a change: %s", error)

    async def leave(self) -> None:
        """Leave the group. Idempotent."""
        if self._left:
            return
        self._left = True
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        await asyncio.gather(*self._telling)
        if self._assignment:
            await self._listener.revoked(self._assignment)
        self._assignment = frozenset()
        self._positions.clear()
        if not (self._options.returns and self._options.instance_id):
            await self._log.write(lambda db: self._membership(db).leave())

    # -- reading -----------------------------------------------------------------------------------

    async def fetch(self, *, bytes_max: int, timeout_s: float) -> Sequence[RecordBatch]:
        """Return what there is to read. Raises: OffsetOutOfRangeError, UnavailableError."""
        clock = self._log.clock
        deadline = clock.monotonic() + timeout_s
        while not self._left:
            await self._rebalance_if_due()
            version = self._log.version()
            found = await self._look(bytes_max)
            self._ends.update(found.ends)
            kept = [batch for batch in found.batches if self._advance(batch)]
            left = deadline - clock.monotonic()
            if kept or left <= 0:
                self._statistics[0] += sum(map(len, kept))
                return kept
            await self._log.changed(version, min(left, _LOOK_EVERY_S))
        return []

    def _advance(self, batch: RecordBatch) -> bool:
        """Move the position behind a batch; False when a seek or a rebalance came between."""
        source = batch.source
        position = self._positions.get(source)
        first = batch.offsets[0] if len(batch) else batch.next_offset
        if position is None or source in self._paused or first < position:
            return False
        if position != self._fetched_from.get(source):
            return False
        self._positions[source] = self._fetched_from[source] = batch.next_offset
        return True

    async def _look(self, bytes_max: int) -> _Found:
        """Read all partitions that are not paused, taking turns at who comes first, each its share of the bytes."""
        wanted = sorted(partition for partition in self._positions if partition not in self._paused)
        if wanted:
            self._turn = (self._turn + 1) % len(wanted)
            wanted = wanted[self._turn :] + wanted[: self._turn]
        self._fetched_from = positions = {partition: self._positions[partition] for partition in wanted}
        return await self._log.query(lambda db: _read_all(db, positions, bytes_max))

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Stop fetching these partitions."""
        self._paused.update(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch these partitions again."""
        self._paused.difference_update(partitions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Fetch this partition from another offset next."""
        if partition in self._positions:
            self._positions[partition] = offset

    def lag(self) -> Mapping[TopicPartition, int]:
        """Return how many offsets lie before the end of each partition, as last seen."""
        return {
            partition: max(0, self._ends[partition] - position)
            for partition, position in self._positions.items()
            if partition in self._ends
        }

    # -- committing --------------------------------------------------------------------------------

    async def committed(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, Position]:
        """Return the group's committed positions; partitions that have none are missing."""
        return await self._log.group_positions(self._options.group_id, partitions)

    async def commit(
        self, writes: Sequence[OutgoingBatch], positions: Mapping[TopicPartition, Position]
    ) -> Sequence[int]:
        """Append and commit in one transaction. Raises: FencedError, UnavailableError."""
        now_ms = self._log.clock.time_ms()
        group_id = self._options.group_id

        def transaction(db: Database) -> Sequence[int]:
            self._membership(db).fence(positions)
            bases = records.append(db, writes, now_ms)
            records.save_positions(db, group_id, positions)
            return bases

        bases = await self._log.write(transaction)
        self._log.count_appended(writes)
        self._statistics[1] += 1
        return bases

    def statistics(self) -> GroupStatistics:
        """Return counts since this member joined."""
        return GroupStatistics(*self._statistics)


def _read_all(db: Database, positions: Mapping[TopicPartition, int], bytes_max: int) -> _Found:
    ends = {partition: records.offset_range(db, partition).end for partition in positions}
    ready = [partition for partition in positions if ends[partition] > positions[partition]]
    batches: list[RecordBatch] = []
    left = bytes_max
    for index, partition in enumerate(ready):
        if left <= 0:
            break
        found = records.read(db, partition, positions[partition], left // (len(ready) - index))
        batches += found
        left -= sum(batch.nbytes for batch in found)
    return _Found(batches, ends)
