"""One worker's membership in a group on the embedded log: fetching, rebalancing, committing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.errors import FencedError, PeltonError
from pelton.log.contract import GroupOptions, MemberInfo, OffsetRange, Position, RebalanceListener
from pelton.log.sqlite import records
from pelton.log.sqlite.database import Database
from pelton.log.sqlite.membership import Membership, Standing, uptime_ms
from pelton.log.sqlite.waiting import POLL_MIN_S, longer

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


class _Found(NamedTuple):
    """What one look into the file found: records, the positions they were read from, the end of each partition."""

    batches: Sequence[RecordBatch]
    positions: dict[TopicPartition, int]
    ends: Mapping[TopicPartition, OffsetRange]


class _Picture(NamedTuple):
    """The group as it is: where this member stands, who else is there, where the partitions it owns begin."""

    standing: Standing
    members: Sequence[MemberInfo]
    starts: Mapping[TopicPartition, int]


class SqliteGroup:
    """A member of a group; `join` makes it one.

    The callbacks run inside `fetch`, or in `leave`, which waits for a rebalance under way and so must not be called
    from within one of them. A rebalance may be cancelled at any await: what was not told to the engine (`_told`) is
    told by the next fetch, before any record.
    """

    def __init__(self, log: SqliteLog, options: GroupOptions, listener: RebalanceListener) -> None:
        self._log = log
        self._options = options
        self._listener = listener
        self._assignment: frozenset[TopicPartition] = frozenset()
        self._standing = Standing(alive=False)
        self._standbys: frozenset[int] = frozenset()
        self._told = False
        self._members: Sequence[MemberInfo] = ()
        self._positions: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self._beating: asyncio.Task[None] | None = None
        self._rebalancing = asyncio.Lock()
        self._looked_at = -_LOOK_EVERY_S
        self._beat_ms = self._judges_ms = self._confirmed_ms = uptime_ms(log.clock)
        self._turn = 0
        self._left = False
        self._fetched = self._commits = self._rebalances = 0
        self.member_id = ""

    # -- membership --------------------------------------------------------------------------------

    async def join(self) -> None:
        """Become a member, under a new name each time: whoever had an old one is fenced."""
        options = self._options
        before, self.member_id = self.member_id, f"{options.instance_id or 'member'}-{uuid4()}"
        me, now_ms = self._me(), uptime_ms(self._log.clock)
        await self._log.write(lambda db: me(db).join(options, now_ms, instead_of=before))
        self._confirmed_ms = now_ms
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat(), name=f"heartbeat {options.group_id}")

    def _me(self) -> Callable[[Database], Membership]:
        """Return what gives this membership as it is now; it may be another by the time the work is done."""
        options, member_id = self._options, self.member_id
        return lambda db: Membership(db, options.group_id, member_id, options.instance_id)

    async def _beat(self) -> None:
        """Say from time to time that this member lives, whatever else it does."""
        clock = self._log.clock
        while True:
            await clock.sleep(self._options.heartbeat_interval_ms / 1000)
            try:
                await self._log.write(self._beat_once)
            except PeltonError as error:
                logger.warning("heartbeat failed, it is tried again: %s", error)

    def _beat_once(self, db: Database) -> None:
        # The time is taken here, in the transaction: waiting for another process to end its own is no silence.
        now_ms, patience_ms = uptime_ms(self._log.clock), self._options.session_timeout_ms
        # Who was silent for long itself does not judge for a while: all processes may have been suspended together, and
        # the others must have the time to say that they live.
        if now_ms - self._beat_ms > patience_ms:
            self._judges_ms = now_ms + patience_ms
        self._beat_ms = now_ms
        if self._me()(db).beat(now_ms, judges=now_ms >= self._judges_ms):
            self._confirmed_ms = now_ms

    @property
    def generation(self) -> int:
        """The generation of the assignment in force."""
        return self._standing.generation

    @property
    def left(self) -> bool:
        """Whether it has left the group, or is about to."""
        return self._left

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions this member owns."""
        return self._assignment

    def members(self) -> Sequence[MemberInfo]:
        """Return all members, as of the last rebalance."""
        return self._members

    def confirmed_at_s(self) -> float:
        """Return when the file last said that this is a member: by a heartbeat, or as it joined."""
        return self._confirmed_ms / 1000

    async def _rebalance_if_due(self) -> None:
        """Look at the group from time to time."""
        now = self._log.clock.monotonic()
        if self._told and now - self._looked_at < _LOOK_EVERY_S:
            return
        async with self._rebalancing:
            if not self._left:
                await self._rebalance()
                self._looked_at = now

    async def _rebalance(self) -> None:
        """Let go of what goes to others, take what is ours and free."""
        me = self._me()
        standing = await self._log.query(lambda db: me(db).standing())
        if not standing.alive:
            await self._rejoin(standing)
            return
        leaving = standing.owned - standing.target
        if leaving:
            await self._let_go({partition for partition in self._assignment if partition.partition in leaving})
            # The engine hears what it is left with before the numbers are free: it closes the stores of those that go,
            # and whoever takes them finds them unlocked.
            self._told = False
            self._standbys = self._standbys_of(standing)
            await self._listener.assigned(self._assignment, self._standbys)
            await self._log.write(lambda db: me(db).release(leaving))
        if standing.free:
            await self._log.write(lambda db: me(db).take(standing.free))
        if not self._told or standing != self._standing:
            await self._settle()

    async def _let_go(self, partitions: Set[TopicPartition]) -> None:
        """Tell the engine that these partitions go; they go, whatever comes of it."""
        if not partitions:
            return
        try:
            await self._listener.revoked(frozenset(partitions))
        finally:
            self._forget(partitions)

    async def _rejoin(self, standing: Standing) -> None:
        """This member was expelled: what it had is lost, and it begins anew.

        Raises: FencedError when another process has its instance id: the two would expel each other for ever.
        """
        lost, self._told = self._assignment, False
        self._forget(lost)
        if lost:
            logger.warning("expelled from group %s after a silence", self._options.group_id)
            await self._listener.lost(lost)
        if standing.replaced:
            raise FencedError(
                f"another worker has joined group {self._options.group_id} as {self._options.instance_id}",
                hint="an instance id names one worker: give each its own",
            )
        await self.join()

    async def _settle(self) -> None:
        """Make the assignment what the file says, and tell the engine."""
        me, options = self._me(), self._options
        picture = await self._log.query(lambda db: _picture(db, me(db), options))
        owned = frozenset(picture.starts)
        await self._let_go(self._assignment - owned)
        standbys = self._standbys_of(picture.standing)
        news = not self._told or owned != self._assignment or standbys != self._standbys
        self._standing, self._members = picture.standing, picture.members
        if not news:
            return
        for partition in owned - self._assignment:
            self._positions[partition] = picture.starts[partition]
        self._assignment, self._standbys, self._told = owned, standbys, False
        await self._listener.assigned(owned, standbys)
        self._told = True
        self._rebalances += 1

    def _standbys_of(self, standing: Standing) -> frozenset[int]:
        """Return the numbers to keep a warm copy of: also those that become this member's own and are not free yet."""
        return standing.standbys | (self._standbys & (standing.target - standing.owned))

    def _forget(self, partitions: Set[TopicPartition]) -> None:
        for partition in partitions:
            self._positions.pop(partition, None)
            self._ends.pop(partition, None)
        self._paused -= partitions
        self._assignment -= partitions

    def update(self, *, topics: frozenset[str] | None = None, held: frozenset[int] | None = None) -> None:
        """Tell the group of other topics, or other state on disk."""
        before = self._options
        self._options = replace(
            before, topics=before.topics if topics is None else topics, held=before.held if held is None else held
        )
        if self._options != before:
            telling = asyncio.create_task(self._tell())
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)

    async def _tell(self) -> None:
        me, options = self._me(), self._options
        try:
            await self._log.write(lambda db: me(db).update(options))
        except PeltonError as error:
            logger.warning("the group could not be told of a change: %s", error)

    async def leave(self) -> None:
        """Leave the group, but keep the place of a member that returns. Idempotent."""
        if self._left:
            return
        self._left = True
        self._log.wake()
        try:
            async with self._rebalancing:
                await self._let_go(self._assignment)
        finally:
            if self._beating is not None:
                self._beating.cancel()
                await asyncio.gather(self._beating, *self._telling, return_exceptions=True)
            if not (self._options.returns and self._options.instance_id):
                me = self._me()
                await self._log.write(lambda db: me(db).leave())

    # -- reading -----------------------------------------------------------------------------------

    async def fetch(self, *, bytes_max: int, timeout_s: float) -> Sequence[RecordBatch]:
        """Return what there is to read. Raises: OffsetOutOfRangeError, UnavailableError, FencedError."""
        clock = self._log.clock
        deadline = clock.monotonic() + timeout_s
        pause = POLL_MIN_S
        while not self._left:
            version = self._log.version()
            await self._rebalance_if_due()
            batches = self._advance(await self._look(bytes_max))
            left = deadline - clock.monotonic()
            if batches or left <= 0:
                return batches
            await self._log.changed(version, min(left, _LOOK_EVERY_S))
            # What changes may be others' topics, many times a second: no more looks than at a file that is quiet.
            await clock.sleep(min(pause, max(0.0, deadline - clock.monotonic())))
            pause = longer(pause)
        return []

    async def _look(self, bytes_max: int) -> _Found:
        """Read all partitions that are not paused, taking turns at who comes first, each its share of the bytes."""
        wanted = sorted(self._positions.keys() - self._paused)
        self._turn = (self._turn + 1) % max(1, len(wanted))
        positions = {partition: self._positions[partition] for partition in wanted[self._turn :] + wanted[: self._turn]}
        owned = list(self._positions)

        def look(db: Database) -> _Found:
            return _Found(records.read_all(db, positions, bytes_max), positions, records.offset_ranges(db, owned))

        return await self._log.query(look)

    def _advance(self, found: _Found) -> list[RecordBatch]:
        """Move the positions behind what was read; drop what a seek or a pause meanwhile has made obsolete."""
        self._ends |= {partition: span.end for partition, span in found.ends.items() if partition in self._positions}
        batches: list[RecordBatch] = []
        for batch in found.batches:
            source = batch.source
            if source not in self._paused and self._positions.get(source) == found.positions[source]:
                self._positions[source] = found.positions[source] = batch.next_offset
                batches.append(batch)
        self._fetched += sum(map(len, batches))
        return batches

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Stop fetching these partitions."""
        self._paused |= self._assignment.intersection(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch these partitions again."""
        self._paused.difference_update(partitions)
        self._log.wake()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Fetch this partition from another offset next."""
        if partition in self._positions:
            self._positions[partition] = offset
            self._log.wake()

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
        me, now_ms, group_id = self._me(), self._log.clock.time_ms(), self._options.group_id

        def transaction(db: Database) -> Sequence[int]:
            me(db).fence(positions)
            bases = records.append(db, writes, now_ms)
            records.save_positions(db, group_id, positions)
            return bases

        bases = await self._log.write(transaction)
        self._log.count_appended(writes)
        self._commits += 1
        return bases

    def statistics(self) -> GroupStatistics:
        """Return counts since this member joined."""
        return GroupStatistics(self._fetched, self._commits, self._rebalances)


def _picture(db: Database, me: Membership, options: GroupOptions) -> _Picture:
    """Return what one snapshot of the file says of the group."""
    standing = me.standing()
    counts = records.topics(db, options.topics)
    owned = [TopicPartition(topic, n) for topic, count in counts.items() for n in standing.owned if n < count]
    committed = records.committed(db, options.group_id, owned)
    spans = records.offset_ranges(db, owned)
    first = {one: span.start if options.start == "earliest" else span.end for one, span in spans.items()}
    starts = {one: committed[one].offset if one in committed else first[one] for one in owned}
    return _Picture(standing, me.members(), starts)
