"""The durable log on Apache Kafka (2.5 or newer)."""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.clock import Clock, SystemClock
from pelton.errors import ConfigurationError
from pelton.log.contract import (
    GroupOptions,
    MemberInfo,
    OffsetRange,
    Position,
    RebalanceListener,
    RecordRules,
    TopicSpec,
)
from pelton.log.kafka import offsets, upkeep
from pelton.log.kafka.cluster import Cluster, ConnectionSettings
from pelton.log.kafka.coordination import Coordination
from pelton.log.kafka.described import members_of
from pelton.log.kafka.encoding import BATCH_BYTES_MAX, OVERHEAD_BYTES
from pelton.log.kafka.group import KafkaGroup
from pelton.log.kafka.producer import Producer
from pelton.log.kafka.reader import PartitionReader
from pelton.log.kafka.topics import batch_bytes_max, declare, delete, deletions_told, record_rules, trim
from pelton.log.upkeep import ServerState, TopicState

__all__ = ["KafkaLog", "LogStatistics"]

#: How many partitions may have an answer read ahead; the one unused longest goes first.
_READERS_MAX = 64
#: How many connections to each broker the readers share.
_READER_LANES = 4


@dataclass(frozen=True, slots=True)
class LogStatistics:
    """A connection's counters: requests sent, retries among them, records and bytes appended, readers open.

    under_replicated: topic -> partitions that lack a replica in sync; empty when the log is not open.
    """

    requests: int
    retries: int
    records_appended: int
    bytes_appended: int
    readers: int
    under_replicated: Mapping[str, int] = field(default_factory=dict[str, int])


