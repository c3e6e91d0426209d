"""A worker's membership in a consumer group, on Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.errors import FencedError, PeltonError, UnavailableError
from pelton.log.contract import GroupOptions, MemberInfo, Position, RebalanceListener
from pelton.log.kafka.aio import (
    FetchError,
    KafkaError,
    KafkaOffsetOutOfRange,
    KafkaPartition,
    NoOffsetForPartitionError,
    OffsetCommitRequest,
)
from pelton.log.kafka.cluster import GROUP, Cluster, check
from pelton.log.kafka.codes import CONFIGURATION, error_for
from pelton.log.kafka.columns import Unpacker
from pelton.log.kafka.coordination import Assigned, Coordination, Revoked
from pelton.log.kafka.offsets import first_offsets, group_positions
from pelton.log.kafka.producer import Producer
from pelton.log.kafka.reader import out_of_range
from pelton.log.kafka.transaction import Membership, Transactions

__all__ = ["GroupStatistics", "KafkaGroup"]

#: A broker answers a fetch within 200 ms even when there is nothing new.
SILENCE_MS_MAX = 10_000
_NO_RETENTION = -1


@dataclass(frozen=True, slots=True)
class GroupStatistics:
    """A member's counters since it joined."""

    member_id: str
    generation: int
    partitions: int
    rebalances: int
    records_fetched: int
    bytes_fetched: int
    records_written: int
    bytes_written: int
    commits: int
    commits_failed: int


