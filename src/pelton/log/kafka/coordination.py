# pyright: basic
# mypy: disable-error-code="misc, no-untyped-call"
"""Group membership through aiokafka's coordinator, with our assignment and our order of events.

aiokafka joins, heartbeats and rejoins in a background task, and calls a listener from there. The engine wants
its callbacks inside `Group.fetch`, so the listener here only queues events: a revocation holds the rejoin back
until it was handled (heartbeats go on meanwhile), an assignment does not (a restore may take minutes, and needs
heartbeats).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pelton.batch import TopicPartition
from pelton.log.contract import GroupOptions
from pelton.log.kafka.aio import ConsumerRebalanceListener, Fetcher, GroupCoordinator, SubscriptionState
from pelton.log.kafka.assignor import Assignor, GroupAssignment

__all__ = ["Assigned", "Coordination", "Revoked"]

#: aiokafka's value of a member that the group does not know.
NO_GENERATION = -1
#: How long the group waits for a member to finish its work and rejoin.
REBALANCE_TIMEOUT_MS = 60_000
_NEVER_MS = 10**15
_FETCH_WAIT_MS = 200


@dataclass(frozen=True, slots=True)
class Revoked:
    """The partitions are about to go; handled must be set once the engine has committed."""

    handled: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Assigned:
    """The partitions are this member's from now on."""

    partitions: frozenset[TopicPartition]
    generation: int
    member_id: str
    group: GroupAssignment = field(repr=False)


class _Listener(ConsumerRebalanceListener):
    def __init__(self, owner: Coordination) -> None:
        self._owner = owner

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        await self._owner.revoking()

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        self._owner.assigned(assigned)


class Coordination:
    """aiokafka's subscription, fetcher and group coordinator over one client, composed without its consumer.

    events: what the next `Group.fetch` must handle, in order.
    """

    def __init__(self, client: Any, options: GroupOptions) -> None:
        loop = asyncio.get_running_loop()
        self.events: deque[Revoked | Assigned] = deque()
        self.assignor = Assignor(options)
        self.client = client
        self.subscriptions = SubscriptionState(loop=loop)
        self._woken = loop.create_future()
        self._closed = False
        self._listener = _Listener(self)
        self.subscribe(options.topics)
        self.fetcher = Fetcher(
            client,
            self.subscriptions,
            fetch_max_bytes=options.fetch_bytes_max,
            max_partition_fetch_bytes=max(1024 * 1024, options.fetch_bytes_max // 4),
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            check_crcs=True,
            # A partition that is still being worked on must not hold up the fetches of the others.
            prefetch_backoff=0,
            retry_backoff_ms=20,
            auto_offset_reset="none",
            isolation_level="read_committed",
        )
        self.coordinator = GroupCoordinator(
            client,
            self.subscriptions,
            group_id=options.group_id,
            group_instance_id=options.instance_id,
            session_timeout_ms=options.session_timeout_ms,
            heartbeat_interval_ms=options.heartbeat_interval_ms,
            rebalance_timeout_ms=max(options.session_timeout_ms, REBALANCE_TIMEOUT_MS),
            # The engine watches its own progress; a long restore within `fetch` must not cost the membership.
            max_poll_interval_ms=_NEVER_MS,
            retry_backoff_ms=20,
            enable_auto_commit=False,
            assignors=(self.assignor,),
        )

    def subscribe(self, topics: frozenset[str]) -> None:
        """Read these topics from the next assignment on; causes a rebalance."""
        self.client.set_topics(topics)
        self.subscriptions.subscribe(topics=set(topics), listener=self._listener)

    @property
    def known(self) -> bool:
        """Whether the group still knows this member."""
        return bool(self.coordinator.generation != NO_GENERATION)

    @property
    def assignment(self) -> Any:
        """The assignment in force with the state of each partition; None while there is none to fetch from."""
        subscription = self.subscriptions.subscription
        if subscription is None or self.subscriptions.reassignment_in_progress:
            return None
        return subscription.assignment

    def woken(self) -> asyncio.Future[None]:
        """Return a future that is done as soon as there is an event."""
        if self._woken.done() and not self.events:
            self._woken = asyncio.get_running_loop().create_future()
        return self._woken

    def _push(self, event: Revoked | Assigned) -> None:
        self.events.append(event)
        if not self._woken.done():
            self._woken.set_result(None)

    async def revoking(self) -> None:
        """Hold the rejoin back until the engine has let go of its partitions."""
        if self._closed:
            return
        handled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._push(Revoked(handled))
        await handled

    def assigned(self, partitions: Iterable[Any]) -> None:
        """Take note of a new assignment."""
        own = frozenset(TopicPartition(p.topic, p.partition) for p in partitions)
        self._push(Assigned(own, self.coordinator.generation, self.coordinator.member_id, self.assignor.last))

    def check(self) -> None:
        """Raise the error that ended the coordinator or the fetcher, if any."""
        self.coordinator.check_errors()
        if self.fetcher.error_future.done():
            self.fetcher.error_future.result()

    async def close(self) -> None:
        """Leave the group and close the connections."""
        self._closed = True
        while self.events:
            event = self.events.popleft()
            if isinstance(event, Revoked) and not event.handled.done():
                event.handled.set_result(None)
        try:
            await self.coordinator.close()
        finally:
            await self.fetcher.close()
            await self.client.close()