class KafkaLog:
    """A Kafka cluster as a log; see `pelton.log.contract.Log`.

    bootstrap: "host:port", several with commas or as a sequence.
    security: aiokafka's security_protocol, ssl_context and sasl_* settings; they never appear in a repr or an error.
    """

    def __init__(
        self,
        bootstrap: str | Sequence[str],
        *,
        client_id: str = "pelton",
        clock: Clock | None = None,
        **security: Any,
    ) -> None:
        hosts = bootstrap.split(",") if isinstance(bootstrap, str) else bootstrap
        addresses = tuple(host.strip() for host in hosts if host.strip())
        if not addresses:
            raise ConfigurationError("could not use Kafka: no broker address given", hint="for example localhost:9092")
        self._settings = ConnectionSettings(addresses, client_id, security)
        self._cluster = Cluster(self._settings, clock or SystemClock())
        self._producer = Producer(self._cluster)
        self._appending = asyncio.Lock()
        self._readers: OrderedDict[TopicPartition, PartitionReader] = OrderedDict()
        self._groups: list[KafkaGroup] = []

    def __repr__(self) -> str:
        return f"KafkaLog({','.join(self._settings.bootstrap)!r}, client_id={self._settings.client_id!r})"

    async def open(self) -> None:
        """Connect. Raises: UnavailableError, ConfigurationError."""
        await self._cluster.open()

    async def close(self) -> None:
        """Leave all groups and close all connections. Idempotent."""
        groups, self._groups = self._groups, []
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()
        try:
            for group in groups:
                await group.leave()
        finally:
            await self._cluster.close()

    async def declare(self, specs: Iterable[TopicSpec]) -> Mapping[str, int]:
        """Create the topics that are missing and check those that exist; return topic -> number of partitions."""
        return await declare(self._cluster, specs)

    async def partitions(self, topics: Iterable[str]) -> Mapping[str, int]:
        """Return topic -> number of partitions; topics that do not exist are missing."""
        await self._cluster.refresh()
        counts = self._cluster.partition_counts()
        return {topic: counts[topic] for topic in topics if topic in counts}

    async def record_bytes_max(self, topics: Iterable[str]) -> Mapping[str, int]:
        """Return topic -> how large a record may be; what is written from now on is cut to batches that fit."""
        wanted = set(topics)
        limits = await batch_bytes_max(self._cluster, wanted)
        self._cluster.batch_bytes_max |= dict.fromkeys(wanted, BATCH_BYTES_MAX) | limits
        return {topic: max(0, limit - OVERHEAD_BYTES) for topic, limit in limits.items()}

    async def record_rules(self, topics: Iterable[str]) -> Mapping[str, RecordRules]:
        """Return topic -> what else it asks of its records; topics that tell nobody are missing."""
        return await record_rules(self._cluster, topics)

    async def deletions_ms(self, topics: Iterable[str]) -> Mapping[str, int]:
        """Return topic -> for how long it says that a key is gone; topics that tell nobody are missing."""
        return await deletions_told(self._cluster, topics)

    async def topics(self) -> frozenset[str]:
        """Return the names of all topics, without Kafka's internal ones."""
        await self._cluster.refresh()
        return frozenset(self._cluster.partition_counts())

    async def delete_topics(self, topics: Iterable[str]) -> None:
        """Delete these topics and their records; names that do not exist are ignored."""
        await delete(self._cluster, topics)

    async def states(self, topics: Iterable[str]) -> Mapping[str, TopicState]:
        """Return topic -> how it is; topics that do not exist are missing."""
        return await upkeep.states(self._cluster, topics)

    async def configure(self, topic: str, config: Mapping[str, str]) -> None:
        """Change these settings of a topic, and leave all others as they are."""
        await upkeep.configure(self._cluster, topic, config)

    async def grow(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions."""
        await upkeep.grow(self._cluster, topic, partitions)

    async def dismiss(self, group_id: str, instance_id: str) -> bool:
        """Take a member with this instance id out of a group."""
        return await upkeep.dismiss(self._cluster, group_id, instance_id)

    async def servers(self) -> Sequence[ServerState]:
        """Return the servers of the log: its brokers that can be reached."""
        return await upkeep.servers(self._cluster)

    async def trim(self, ends: Mapping[TopicPartition, int]) -> None:
        """Delete the records of partitions before an offset each; see the contract."""
        await trim(self._cluster, ends)

    async def append(self, batches: Sequence[OutgoingBatch]) -> Sequence[int]:
        """Append outside of any transaction; durable when this returns. See the contract."""
        async with self._appending:
            if unknown := {batch.topic for batch in batches} - self._cluster.batch_bytes_max.keys():
                await self.record_bytes_max(unknown)
            if not self._producer.ready:
                await self._producer.initialise()
            try:
                return await self._producer.produce(batches)
            except BaseException:
                self._producer.reset()
                raise

    async def read(self, partition: TopicPartition, offset: int, *, bytes_max: int, timeout_s: float) -> RecordBatch:
        """Read committed records from an offset, outside of any group. See the contract."""
        reader = self._readers.get(partition)
        if reader is None:
            lane = hash(partition) % _READER_LANES
            reader = self._readers[partition] = PartitionReader(self._cluster, partition, lane)
            if len(self._readers) > _READERS_MAX:
                self._readers.popitem(last=False)[1].close()
        self._readers.move_to_end(partition)
        return await reader.read(offset, bytes_max=bytes_max, timeout_s=timeout_s)

    async def offsets(
        self, partitions: Iterable[TopicPartition], *, decided: bool = False
    ) -> Mapping[TopicPartition, OffsetRange]:
        """Return the range of offsets each partition holds, once transactions that are ending have ended."""
        return await offsets.offset_ranges(self._cluster, partitions, decided=decided)

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int | None:
        """Return the offset of the first record with this timestamp or a later one; None when there is none."""
        found = await offsets.list_offsets(self._cluster, {partition: timestamp_ms})
        return found[partition] if found[partition] >= 0 else None

    async def group_positions(
        self, group_id: str, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, Position]:
        """Return a group's committed positions without joining it; partitions that have none are missing."""
        return await offsets.group_positions(self._cluster, group_id, partitions)

    async def group_members(self, group_id: str) -> Sequence[MemberInfo]:
        """Return a group's members as of its last rebalance, without joining it."""
        return await members_of(self._cluster, group_id)

    async def join(self, options: GroupOptions, listener: RebalanceListener) -> KafkaGroup:
        """Become a member of a group; the first assignment is made by the first calls of `Group.fetch`.

        With exactly-once this fences earlier producers of the same transactional ids and aborts what they left open,
        so a restarted worker does not hold its own readers back until the transaction times out.
        """
        producers = [
            Producer(self._cluster, transactional_id=name, transaction_timeout_ms=options.transaction_timeout_ms)
            for name in _transactional_ids(options)
        ]
        for producer in producers:  # in turn: one that was left behind by a failure would fence its successor
            await producer.initialise()
        await self._cluster.until_coordinated(options.group_id)
        coordination = Coordination(await self._settings.connected(), options)
        group = KafkaGroup(self._cluster, coordination, options, listener, producers)
        self._groups = [*(one for one in self._groups if not one.left), group]
        return group

    def statistics(self) -> LogStatistics:
        """Return this connection's counters."""
        return LogStatistics(
            requests=self._cluster.requests,
            retries=self._cluster.retries,
            records_appended=self._producer.records,
            bytes_appended=self._producer.bytes,
            readers=len(self._readers),
            under_replicated=self._cluster.under_replicated(),
        )


def _transactional_ids(options: GroupOptions) -> Sequence[str | None]:
    """Return a name for each of two producers: the given one, a stable one for a member with a name, or a fresh one."""
    if options.guarantee != "exactly_once":
        return [None]
    name = options.transactional_id or f"{options.group_id}-{options.instance_id or uuid.uuid4()}"
    return [f"{name}-0", f"{name}-1"]
