"""The connection to a Kafka cluster: who leads what, requests to one broker, retries until a deadline.

One `Cluster` serves a whole process. A broker answers the requests of one connection in order, so a long poll
would hold up a commit behind it: each use has its own lane, that is its own connection to every broker.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pelton.batch import TopicPartition
from pelton.clock import Clock
from pelton.errors import ConfigurationError, PeltonError, UnavailableError
from pelton.log.kafka.aio import (
    CoordinationType,
    DescribeGroupsRequest,
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    KafkaError,
    KafkaPartition,
    create_conn,
)
from pelton.log.kafka.chatter import quieten
from pelton.log.kafka.client import Client
from pelton.log.kafka.codes import MOVED, RETRIABLE, error_for, name_of
from pelton.log.kafka.refusal import refusal

__all__ = ["GROUP", "TRANSACTION", "Again", "Cluster", "ConnectionSettings", "check"]

#: Which kind of coordinator: of a consumer group, or of a transactional id.
GROUP: Any = CoordinationType.GROUP
TRANSACTION: Any = CoordinationType.TRANSACTION

log = logging.getLogger(__name__)
T = TypeVar("T")

#: How long a call goes on trying before it gives up with UnavailableError.
PATIENCE_S = 30.0
#: A retry usually waits for a marker or a verification that takes a broker 1-3 ms, so begin there.
BACKOFF_FIRST_S = 0.001
BACKOFF_LAST_S = 0.1
#: How long a broker that could not be reached may take to tell why.
_PROBE_TIMEOUT_MS = 5_000


@dataclass(frozen=True)
class ConnectionSettings:
    """Where the cluster is and how to prove who we are.

    security: aiokafka's security_protocol, ssl_context, sasl_* arguments; secrets, so never part of the repr.
    """

    bootstrap: tuple[str, ...]
    client_id: str
    security: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)

    def client(self) -> Any:
        """Return a new aiokafka client, not yet connected. Raises: ConfigurationError."""
        try:
            return Client(
                bootstrap_servers=list(self.bootstrap),
                client_id=self.client_id,
                request_timeout_ms=30_000,
                retry_backoff_ms=20,
                **self.security,
            )
        except (TypeError, ValueError, AssertionError) as error:
            raise ConfigurationError(
                f"could not use the security settings for Kafka: {error}",
                hint="allowed are security_protocol, ssl_context and the sasl_ settings of aiokafka",
            ) from error

    async def connected(self) -> Any:
        """Return a new client that has met the cluster. Raises: ConfigurationError, UnavailableError."""
        client = self.client()
        try:
            await client.bootstrap()
        except KafkaConnectionError as error:
            await client.close()
            raise await self._refusal(client.hosts) from error
        except BaseException:
            await client.close()
            raise
        return client

    async def _refusal(self, hosts: Iterable[tuple[str, int, Any]]) -> PeltonError:
        """Connect to each broker once more, to learn what is in the way."""
        reasons: list[BaseException] = []
        security = dict(self.security)
        protocol = str(security.setdefault("security_protocol", "PLAINTEXT"))
        for host, port, _ in hosts:
            try:
                connection = await create_conn(
                    host, port, client_id=self.client_id, request_timeout_ms=_PROBE_TIMEOUT_MS, **security
                )
            except (OSError, KafkaError) as reason:  # a TimeoutError is an OSError
                reasons.append(reason)
            else:
                connection.close()
        return refusal(self.bootstrap, protocol, reasons)


class Again(Exception):
    """A broker's answer that asks to try once more.

    moved: the metadata should be read again first.
    """

    def __init__(self, reason: str, *, moved: bool = False) -> None:
        super().__init__(reason)
        self.moved = moved


def check(code: int, doing: str, partition: TopicPartition | None = None, *, detail: str = "") -> None:
    """Return when code is zero; else raise `Again` for a passing trouble, or the error to react to."""
    if code == 0:
        return
    if code in RETRIABLE:
        raise Again(name_of(code), moved=code in MOVED)
    raise error_for(code, doing, partition, detail=detail)


class Cluster:
    """Brokers, leaders and coordinators, as last heard, and the requests sent to them.

    batch_bytes_max: how large a sealed batch each topic takes (its max.message.bytes), where that was asked.
    """

    def __init__(self, settings: ConnectionSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.requests = 0
        self.retries = 0
        self.batch_bytes_max: dict[str, int] = {}
        self._client: Any = None
        self._coordinators: dict[tuple[int, str], int] = {}

    async def open(self) -> None:
        """Connect. Raises: UnavailableError, ConfigurationError."""
        quieten()
        if self._client is None:
            self._client = await self.settings.connected()
            await self.refresh()

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @property
    def client(self) -> Any:
        """The aiokafka client. Raises: UnavailableError before `open` and after `close`."""
        if self._client is None:
            raise UnavailableError("could not use the log: it is not open", hint="await log.open() first")
        return self._client

    async def refresh(self) -> None:
        """Read the metadata of all topics again."""
        await self.client.force_metadata_update()

    def partition_counts(self) -> Mapping[str, int]:
        """Return topic -> number of partitions as last heard, internal topics left out."""
        known = self.client.cluster
        return {topic: len(known.partitions_for_topic(topic) or ()) for topic in known.topics()}

    def under_replicated(self) -> Mapping[str, int]:
        """Return topic -> partitions with fewer replicas in sync than they should have, as last heard.

        That is every five minutes, and when something is not where it was. Topics that have none are there with 0.
        """
        if self._client is None:
            return {}
        known: Mapping[str, Mapping[int, Any]] = self._client.cluster._partitions  # aiokafka has no public name for it
        return {topic: sum(len(one.isr) < len(one.replicas) for one in known[topic].values()) for topic in known}

    def layouts(self) -> Mapping[str, tuple[int, int]]:
        """Return topic -> number of partitions, and of replicas of the one that has fewest; internal topics too."""
        known: Mapping[str, Mapping[int, Any]] = self.client.cluster._partitions  # aiokafka has no public name for it
        return {
            topic: (len(found), min(len(one.replicas) for one in found.values()))
            for topic, found in known.items()
            if found
        }

    def nodes(self) -> Mapping[int, str]:
        """Return the id of each broker -> its address, as last heard."""
        return {int(one.nodeId): f"{one.host}:{one.port}" for one in self.client.cluster.brokers()}

    def any_node(self) -> int:
        """Return the id of some broker. Raises: Again."""
        node = self.client.get_random_node()
        if node is None:
            raise Again("no broker is known", moved=True)
        return int(node)

    def leader(self, partition: TopicPartition) -> int:
        """Return the id of the broker that leads a partition. Raises: Again when none is known."""
        node = self.client.cluster.leader_for_partition(KafkaPartition(*partition))
        if node is None or node == -1:
            raise Again(f"{partition} has no leader", moved=True)
        return int(node)

    def by_leader(self, partitions: Iterable[TopicPartition]) -> Mapping[int, Sequence[TopicPartition]]:
        """Group partitions by the broker that leads them. Raises: Again."""
        groups: dict[int, list[TopicPartition]] = {}
        for partition in partitions:
            groups.setdefault(self.leader(partition), []).append(partition)
        return groups

    async def send(self, node: int, request: Any, lane: Hashable) -> Any:
        """Send one request and return its answer. Raises: KafkaError."""
        self.requests += 1
        return await self.client.send(node, request, group=lane)

    async def to_coordinator(self, kind: Any, key: str, request: Any, lane: Hashable = "coordinator") -> Any:
        """Send a request to the coordinator of a group or of a transactional id. Raises: KafkaError, Again."""
        return await self.send(await self.coordinator(kind, key), request, lane)

    async def coordinator(self, kind: Any, key: str) -> int:
        """Return the broker that coordinates a group or a transactional id. Raises: KafkaError, Again."""
        node = self._coordinators.get((kind, key))
        if node is None:
            try:
                node = int(await self.client.coordinator_lookup(kind, key))
            except KafkaError as error:
                if (code := getattr(error, "errno", 0)) not in RETRIABLE and code > 0:
                    raise error_for(code, f"find the coordinator of {key!r}") from error
                raise
            self._coordinators[kind, key] = node
        return node

    async def until_coordinated(self, group_id: str) -> None:
        """Wait until the coordinator of a group is ready for it.

        The first group of a new cluster has __consumer_offsets created, and a restarted broker loads it first, which
        takes a second or two. aiokafka would ask without a pause meanwhile, and report each refusal.
        Raises: UnavailableError, ConfigurationError.
        """
        doing = f"join group {group_id!r}"

        async def attempt() -> None:
            answer = await self.to_coordinator(GROUP, group_id, DescribeGroupsRequest([group_id]))
            for code, *_ in answer.groups:
                check(code, doing)

        await self.retry(attempt, doing)

    async def retry(self, attempt: Callable[[], Awaitable[T]], doing: str, *, patience_s: float = PATIENCE_S) -> T:
        """Return what attempt returns, calling it again after each passing trouble.

        attempt: raises `Again`, or aiokafka's errors of a lost connection, when it is worth another try.
        doing: what it does, to follow "could not" in the error.
        Raises: UnavailableError once patience_s is over; what else attempt raises.
        """
        deadline = self.clock.monotonic() + patience_s
        backoff = BACKOFF_FIRST_S
        while True:
            try:
                return await attempt()
            except IncompatibleBrokerVersion as error:
                raise ConfigurationError(
                    f"could not {doing}: {error}", hint="pelton needs Kafka 2.5 or newer"
                ) from error
            except (Again, KafkaError) as error:
                if self.clock.monotonic() >= deadline:
                    raise UnavailableError(f"could not {doing}: {error}") from error
                await self._recover(error, doing)
            self.retries += 1
            await self.clock.sleep(backoff)
            backoff = min(2 * backoff, BACKOFF_LAST_S)

    async def _recover(self, error: Again | Exception, doing: str) -> None:
        """Look again who leads and coordinates what, unless the trouble was only a matter of time."""
        if isinstance(error, Again) and not error.moved:
            return
        log.debug("could not %s yet: %s", doing, error)
        self._coordinators.clear()
        await self.refresh()
