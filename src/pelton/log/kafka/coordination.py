# pyright: basic
# mypy: disable-error-code="misc, no-untyped-call"
"""Group membership through aiokafka's coordinator, with our assignment and our order of events.

aiokafka joins, heartbeats and rejoins in a background task, and calls a listener from there. The engine wants
its callbacks inside `Group.fetch`, so the listener here only queues events: a revocation holds the rejoin back
until it was handled (heartbeats go on meanwhile), an assignment does not (a restore may take minutes, and needs
heartbeats).

Members with a name (static membership, KIP-345) need three things that aiokafka does not do: see `_Coordinator`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pelton.batch import TopicPartition
from pelton.log.contract import GroupOptions
from pelton.log.kafka.aio import (
    ConsumerRebalanceListener,
    GroupCoordinator,
    HeartbeatRequest,
    KafkaError,
    LeaveGroupRequest,
    StaticHeartbeatRequest,
    SubscriptionState,
)
from pelton.log.kafka.assignor import Assignor, GroupAssignment
from pelton.log.kafka.codes import Code

__all__ = ["Assigned", "Coordination", "Fenced", "Revoked"]

log = logging.getLogger(__name__)

#: aiokafka's value of a member that the group does not know.
NO_GENERATION = -1
#: How long the group waits for a member to finish its work and rejoin.
REBALANCE_TIMEOUT_MS = 60_000
_NEVER_MS = 10**15
_UNKNOWN_MEMBER = ""
#: What the coordinator answers to a member that it knows.
_KNOWN = (0, Code.REBALANCE_IN_PROGRESS)


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


@dataclass(frozen=True, slots=True)
class Fenced:
    """Another member has joined under this one's name; nothing comes after this."""


_Event = Revoked | Assigned | Fenced


class _Listener(ConsumerRebalanceListener):
    def __init__(self, owner: Coordination) -> None:
        self._owner = owner

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        await self._owner.revoking()

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        self._owner.assigned(assigned)


class _Coordinator(GroupCoordinator):
    """aiokafka's coordinator, for members with a name too.

    It tells its name in heartbeats, and ends for good when another member goes by it. It does not take up an assignment
    that was made for who had the name before, and told the group something else. And it can leave.
    """

    def __init__(self, owner: Coordination, options: GroupOptions) -> None:
        self._owner = owner
        self._stays = options.instance_id is not None and options.returns
        super().__init__(
            owner.client,
            owner.subscriptions,
            group_id=options.group_id,
            group_instance_id=options.instance_id,
            session_timeout_ms=options.session_timeout_ms,
            heartbeat_interval_ms=options.heartbeat_interval_ms,
            rebalance_timeout_ms=max(options.session_timeout_ms, REBALANCE_TIMEOUT_MS),
            # The engine watches its own progress; a long restore within `fetch` must not cost the membership.
            max_poll_interval_ms=_NEVER_MS,
            retry_backoff_ms=20,
            enable_auto_commit=False,
            assignors=(owner.assignor,),
        )
        self._coordination_task.add_done_callback(lambda _: owner.news.set())

    async def _send_req(self, request: Any) -> Any:
        if isinstance(request, HeartbeatRequest):
            request = StaticHeartbeatRequest(self.group_id, self.generation, self.member_id, self._group_instance_id)
        sent_at_s = time.monotonic()
        answer = await super()._send_req(request)
        if getattr(answer, "error_code", None) in _KNOWN and not isinstance(request, LeaveGroupRequest):
            self._owner.confirmed_at_s = sent_at_s
        if getattr(answer, "error_code", 0) == Code.FENCED_INSTANCE_ID:
            self._end()
            raise KafkaError(Code.FENCED_INSTANCE_ID.name)
        return answer

    def _end(self) -> None:
        """Stop heartbeats and joins: to go on would take the name back from who has it now."""
        self.generation, self.member_id = NO_GENERATION, _UNKNOWN_MEMBER
        if not self._closing.done():
            self._closing.set_result(None)
            self._owner.fenced()

    async def _on_join_complete(self, generation: int, member_id: str, protocol: str, assignment: bytes) -> None:
        if self._owner.assignor.made_for_this_member(assignment):
            await super()._on_join_complete(generation, member_id, protocol, assignment)
        else:
            self.request_rejoin()

    def _push_error_to_user(self, error: Exception) -> Any:
        consumed = super()._push_error_to_user(error)
        self._owner.news.set()
        return consumed

    async def _maybe_leave_group(self) -> None:
        if self.generation != NO_GENERATION and not self._stays:
            try:
                await self._send_req(LeaveGroupRequest(self.group_id, self.member_id, self._group_instance_id))
            except KafkaError as error:
                log.warning("could not leave group %s, it will notice by itself: %s", self.group_id, error)
        self.reset_generation()

    async def close(self) -> None:
        """Stop, and leave the group; also after `_end`, where aiokafka's own close takes everything as done."""
        await super().close()
        await self._coordination_task
        await self._stop_heartbeat_task()
        await self._stop_commit_offsets_refresh_task()


class Coordination:
    """aiokafka's subscription and group coordinator over one client, composed without its consumer and its fetcher.

    events: what the next `Group.fetch` must handle, in order.
    news: set when there is an event, or an error for `check` to raise.
    confirmed_at_s: when the last of this member's requests was sent by whose answer the group has it as a member.
    """

    def __init__(self, client: Any, options: GroupOptions) -> None:
        self.events: deque[_Event] = deque()
        self.news = asyncio.Event()
        self.assignor = Assignor(options)
        self.client = client
        self.subscriptions = SubscriptionState(loop=asyncio.get_running_loop())
        self.confirmed_at_s = 0.0
        self._closed = False
        self._listener = _Listener(self)
        self.subscribe(options.topics)
        self.subscriptions.register_fetch_waiters(set())
        self.coordinator = _Coordinator(self, options)

    def subscribe(self, topics: frozenset[str]) -> None:
        """Read these topics from the next assignment on; causes a rebalance."""
        self.client.set_topics(topics)
        self.subscriptions.subscribe(topics=set(topics), listener=self._listener)

    @property
    def known(self) -> bool:
        """Whether the group still knows this member."""
        return bool(self.coordinator.generation != NO_GENERATION)

    def _push(self, event: _Event) -> None:
        self.events.append(event)
        self.news.set()

    def rejoin(self) -> None:
        """Join the group again, to learn whether this is still a member."""
        self.coordinator.request_rejoin()

    def fenced(self) -> None:
        """Take note that another member goes by this one's name."""
        self._push(Fenced())

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
        """Raise the error that the coordinator met, if any."""
        self.coordinator.check_errors()

    async def close(self) -> None:
        """Leave the group, unless this member's place is to be kept, and close the connections."""
        self._closed = True
        while self.events:
            event = self.events.popleft()
            if isinstance(event, Revoked) and not event.handled.done():
                event.handled.set_result(None)
        try:
            await self.coordinator.close()
        finally:
            await self.client.close()
