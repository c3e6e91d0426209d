"""What the tests of Faust's faults are written in: workers of one application, its log seen from outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

import pelton
from pelton.batch import Headers, OutgoingBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.log.contract import Log, TopicSpec
from pelton.log.kafka import KafkaLog
from pelton.log.kafka.producer import Producer
from pelton.log.kafka.transaction import Transactions
from pelton.log.partitioner import partition_for
from pelton.log.sqlite import SqliteLog
from tests.patience import PATIENCE_S


@dataclass(frozen=True, slots=True)
class Record:
    """One committed record of a topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Scene:
    """A log, and the workers of one application on it, each with a data directory of its own."""

    def __init__(self, broker_url: str, log: Log, directory: Path, partitions: int = 1) -> None:
        self.broker_url = broker_url
        self.log = log
        self.directory = directory
        self.run = f"fault-{uuid4().hex[:8]}"
        self.partitions = partitions

    def name(self, topic: str) -> str:
        """Return the name of a topic of this run."""
        return f"{self.run}-{topic}"

    def app(self, place: str = "a", **options: Any) -> pelton.App:
        """Return the application as it is on one machine."""
        return pelton.App(
            self.run,
            **{
                "broker": self.broker_url,
                "datadir": str(self.directory / place),
                "topic_partitions": self.partitions,
                "web_enabled": False,
                "broker_session_timeout": 6.0,
                "broker_heartbeat_interval": 0.3,
                "agent_retry_backoff_ms": 1,
            }
            | options,
        )

    async def declare(self, topic: str, **spec: Any) -> None:
        """Make a topic that keeps its records, whatever their timestamps."""
        await self.log.declare([TopicSpec(self.name(topic), self.partitions, **({"retention_ms": -1} | spec))])

    async def send(
        self, topic: str, records: Iterable[tuple[str, Any]], *, ts: float = 1_000.0, headers: Headers = ()
    ) -> None:
        """Append records: (key, value), values that are not bytes as JSON. ts: seconds."""
        batches: dict[int, OutgoingBatch] = {}
        for key, value in records:
            number = partition_for(key.encode(), self.partitions)
            batch = batches.setdefault(number, OutgoingBatch(self.name(topic), number))
            data = value if isinstance(value, bytes) else msgspec.json.encode(value)
            batch.append(key.encode(), data, round(ts * 1000), headers)
        await self.log.append(list(batches.values()))

    async def hole(self, topic: str, count: int) -> None:
        """Leave offsets without records at the end of a topic's first partition: of a transaction that was aborted."""
        batch = OutgoingBatch(self.name(topic), 0, [b"gone"] * count, [b"0"] * count, [0] * count)
        if isinstance(self.log, KafkaLog):
            producer = Producer(self.log._cluster, transactional_id=f"{self.run}-aborts")
            await producer.initialise()
            await Transactions(self.log._cluster, [producer])._write([batch])
            await producer.initialise()
            return
        assert isinstance(self.log, SqliteLog)
        (base,) = await self.log.append([batch])
        await self.log.write(
            lambda db: db.execute("delete from batches where base = ? and next = ?", (base, base + count))
        )

    async def records(self, topic: str) -> list[Record]:
        """Return all committed records of a topic, partition by partition."""
        found: list[Record] = []
        for number in range((await self.log.partitions([self.name(topic)])).get(self.name(topic), 0)):
            source = TopicPartition(self.name(topic), number)
            offset, end = (await self.log.offsets([source]))[source]
            while offset < end:
                batch = await self.log.read(source, offset, bytes_max=1 << 20, timeout_s=1)
                headers = batch.headers or [()] * len(batch)
                columns = zip(batch.offsets, batch.keys, batch.values, headers, strict=True)
                found += [Record(number, *row) for row in columns]
                offset = batch.next_offset
        return found

    async def values(self, topic: str) -> list[Any]:
        """Return the values of a topic's committed records, sorted."""
        return sorted(msgspec.json.decode(record.value or b"null") for record in await self.records(topic))

    async def table(self, name: str) -> dict[bytes, Any]:
        """Return what a table's changelog amounts to."""
        folded: dict[bytes, Any] = {}
        for record in await self.records(f"{name}-changelog"):
            assert record.key is not None
            if record.value is None:
                folded.pop(record.key, None)
            else:
                folded[record.key] = msgspec.json.decode(record.value)
        return folded

    async def position(self, topic: str) -> int:
        """Return the committed offsets of a topic, all partitions together."""
        sources = [TopicPartition(self.name(topic), number) for number in range(self.partitions)]
        found = await self.log.group_positions(self.run, sources)
        return sum(position.offset for position in found.values())

    async def end(self, topic: str) -> int:
        """Return where a topic ends, all partitions together."""
        sources = [TopicPartition(self.name(topic), number) for number in range(self.partitions)]
        return sum(span.end for span in (await self.log.offsets(sources)).values())

    async def until_done(self, topic: str) -> None:
        """Wait until everything in a topic is committed."""

        async def done() -> bool:
            return await self.position(topic) == await self.end(topic)

        await eventually(done)


class Counting:
    """A worker that counts the events of each key, and sends each number on.

    gates: numbers whose event waits until they are let go of.
    """

    def __init__(self, scene: Scene, place: str = "a", *, concurrency: int = 1, **options: Any) -> None:
        self.app = scene.app(place, **options)
        self.seen: list[int] = []
        self.gates: dict[int, asyncio.Event] = {}
        events = self.app.topic(scene.name("events"), key_type=str, value_type=int, partitions=scene.partitions)
        copies = self.app.topic(scene.name("copies"), key_type=str, value_type=int, partitions=scene.partitions)
        self.counts = self.app.Table("counts", default=int, key_type=str, partitions=scene.partitions)

        async def count(stream: Any) -> Any:
            async for key, number in stream.items():
                self.seen.append(number)
                self.counts[key] += 1
                await copies.send(key=key, value=number)
                if number in self.gates:
                    await self.gates[number].wait()

        self.app.agent(events, name="count", concurrency=concurrency)(count)

    @property
    def numbers(self) -> set[int]:
        """The partition numbers that this worker has, and that run."""
        statistics = self.app.statistics()
        return {one.number for one in statistics.partitions if one.state == "running"} if statistics else set()


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again until a condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - the condition lies in the log
            await asyncio.sleep(0.02)


@asynccontextmanager
async def opened(broker_url: str, directory: Path, partitions: int = 1) -> AsyncIterator[Scene]:
    """Give a scene, and tidy up behind it."""
    log: Log = (
        SqliteLog(broker_url, clock=SystemClock())
        if broker_url.startswith("sqlite")
        else KafkaLog(broker_url.removeprefix("kafka://"))
    )
    await log.open()
    scene = Scene(broker_url, log, directory, partitions)
    try:
        yield scene
        await log.delete_topics({name for name in await log.topics() if name.startswith(scene.run)})
    finally:
        await log.close()
