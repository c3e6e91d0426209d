"""What the tests of the Kafka log share: topics of their own, and members that note what happens to them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.clock import Clock
from pelton.log.contract import GroupOptions, RebalanceListener, TopicSpec
from pelton.log.kafka import KafkaGroup, KafkaLog
from tests.patience import PATIENCE_S

MIB = 1024 * 1024


class Member:
    """A member of a group that notes its callbacks."""

    def __init__(self, group: KafkaGroup, events: list[tuple[Any, ...]]) -> None:
        self.group = group
        self.events = events

    async def until(self, condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> list[RecordBatch]:
        """Fetch until a condition holds; return what came."""
        got: list[RecordBatch] = []
        async with asyncio.timeout(timeout_s):
            while not condition():
                got += await self.group.fetch(bytes_max=MIB, timeout_s=0.05)
                await asyncio.sleep(0)  # a member that has left fetches nothing, and at once
        return got

    async def records(self, count: int) -> list[RecordBatch]:
        """Fetch until there are this many records."""
        got: list[RecordBatch] = []
        async with asyncio.timeout(PATIENCE_S):
            while sum(map(len, got)) < count:
                got += await self.group.fetch(bytes_max=MIB, timeout_s=0.05)
        return got


class Scene:
    """A log, topics of its own, and the members that join."""

    def __init__(self, bootstrap: str, log: KafkaLog) -> None:
        self.bootstrap = bootstrap
        self.log = log
        self.topics: list[str] = []
        self.members: list[Member] = []

    async def topic(self, partitions: int = 1, **spec: Any) -> str:
        """Declare a topic with a fresh name, which keeps its records although their timestamps are of 1970."""
        name = f"test-{uuid.uuid4()}"
        await self.log.declare([TopicSpec(name, partitions=partitions, **{"retention_ms": -1} | spec)])
        self.topics.append(name)
        return name

    async def join(
        self, *topics: str, revoking: Callable[[Any], Awaitable[None]] | None = None, **options: Any
    ) -> Member:
        """Become a member that has its first assignment only after fetching."""
        events: list[tuple[Any, ...]] = []

        async def revoked(partitions: frozenset[TopicPartition]) -> None:
            events.append(("revoked", partitions))
            if revoking is not None:
                await revoking(partitions)

        async def assigned(partitions: frozenset[TopicPartition], standbys: frozenset[int]) -> None:
            events.append(("assigned", partitions, standbys))

        async def lost(partitions: frozenset[TopicPartition]) -> None:
            events.append(("lost", partitions))

        options = {
            "group_id": f"group-{topics[0]}",
            "heartbeat_interval_ms": 200,
            "session_timeout_ms": 10_000,
        } | options
        group = await self.log.join(
            GroupOptions(topics=frozenset(topics), **options), RebalanceListener(revoked, assigned, lost)
        )
        self.members.append(Member(group, events))
        return self.members[-1]

    async def member(self, *topics: str, **options: Any) -> Member:
        """Become a member and wait for its first assignment."""
        member = await self.join(*topics, **options)
        await member.until(lambda: bool(member.events))
        return member

    async def everything(self, topic: str, partition: int = 0) -> list[tuple[int, bytes | None, bytes | None]]:
        """Return all committed records of a partition, once every transaction over it is decided."""
        source = TopicPartition(topic, partition)
        bounds = (await self.log.offsets([source], decided=True))[source]
        rows: list[tuple[int, bytes | None, bytes | None]] = []
        offset = bounds.start
        while offset < bounds.end:
            batch = await self.log.read(source, offset, bytes_max=MIB, timeout_s=5)
            rows += zip(batch.offsets, batch.keys, batch.values, strict=True)
            offset = batch.next_offset
        return rows


S = TypeVar("S", bound=Scene)


@asynccontextmanager
async def opened(kafka: str, kind: type[S] = Scene, clock: Clock | None = None) -> AsyncIterator[S]:
    """Open a log and clear up behind the test."""
    log = KafkaLog(kafka, clock=clock)
    await log.open()
    made = kind(kafka, log)
    try:
        yield made
    finally:
        for member in made.members:
            await member.group.leave()
        await log.delete_topics(made.topics)
        await log.close()


def batch_of(topic: str, *values: bytes | None, partition: int = 0, key: bytes | None = b"k") -> OutgoingBatch:
    return OutgoingBatch(topic, partition, [key] * len(values), list(values), list(range(len(values))))