class KafkaGroup:
    """One member; see `pelton.log.contract.Group`.

    States: joining -> (assigned -> revoking -> joining)* -> left. The callbacks run inside `fetch`.
    """

    def __init__(
        self,
        cluster: Cluster,
        coordination: Coordination,
        options: GroupOptions,
        listener: RebalanceListener,
        producer: Producer,
    ) -> None:
        self._cluster = cluster
        self._coordination = coordination
        self._options = options
        self._listener = listener
        self._producer = producer
        self._transactions = Transactions(cluster, producer)
        self._assignment: frozenset[TopicPartition] = frozenset()
        self._members: tuple[MemberInfo, ...] = ()
        self._member_id = ""
        self._generation: int = -1
        self._assigned_ms = 0
        self._ready = False
        self._left = False
        self._rebalances = self._records = self._bytes = self._commits = self._failed = 0

    @property
    def member_id(self) -> str:
        """The id that the broker gave this member; "" before the first assignment."""
        return self._member_id

    @property
    def generation(self) -> int:
        """The generation of the assignment in force; -1 before the first."""
        return self._generation

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions that this member owns now."""
        return self._assignment

    def members(self) -> Sequence[MemberInfo]:
        """Return all members, as of the last rebalance."""
        return self._members

    # -- reading ------------------------------------------------------------------------------------------------

    async def fetch(self, *, bytes_max: int, timeout_s: float) -> Sequence[RecordBatch]:
        """Return what there is to read now; see the contract. Raises: OffsetOutOfRangeError, UnavailableError."""
        deadline = self._cluster.clock.monotonic() + timeout_s
        while not self._left:
            await self._rebalance()
            if self._ready and (batches := self._drain(bytes_max)):
                return batches
            remaining = deadline - self._cluster.clock.monotonic()
            if remaining <= 0:
                self._check_heard()
                break
            await self._wait(remaining)
        return []

    def _check_heard(self) -> None:
        """Raise when no broker has answered a fetch for long: "nothing to read" must not stand for "nobody there"."""
        states = [state for state in self._states(self._assignment).values() if not state.paused]
        # aiokafka stamps each answer with the system's time, so it is compared with that, not with our clock.
        heard_ms = max([self._assigned_ms, *(state.timestamp or 0 for state in states)])
        silent_ms = SystemClock().time_ms() - heard_ms
        if self._ready and states and silent_ms > SILENCE_MS_MAX:
            raise UnavailableError(
                f"could not read as a member of group {self._options.group_id!r}: "
                f"no broker has answered for {silent_ms / 1000:.0f} s"
            )

    async def _wait(self, timeout_s: float) -> None:
        """Wait for records or for an event of the group."""
        records = self._coordination.fetcher._create_fetch_waiter()
        try:
            await asyncio.wait(
                {records, self._coordination.woken()}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            self._coordination.check()
            if records.done():
                records.result()
        except KafkaError as error:
            raise _translated(error, f"read as a member of group {self._options.group_id!r}") from error
        finally:
            records.cancel()

    def _drain(self, bytes_max: int) -> list[RecordBatch]:
        """Take what the fetcher has buffered, a fair share of each partition that is not paused."""
        assignment = self._coordination.assignment
        if assignment is None:
            return []
        fetcher = self._coordination.fetcher
        ready = [p for p in fetcher._records if (s := assignment.state_value(p)) is not None and not s.paused]
        batches: list[RecordBatch] = []
        for partition in ready:
            batch = self._take(partition, assignment.state_value(partition), max(1, bytes_max // len(ready)))
            if batch is not None:
                batches.append(batch)
                self._records += len(batch)
                self._bytes += batch.nbytes
        return batches

    def _take(self, partition: Any, state: Any, bytes_max: int) -> RecordBatch | None:
        """Take records of one partition out of the fetcher; None when they are not at its position any more."""
        fetcher = self._coordination.fetcher
        result = fetcher._records[partition]
        source = TopicPartition(partition.topic, partition.partition)
        if isinstance(result, FetchError):
            self._forget(partition)
            self._raise(result, source, state)
            return None
        unpacker = result._partition_records
        if not isinstance(unpacker, Unpacker):
            # The first look at an answer: read it as columns from here on, not as record objects.
            unpacker = Unpacker(source, unpacker._records, unpacker._aborted_transactions, unpacker.next_fetch_offset)
            result._partition_records = unpacker
        if not state.has_valid_position or state.position != unpacker.next_offset:
            self._forget(partition)
            return None
        try:
            batch = unpacker.take(bytes_max)
        except PeltonError:
            self._forget(partition)
            raise
        state.consumed_to(unpacker.next_offset)
        if unpacker.exhausted:
            self._forget(partition)
        return batch

    def _forget(self, partition: Any) -> None:
        """Drop a buffered answer, so that the fetcher asks for the next one."""
        fetcher = self._coordination.fetcher
        del fetcher._records[partition]
        fetcher._notify(fetcher._wait_consume_future)

    def _raise(self, result: Any, source: TopicPartition, state: Any) -> None:
        error = result._error
        if isinstance(error, NoOffsetForPartitionError):
            return  # It asked before we had set the position.
        if isinstance(error, KafkaOffsetOutOfRange):
            raise out_of_range(source, state.position)
        raise _translated(error, f"read {source}") from error

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Stop fetching these partitions; what is buffered already is kept."""
        for state in self._states(partitions).values():
            if not state.paused:
                state.pause()

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch these partitions again."""
        for state in self._states(partitions).values():
            state.resume()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Fetch this partition from another offset next."""
        if self._states([partition]):
            self._coordination.fetcher.seek_to(KafkaPartition(*partition), offset)

    def lag(self) -> Mapping[TopicPartition, int]:
        """Return how far each position is behind the last stable offset, as last heard."""
        return {
            partition: max(0, state.lso - state.position)
            for partition, state in self._states(self._assignment).items()
            if state.lso is not None and state.has_valid_position
        }

    def _states(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Any]:
        """Return aiokafka's state of each partition that is this member's now."""
        assignment = self._coordination.assignment
        if assignment is None:
            return {}
        found = {partition: assignment.state_value(KafkaPartition(*partition)) for partition in partitions}
        return {partition: state for partition, state in found.items() if state is not None}

    # -- the group ----------------------------------------------------------------------------------------------

    async def _rebalance(self) -> None:
        """Handle what the coordinator queued, in order; an event that fails to be handled stays first in line."""
        events = self._coordination.events
        while events:
            event = events[0]
            if isinstance(event, Revoked):
                try:
                    await self._let_go()
                finally:
                    if not event.handled.done():
                        event.handled.set_result(None)
                    if events and events[0] is event:
                        events.popleft()
            else:
                await self._take_over(event)
                if events and events[0] is event:
                    events.popleft()

    async def _let_go(self) -> None:
        """Tell the engine that its partitions go, or are gone."""
        partitions, self._ready = self._assignment, False
        if not partitions:
            return
        try:
            await (self._listener.revoked if self._coordination.known else self._listener.lost)(partitions)
        finally:
            self._assignment = frozenset()

    async def _take_over(self, event: Assigned) -> None:
        """Set the positions of a new assignment and tell the engine; records flow once it has returned."""
        if event.partitions != self._assignment or event.generation != self._generation:
            await self._set_positions(event.partitions)
        self._assignment, self._members = event.partitions, event.group.members
        self._generation, self._member_id = event.generation, event.member_id
        self._rebalances += 1
        await self._listener.assigned(event.partitions, event.group.standbys)
        self._assigned_ms = SystemClock().time_ms()
        self._ready = True

    async def _set_positions(self, partitions: frozenset[TopicPartition]) -> None:
        positions = await self.committed(partitions)
        firsts = await first_offsets(self._cluster, partitions - positions.keys(), self._options.start)
        for partition in partitions:
            self.seek(partition, positions[partition].offset if partition in positions else firsts[partition])

    def update(self, *, topics: frozenset[str] | None = None, held: frozenset[int] | None = None) -> None:
        """Read other topics, or tell of other state on disk; a change of topics causes a rebalance."""
        if held is not None:
            self._coordination.assignor.held = held
        if topics is not None and topics != self._coordination.subscriptions.topics:
            self._coordination.subscribe(topics)

    async def leave(self) -> None:
        """Leave the group at once; `RebalanceListener.revoked` runs first. Idempotent.

        A member with an instance_id leaves by silence, as static members do (KIP-345): it comes back to its
        partitions if it does so within the session timeout.
        """
        if self._left:
            return
        self._left = True
        try:
            await self._let_go()
        finally:
            await self._coordination.close()

    # -- writing ------------------------------------------------------------------------------------------------

    async def committed(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, Position]:
        """Return the group's committed positions; partitions that have none are missing."""
        return await group_positions(self._cluster, self._options.group_id, partitions)

    async def commit(
        self, writes: Sequence[OutgoingBatch], positions: Mapping[TopicPartition, Position]
    ) -> Sequence[int]:
        """Make the records and the positions durable, together; see the contract."""
        self._check_owned(positions)
        member = Membership(self._options.group_id, self._generation, self._member_id, self._options.instance_id)
        try:
            if self._options.guarantee == "exactly_once":
                bases = await self._transactions.commit(writes, positions, member)
            else:
                bases = await self._commit_in_turn(writes, positions, member)
        except PeltonError:
            self._failed += 1
            raise
        self._commits += 1
        return bases

    def _check_owned(self, positions: Mapping[TopicPartition, Position]) -> None:
        """Refuse what the broker cannot: it checks the generation, but not who owns which partition."""
        if foreign := positions.keys() - self._assignment:
            raise FencedError(
                f"could not commit positions of {', '.join(map(str, sorted(foreign)))}: not assigned to this member",
                hint="another worker owns these partitions now",
            )

    async def _commit_in_turn(
        self, writes: Sequence[OutgoingBatch], positions: Mapping[TopicPartition, Position], member: Membership
    ) -> list[int]:
        """Write the records, then the positions (at least once)."""
        if not self._producer.ready:
            await self._producer.initialise()
        try:
            bases = await self._producer.produce(writes)
        except BaseException:
            self._producer.reset()
            raise
        if positions:
            await self._commit_positions(positions, member)
        return bases

    async def _commit_positions(self, positions: Mapping[TopicPartition, Position], member: Membership) -> None:
        topics: dict[str, list[tuple[int, int, str]]] = {}
        for (topic, number), position in positions.items():
            topics.setdefault(topic, []).append((number, position.offset, position.metadata))
        request = OffsetCommitRequest(
            member.group_id, member.generation, member.member_id, _NO_RETENTION, list(topics.items())
        )
        doing = f"commit positions of group {member.group_id!r}"

        async def attempt() -> None:
            answer = await self._cluster.to_coordinator(GROUP, member.group_id, request)
            for topic, entries in answer.topics:
                for number, code in entries:
                    check(code, doing, TopicPartition(topic, number))

        await self._cluster.retry(attempt, doing)

    def statistics(self) -> GroupStatistics:
        """Return this member's counters."""
        return GroupStatistics(
            member_id=self._member_id,
            generation=self._generation,
            partitions=len(self._assignment),
            rebalances=self._rebalances,
            records_fetched=self._records,
            bytes_fetched=self._bytes,
            records_written=self._producer.records,
            bytes_written=self._producer.bytes,
            commits=self._commits,
            commits_failed=self._failed,
        )


def _translated(error: Any, doing: str) -> PeltonError:
    """Return the error of ours for one that aiokafka's fetcher or coordinator met."""
    code = int(getattr(error, "errno", 0))
    return error_for(code, doing) if code in CONFIGURATION else UnavailableError(f"could not {doing}: {error}")
