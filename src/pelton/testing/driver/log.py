"""A worker's connection to the log in memory: `pelton.log.contract.Log` and `Group`.

A group has one member: a newer one takes the place of the one before, which is fenced. A connection that was `cut`
does nothing any more, like that of a process that was killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition, by_rank
from pelton.clock import Clock
from pelton.errors import ConfigurationError, FencedError, UnavailableError
from pelton.log.contract import (
    GroupOptions,
    MemberInfo,
    OffsetRange,
    Position,
    RebalanceListener,
    RecordRules,
    TopicSpec,
)
from pelton.testing.driver.records import Records

__all__ = ["MemberStatistics", "MemoryGroup", "MemoryLog", "MemoryStatistics"]


@dataclass(frozen=True, slots=True)
class MemoryStatistics:
    """Counts since the connection was made."""

    records_appended: int


@dataclass(frozen=True, slots=True)
class MemberStatistics:
    """Counts since the member joined."""

    records_fetched: int
    commits: int
    rebalances: int


class MemoryLog:
    """One connection. records: what all connections share."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self.records = records
        self.clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._groups: list[MemoryGroup] = []
        self._appended = 0

    async def open(self) -> None:
        """Connect. Idempotent."""
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """Leave all groups, and let go. Idempotent."""
        groups, self._groups = self._groups, []
        for group in groups:
            await group.leave()
        self.cut()

    def cut(self) -> None:
        """Do nothing any more, not even leave the groups: the process is gone."""
        self._loop = None
        self.records.tell()

    @property
    def open_records(self) -> Records:
        """The records. Raises: UnavailableError when the connection is closed; ConfigurationError in a foreign loop."""
        if self._loop is None:
            raise UnavailableError("the log is not open", hint="await log.open() first; a driver's is, while it runs")
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigurationError(
                "a driven application was called from the test's own event loop, where its time does not pass",
                hint="let the driver run it: driver.run(coroutine), driver.ask(agent, value), driver.send(topic, …)",
            )
        return self.records

    def count_appended(self, batches: Iterable[OutgoingBatch]) -> None:
        """Count what was written."""
        self._appended += sum(map(len, batches))

    # -- topics ------------------------------------------------------------------------------------

    async def declare(self, specs: Iterable[TopicSpec]) -> Mapping[str, int]:
        """Create the topics that are missing and check the others. Raises: TopicMismatch."""
        records = self.open_records
        counts = {spec.name: records.declare(spec) for spec in specs}
        records.tell()
        return counts

    async def partitions(self, topics: Iterable[str]) -> Mapping[str, int]:
        """Return topic -> number of partitions; topics that do not exist are missing."""
        return _chosen(self.open_records.counts(), topics)

    async def record_bytes_max(self, topics: Iterable[str]) -> Mapping[str, int]:
        """Return topic -> how large a record of it may be; topics that do not exist are missing."""
        return _chosen(self.open_records.limits(), topics)

    async def record_rules(self, topics: Iterable[str]) -> Mapping[str, RecordRules]:
        """Return topic -> whether it takes records with a key only; topics that do not exist are missing."""
        keyed = self.open_records.keyed()
        return {name: RecordRules(keyed=keyed[name]) for name in topics if name in keyed}

    async def deletions_ms(self, topics: Iterable[str]) -> Mapping[str, int]:
        """Return topic -> what it is declared with; nothing is compacted here."""
        return _chosen(self.open_records.deletions_ms(), topics)

    async def topics(self) -> frozenset[str]:
        """Return the names of all topics."""
        return frozenset(self.open_records.counts())

    async def delete_topics(self, topics: Iterable[str]) -> None:
        """Delete topics and their records."""
        for name in topics:
            self.open_records.delete(name)

    async def trim(self, ends: Mapping[TopicPartition, int]) -> None:
        """Delete the records of partitions before an offset each."""
        for source, end in ends.items():
            self.open_records.trim(source, end)

    # -- records -----------------------------------------------------------------------------------

    async def append(self, batches: Sequence[OutgoingBatch]) -> Sequence[int]:
        """Append all, or nothing. Returns: the offset of each batch's first record."""
        await asyncio.sleep(0)
        bases = self.open_records.append(batches, self.clock.time_ms())
        self.count_appended(batches)
        return bases

    async def read(self, partition: TopicPartition, offset: int, *, bytes_max: int, timeout_s: float) -> RecordBatch:
        """Read from an offset; empty when nothing came in time. Raises: OffsetOutOfRangeError."""
        deadline = self.clock.monotonic() + timeout_s
        while True:
            batch = self.open_records.read(partition, offset, bytes_max)
            left = deadline - self.clock.monotonic()
            if batch or left <= 0:
                return batch
            await self.news(left)

    async def news(self, seconds: float) -> None:
        """Wait until something was written, or about so long."""
        news, tell = self.records.news, asyncio.Event()
        news.append(tell.set)
        try:
            await self.clock.wait(tell, seconds)
        finally:
            news.remove(tell.set)

    async def offsets(
        self, partitions: Iterable[TopicPartition], *, decided: bool = False
    ) -> Mapping[TopicPartition, OffsetRange]:
        """Return the offsets that each partition holds; nothing is ever undecided here."""
        return {one: self.open_records.span(one) for one in partitions}

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int | None:
        """Return the offset of the first record with this timestamp or a later one; None when there is none."""
        return self.open_records.offset_at(partition, timestamp_ms)

    async def group_positions(
        self, group_id: str, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, Position]:
        """Return a group's committed positions; partitions that have none are missing."""
        return self.open_records.committed(group_id, partitions)

    async def group_members(self, group_id: str) -> Sequence[MemberInfo]:
        """Return nobody: who drives the application is its only member, and is asked directly."""
        return []

    async def join(self, options: GroupOptions, listener: RebalanceListener) -> MemoryGroup:
        """Become the member of a group."""
        group = MemoryGroup(self, options, listener)
        self._groups.append(group)
        return group

    def statistics(self) -> MemoryStatistics:
        """Return counts since the connection was made."""
        return MemoryStatistics(self._appended)


