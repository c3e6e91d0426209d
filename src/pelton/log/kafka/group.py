"""A worker's membership in a consumer group, on Kafka."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition, by_rank
from pelton.errors import FencedError, PeltonError, UnavailableError
from pelton.killpoints import step
from pelton.log.contract import GroupOptions, MemberInfo, Position, RebalanceListener
from pelton.log.kafka.aio import KafkaError, OffsetCommitRequest
from pelton.log.kafka.cluster import GROUP, Cluster, check
from pelton.log.kafka.codes import CONFIGURATION, ProducerFenced, error_for
from pelton.log.kafka.coordination import Assigned, Coordination, Fenced, Revoked
from pelton.log.kafka.fetching import Fetcher
from pelton.log.kafka.offsets import decided_positions, first_offsets, group_positions
from pelton.log.kafka.producer import Producer
from pelton.log.kafka.transaction import Membership, Transactions

__all__ = ["GroupStatistics", "KafkaGroup"]

log = logging.getLogger(__name__)

#: A broker answers a fetch within 200 ms even when there is nothing new.
SILENCE_S_MAX = 10.0
#: How often a member asks whether a transaction over its partitions is decided, in seconds.
_UNDECIDED_S = 0.1
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
        producers: Sequence[Producer],
    ) -> None:
        self._cluster = cluster
        self._coordination = coordination
        self._options = options
        self._listener = listener
        self._producers = producers
        self._news = coordination.news
        self._fetcher = Fetcher(cluster, coordination.news, options.fetch_bytes_max)
        self._transactions = Transactions(cluster, producers)
        self._assignment: frozenset[TopicPartition] = frozenset()
        self._placing: asyncio.Task[None] | None = None
        self._members: tuple[MemberInfo, ...] = ()
        self._member_id = ""
        self._generation: int = -1
        self._ready = False
        self._left = False
        self._rebalances = self._commits = self._failed = 0

    @property
    def member_id(self) -> str:
        """The id that the broker gave this member; "" before the first assignment."""
        return self._member_id

    @property
    def generation(self) -> int:
        """The generation of the assignment in force; -1 before the first."""
        return self._generation

    @property
    def left(self) -> bool:
        """Whether it has left the group, or is about to."""
        return self._left

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions that this member owns now."""
        return self._assignment

    def members(self) -> Sequence[MemberInfo]:
        """Return all members, as of the last rebalance."""
        return self._members

    def confirmed_at_s(self) -> float:
        """Return when what the coordinator last took from this member was sent."""
        return self._coordination.confirmed_at_s

    # -- reading ------------------------------------------------------------------------------------------------

    async def fetch(self, *, bytes_max: int, timeout_s: float) -> Sequence[RecordBatch]:
        """Return what there is to read now; see the contract.

        Raises: OffsetOutOfRangeError, UnavailableError; FencedError when another member took this one's instance_id.
        """
        clock = self._cluster.clock
        deadline = clock.monotonic() + timeout_s
        while not self._left:
            self._news.clear()
            await self._rebalance()
            if self._ready and (batches := self._fetcher.take(bytes_max)):
                return batches
            self._check()
            remaining = deadline - clock.monotonic()
            if remaining <= 0:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(remaining):
                    await self._news.wait()
        return []

    def _check(self) -> None:
        """Raise what ended the membership, or that no broker has answered for long.

        "Nothing to read" must not stand for "nobody there".
        """
        doing = f"read as a member of group {self._options.group_id!r}"
        if self._placing is not None and self._placing.done():
            self._placing.result()  # raises what ended it
        try:
            self._coordination.check()
        except KafkaError as error:
            raise _translated(error, doing) from error
        if self._ready and (silent_s := self._fetcher.silent_s()) > SILENCE_S_MAX:
            raise UnavailableError(f"could not {doing}: no broker has answered for {silent_s:.0f} s")

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Stop fetching these partitions; what is buffered already is kept."""
        self._fetcher.pause(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch these partitions again."""
        self._fetcher.resume(partitions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Fetch this partition from another offset next."""
        self._fetcher.seek(partition, offset)

    def lag(self) -> Mapping[TopicPartition, int]:
        """Return how far each position is behind the last stable offset, as last heard."""
        return self._fetcher.lag()

    # -- the group ----------------------------------------------------------------------------------------------

    async def _rebalance(self) -> None:
        """Handle what the coordinator queued, in order; an event that fails to be handled stays first in line.

        Raises: FencedError when the last event is reached: another member goes by this one's name.
        """
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
            elif isinstance(event, Fenced):
                await self._let_go()
                raise FencedError(
                    f"instance {self._options.instance_id!r} of group {self._options.group_id!r} is another worker now",
                    hint="two workers run under one instance id; the one that joined last goes on",
                )
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
            if self._coordination.known:
                await self._listener.revoked(partitions)
            else:
                log.warning("group %s gave up this member: its partitions are lost", self._options.group_id)
                await self._listener.lost(partitions)
        finally:
            await self._end_placing()
            self._assignment = frozenset()
            self._fetcher.assign({})

    async def _take_over(self, event: Assigned) -> None:
        """Set the positions of a new assignment and tell the engine; records flow once it has returned.

        A partition over which a transaction is undecided does not hold the others back: its position follows.
        """
        if event.partitions != self._assignment or event.generation != self._generation:
            await self._set_positions(event.partitions)
        self._assignment, self._members = event.partitions, event.group.members
        self._generation, self._member_id = event.generation, event.member_id
        self._rebalances += 1
        self._transactions.fenced = False
        await self._listener.assigned(event.partitions, event.group.standbys)
        self._ready = True

    async def _set_positions(self, partitions: frozenset[TopicPartition]) -> None:
        await self._end_placing()
        starts, undecided = await self._starts(partitions)
        self._fetcher.assign(starts | dict.fromkeys(undecided))
        if undecided:
            log.info("positions wait for transactions to be decided: %s", ", ".join(map(str, sorted(undecided))))
            self._placing = asyncio.create_task(self._place(undecided), name="pelton positions")

    async def _starts(
        self, partitions: Iterable[TopicPartition]
    ) -> tuple[dict[TopicPartition, int], frozenset[TopicPartition]]:
        """Return where to begin, and the partitions of which that is not decided."""
        wanted = frozenset(partitions)
        positions, undecided = await decided_positions(self._cluster, self._options.group_id, wanted)
        fresh = wanted - positions.keys() - undecided
        firsts = await first_offsets(self._cluster, fresh, self._options.start)
        return firsts | {partition: position.offset for partition, position in positions.items()}, undecided

    async def _place(self, undecided: frozenset[TopicPartition]) -> None:
        """Set the positions of these partitions as soon as each is decided; the broker sees to it that each is."""
        while undecided:
            await self._cluster.clock.sleep(_UNDECIDED_S)
            try:
                starts, undecided = await self._starts(undecided)
            except UnavailableError as error:
                log.warning("%s", error)
                continue
            for partition, offset in starts.items():
                self._fetcher.place(partition, offset)

    async def _end_placing(self) -> None:
        if self._placing is not None:
            self._placing.cancel()
            await asyncio.gather(self._placing, return_exceptions=True)
            self._placing = None

    def update(self, *, topics: frozenset[str] | None = None, held: frozenset[int] | None = None) -> None:
        """Read other topics, or tell of other state on disk; a change of topics causes a rebalance."""
        if held is not None:
            self._coordination.assignor.held = held
        if topics is not None and topics != self._coordination.subscriptions.topics:
            self._coordination.subscribe(topics)

    async def leave(self) -> None:
        """Leave the group; `RebalanceListener.revoked` runs first. Idempotent.

        The others get its partitions at once, unless it has an instance_id and `GroupOptions.returns`: then it leaves
        by silence, as static members do (KIP-345), and they are kept for it until the session times out.
        """
        if self._left:
            return
        self._left = True
        try:
            await self._let_go()
        finally:
            await self._end_placing()
            await self._fetcher.close()
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
        except PeltonError as error:
            self._failed += 1
            if isinstance(error, ProducerFenced):
                # Either another worker goes by this name, or the broker gave the transaction up: the group will tell.
                self._coordination.rejoin()
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
        """Write the records, one rank after the other, then the positions (at least once)."""
        (producer,) = self._producers
        if not producer.ready:
            await producer.initialise()
        bases = [-1] * len(writes)
        try:
            for places in by_rank(writes):
                found = await producer.produce([writes[place] for place in places])
                for place, base in zip(places, found, strict=True):
                    bases[place] = base
        except BaseException:
            producer.reset()
            raise
        if positions:
            await self._commit_positions(positions, member)
        return bases

    @step("offsets")
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
            records_fetched=self._fetcher.records,
            bytes_fetched=self._fetcher.bytes,
            records_written=sum(producer.records for producer in self._producers),
            bytes_written=sum(producer.bytes for producer in self._producers),
            commits=self._commits,
            commits_failed=self._failed,
        )


def _translated(error: Any, doing: str) -> PeltonError:
    """Return the error of ours for one that aiokafka's fetcher or coordinator met."""
    code = int(getattr(error, "errno", 0))
    return error_for(code, doing) if code in CONFIGURATION else UnavailableError(f"could not {doing}: {error}")
