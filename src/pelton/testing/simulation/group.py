"""A worker's membership in the group, on both kinds of rebalances and both kinds of commits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.errors import FencedError, PeltonError, UnavailableError
from pelton.log.contract import GroupOptions, MemberInfo, Position, RebalanceListener
from pelton.testing.simulation.broker import Broker, Transaction
from pelton.testing.simulation.coordinator import Standing

if TYPE_CHECKING:
    from pelton.testing.simulation.log import SimulatedLog

__all__ = ["SimulatedGroup"]

#: How often a member looks whether its assignment has changed, in seconds.
_LOOK_EVERY_S = 0.1
_ROWS_MAX = 30


class SimulatedGroup:
    """A member of the group; `join` makes it one. The callbacks run inside `fetch` and `leave`."""

    def __init__(self, log: SimulatedLog, options: GroupOptions, listener: RebalanceListener) -> None:
        self.member_id = ""
        self._log = log
        self._options = options
        self._listener = listener
        self._broker = log.server.broker
        self._chance = log.server.chance
        self._generation = 0
        self._assignment: frozenset[TopicPartition] = frozenset()
        self._told = False
        self._positions: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._members: Sequence[MemberInfo] = ()
        self._looked_at = -_LOOK_EVERY_S
        self._rebalancing = asyncio.Lock()
        self._left = False
        self._background: set[asyncio.Task[None]] = set()
        self._beating: asyncio.Task[None] | None = None
        self._producer = log.server.next_producer()
        self._epoch = 0
        #: Whether the broker has refused a producer of this member: nothing is committed until the group has answered.
        self._fenced = False
        self._confirmed_s = 0.0

    # -- membership ------------------------------------------------------------------------------------------------

    async def join(self) -> None:
        """Become a member, under a new name each time."""
        self._log.joined += 1
        self.member_id = f"{self._log.name}-{self._log.joined}"
        me, options = self.member_id, self._options
        await self._log.call(f"join as {me}", lambda broker: broker.coordinator.join(me, options))
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            await self._log.clock.sleep(self._options.heartbeat_interval_ms / 1000)
            await self._quietly("beat", self._beat_once)
            if self._fenced:  # also when the first to ask was lost
                await self._quietly("ask", self._ask)

    def _ask(self, broker: Broker) -> None:
        broker.coordinator.request_rebalance(self.member_id)

    def _beat_once(self, broker: Broker) -> None:
        if broker.coordinator.beat(self.member_id):
            self._confirmed_s = self._log.clock.monotonic()

    async def _quietly(self, what: str, serve: Callable[[Broker], None]) -> None:
        try:
            await self._log.call(what, serve)
        except UnavailableError:
            return  # the next heartbeat says the same

    @property
    def generation(self) -> int:
        """The generation of the assignment in force."""
        return self._generation

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions this member owns."""
        return self._assignment

    def members(self) -> Sequence[MemberInfo]:
        """Return all members, as of the last rebalance."""
        return self._members

    def confirmed_at_s(self) -> float:
        """Return when a heartbeat was last taken."""
        return self._confirmed_s

    async def _rebalance_if_due(self) -> None:
        now = self._log.clock.monotonic()
        if self._told and now - self._looked_at < _LOOK_EVERY_S:
            return
        async with self._rebalancing:
            if not self._left:
                self._looked_at = now
                await self._rebalance()

    async def _look(self) -> Standing:
        me = self.member_id
        return await self._log.call("look", lambda broker: broker.coordinator.look(me))

    async def _rebalance(self) -> None:
        standing = await self._look()
        if not standing.alive:
            await self._begin_anew(standing)
        elif standing.rejoin:
            await self._let_go(self._assignment)
            self._told = False
            await self._coordinate("rejoin")
        elif standing.settled:
            await self._move(standing)

    async def _move(self, standing: Standing) -> None:
        """Let go of what goes to others, take what is ours and free, and tell the engine."""
        if standing.leaving:
            await self._let_go({one for one in self._assignment if one.partition in standing.leaving})
            self._told = False
            await self._listener.assigned(self._assignment, standing.standbys)
            await self._coordinate("release", standing.leaving)
        if standing.free:
            await self._coordinate("take", standing.free)
        if standing.leaving or standing.free:
            standing = await self._look()
        owned = self._sources(standing.owned) if standing.alive else frozenset[TopicPartition]()
        if not self._told or owned != self._assignment or standing.generation != self._generation:
            await self._settle(owned, standing)

    async def _coordinate(self, what: str, numbers: Iterable[int] = ()) -> None:
        me = self.member_id
        wanted = sorted(numbers)

        def serve(broker: Broker) -> None:
            act = getattr(broker.coordinator, what)
            act(me, wanted) if wanted else act(me)

        await self._log.call(f"{what} {wanted or ''}", serve)

    def _sources(self, numbers: Iterable[int]) -> frozenset[TopicPartition]:
        counts = self._broker.counts()
        return frozenset(
            TopicPartition(topic, number)
            for topic in self._options.topics
            for number in numbers
            if number < counts.get(topic, 0)
        )

    async def _settle(self, owned: frozenset[TopicPartition], standing: Standing) -> None:
        await self._let_go(self._assignment - owned)
        new = sorted(owned - self._assignment)
        committed = await self.committed(new)
        for source in new:
            known = committed.get(source)
            self._positions[source] = known.offset if known is not None else self._broker.span(source).start
        self._assignment, self._generation, self._told = owned, standing.generation, False
        self._fenced = False
        self._members = self._broker.coordinator.members()
        await self._listener.assigned(owned, standing.standbys)
        self._told = True

    async def _let_go(self, partitions: Set[TopicPartition]) -> None:
        if not partitions:
            return
        try:
            await self._listener.revoked(frozenset(partitions))
        finally:
            self._forget(partitions)

    async def _begin_anew(self, standing: Standing) -> None:
        """This member was expelled: what it had is lost."""
        lost, self._told = self._assignment, False
        self._forget(lost)
        if lost:
            await self._listener.lost(lost)
        if standing.replaced:
            raise FencedError(f"another worker has joined as {self._options.instance_id}")
        await self.join()

    def _forget(self, partitions: Set[TopicPartition]) -> None:
        for partition in partitions:
            self._positions.pop(partition, None)
            self._ends.pop(partition, None)
        self._paused -= partitions
        self._assignment -= partitions

    def update(self, *, topics: frozenset[str] | None = None, held: frozenset[int] | None = None) -> None:
        """Tell of other state on disk; no simulated program reads other topics."""
        assert topics is None
        if held is not None:
            me = self.member_id
            self._in_background("tell", lambda broker: broker.coordinator.tell(me, held))

    def _in_background(self, what: str, serve: Callable[[Broker], None]) -> None:
        task = asyncio.create_task(self._quietly(what, serve))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def leave(self) -> None:
        """Leave the group at once. Idempotent."""
        if self._left:
            return
        self._left = True
        try:
            async with self._rebalancing:
                await self._let_go(self._assignment)
        finally:
            if self._beating is not None:
                self._beating.cancel()
                await asyncio.gather(self._beating, return_exceptions=True)
            if not (self._options.returns and self._options.instance_id):
                await self._coordinate("leave")

    # -- reading ---------------------------------------------------------------------------------------------------

    async def fetch(self, *, bytes_max: int, timeout_s: float) -> Sequence[RecordBatch]:
        """Return what there is to read now, waiting up to timeout_s for the first."""
        clock = self._log.clock
        deadline = clock.monotonic() + timeout_s
        while not self._left:
            await self._rebalance_if_due()
            batches = await self._poll()
            left = deadline - clock.monotonic()
            if batches or left <= 0:
                return batches
            await self._log.news(min(left, _LOOK_EVERY_S))
        return []

    async def _poll(self) -> list[RecordBatch]:
        """Read some of the partitions that are not paused, a drawn number of records each."""
        wanted = {
            source: (self._positions[source], self._chance.between(1, _ROWS_MAX))
            for source in sorted(self._positions.keys() - self._paused)
        }
        if not wanted:
            return []

        def serve(broker: Broker) -> tuple[list[RecordBatch], dict[TopicPartition, int]]:
            batches = [broker.read(source, offset, rows) for source, (offset, rows) in wanted.items()]
            return batches, {source: broker.end(source) for source in wanted}

        batches, ends = await self._log.call("fetch", serve)
        self._ends |= {source: end for source, end in ends.items() if source in self._positions}
        return [batch for batch in batches if self._advance(batch, wanted[batch.source][0])]

    def _advance(self, batch: RecordBatch, asked: int) -> bool:
        """Move the position behind a batch, unless a seek or a pause has made it obsolete meanwhile."""
        source = batch.source
        if source in self._paused or self._positions.get(source) != asked or batch.next_offset == asked:
            return False
        self._positions[source] = batch.next_offset
        batch.nbytes *= self._log.server.weight
        return True

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
        """Return how many offsets lie before the end of each partition, as last heard."""
        return {
            source: max(0, self._ends[source] - position)
            for source, position in self._positions.items()
            if source in self._ends
        }

    # -- committing ------------------------------------------------------------------------------------------------

    async def committed(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, Position]:
        """Return the group's committed positions; partitions that have none are missing."""
        return await self._log.group_positions(self._options.group_id, partitions)

    async def commit(
        self, writes: Sequence[OutgoingBatch], positions: Mapping[TopicPartition, Position]
    ) -> Sequence[int]:
        """Make the records and the positions durable and visible together. Raises: FencedError, UnavailableError."""
        if foreign := positions.keys() - self._assignment:
            raise FencedError(f"{sorted(foreign)} are not assigned to {self.member_id}")
        me, generation, producer = self.member_id, self._generation, (self._producer, self._epoch)

        def begin(broker: Broker) -> Transaction:
            return broker.begin(me, generation, producer, writes, positions)

        if not self._log.server.weather.undecided_s:
            told = _told(positions)
            return await self._log.call(f"commit {told}", lambda broker: broker.commit(begin(broker)), voidable=True)
        if self._fenced:
            raise FencedError(f"the producer of {me} was fenced, and the group has not answered yet")
        try:
            transaction = await self._log.call(f"begin {_told(positions)}", begin)
            await self._log.clock.sleep(self._chance.around(self._log.server.weather.undecided_s))
            if self._chance.happens(self._log.server.weather.fencings):
                self._broker.abort(transaction)
            return await self._log.call(f"end {transaction.number}", lambda broker: broker.commit(transaction))
        except PeltonError as error:
            await self._become_new_producer()
            if isinstance(error, FencedError):
                self._fenced = True
                self._in_background("ask", self._ask)
            raise

    async def _become_new_producer(self) -> None:
        """Settle what the transaction came to: it is committed, or else it never will be."""
        me, producer = self.member_id, self._producer
        try:
            self._epoch = await self._log.call("new producer", lambda broker: broker.renew(producer, me))
        except UnavailableError:
            self._producer, self._epoch = self._log.server.next_producer(), 0

    def statistics(self) -> object:
        """Return nothing: the trace tells more."""
        return None


def _told(positions: Mapping[TopicPartition, Position]) -> str:
    return ", ".join(f"{source}={position.offset}{position.metadata}" for source, position in sorted(positions.items()))