class MemoryGroup:
    """The membership of a worker; it owns every partition of its topics."""

    def __init__(self, log: MemoryLog, options: GroupOptions, listener: RebalanceListener) -> None:
        records = log.open_records
        self._log = log
        self._options = options
        self._listener = listener
        self._left = False
        self._seen_topics = -1
        self._fetched = self._commits = self._rebalances = 0
        self._assignment: frozenset[TopicPartition] | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._generation = records.generations[options.group_id] = records.generations.get(options.group_id, 0) + 1

    @property
    def member_id(self) -> str:
        """Its instance id, or the group's own name for its only member."""
        return self._options.instance_id or f"{self._options.group_id}-member"

    @property
    def generation(self) -> int:
        """How many members the group has had, this one included."""
        return self._generation

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions that this member owns now."""
        return self._assignment or frozenset()

    def members(self) -> Sequence[MemberInfo]:
        """Return this member."""
        tasks = frozenset(source.partition for source in self.assignment())
        return [MemberInfo(self.member_id, self._options.address, tasks)]

    def confirmed_at_s(self) -> float:
        """Return the present: its only member is never expelled."""
        return self._log.clock.monotonic()

    # -- reading -----------------------------------------------------------------------------------

    async def fetch(self, *, bytes_max: int, timeout_s: float) -> Sequence[RecordBatch]:
        """Return what there is to read now, waiting for the first. Raises: FencedError, OffsetOutOfRangeError."""
        clock = self._log.clock
        deadline = clock.monotonic() + timeout_s
        while not self._left:
            await self._assign()
            batches = self._poll(bytes_max)
            left = deadline - clock.monotonic()
            if batches or left <= 0:
                return batches
            await self._log.news(left)
        return []

    async def _assign(self) -> None:
        """Take the partitions of all topics that there are by now."""
        records = self._owned()
        if self._seen_topics == records.topics_version:
            return
        self._seen_topics = records.topics_version
        counts = _chosen(records.counts(), self._options.topics)
        wanted = frozenset(TopicPartition(name, number) for name, count in counts.items() for number in range(count))
        if wanted == self._assignment:
            return
        self._assignment = wanted
        committed = records.committed(self._options.group_id, wanted)
        earliest = self._options.start == "earliest"
        starts = {source: records.span(source)[0 if earliest else 1] for source in sorted(wanted)}
        starts |= {source: position.offset for source, position in committed.items()}
        self._positions = {source: self._positions.get(source, start) for source, start in starts.items()}
        self._rebalances += 1
        await self._listener.assigned(wanted, frozenset())

    @property
    def _is_member(self) -> bool:
        return self._log.records.generations[self._options.group_id] == self._generation

    def _owned(self) -> Records:
        """Return the records while this is the member of its group. Raises: FencedError, UnavailableError."""
        records = self._log.open_records
        if not self._is_member:
            raise FencedError(f"{self.member_id} is not the member of group {self._options.group_id} any more")
        return records

    def _poll(self, bytes_max: int) -> list[RecordBatch]:
        records, batches = self._log.open_records, list[RecordBatch]()
        waiting = [
            (source, position)
            for source, position in self._positions.items()
            if source not in self._paused and records.end(source) != position
        ]
        for source, position in waiting:
            batch = records.read(source, position, bytes_max // len(waiting))
            self._positions[source] = batch.next_offset
            self._fetched += len(batch)
            batches.append(batch)
        return batches

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Stop fetching these partitions."""
        self._paused |= self.assignment().intersection(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch these partitions again."""
        self._paused.difference_update(partitions)
        self._log.records.tell()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Fetch this partition from another offset next."""
        self._positions[partition] = offset
        self._log.records.tell()

    def lag(self) -> Mapping[TopicPartition, int]:
        """Return how many offsets lie between each position and the end."""
        records = self._log.records
        return {source: records.end(source) - at for source, at in self._positions.items()}

    # -- committing --------------------------------------------------------------------------------

    async def committed(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, Position]:
        """Return the group's committed positions; partitions that have none are missing."""
        return self._log.open_records.committed(self._options.group_id, partitions)

    async def commit(
        self, writes: Sequence[OutgoingBatch], positions: Mapping[TopicPartition, Position]
    ) -> Sequence[int]:
        """Make the records and the positions visible together; at least once, one rank after the other.

        Between its turns of the loop a worker may die: before it, behind it, and at least once also within.
        Raises: FencedError, UnavailableError, ConfigurationError.
        """
        if foreign := positions.keys() - self.assignment():
            raise FencedError(f"{sorted(foreign)} are not assigned to {self.member_id}")
        await asyncio.sleep(0)
        if self._options.guarantee == "at_least_once":
            bases = [-1] * len(writes)
            for places in by_rank(writes):
                found = self._owned().append([writes[place] for place in places], self._log.clock.time_ms())
                for place, base in zip(places, found, strict=True):
                    bases[place] = base
                await asyncio.sleep(0)
        else:
            bases = self._owned().append(writes, self._log.clock.time_ms())
        group_id = self._options.group_id
        self._owned().positions |= {(group_id, source): position for source, position in positions.items()}
        self._log.count_appended(writes)
        self._commits += 1
        await asyncio.sleep(0)
        return bases

    def update(self, *, topics: frozenset[str] | None = None, held: frozenset[int] | None = None) -> None:
        """Take note of nothing: the only member has everything in any case."""

    async def leave(self) -> None:
        """Leave the group. Idempotent."""
        if self._left:
            return
        self._left = True
        try:
            if self._is_member and self._assignment:
                await self._listener.revoked(self._assignment)
        finally:
            self._assignment = frozenset()
            self._log.records.tell()

    def statistics(self) -> MemberStatistics:
        """Return counts since the member joined."""
        return MemberStatistics(self._fetched, self._commits, self._rebalances)


def _chosen(found: Mapping[str, int], names: Iterable[str]) -> dict[str, int]:
    return {name: found[name] for name in names if name in found}
