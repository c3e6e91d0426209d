"""A log under test, and the members of groups on it: what the tests of the log's contract are written in."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.log.contract import Group, GroupOptions, Log, Position, RebalanceListener, TopicSpec
from pelton.log.kafka import KafkaLog
from pelton.log.sqlite import SqliteLog
from pelton.testing.driver.log import MemoryLog
from pelton.testing.driver.records import Records
from tests.patience import PATIENCE_S

MIB = 1024 * 1024
REPOSITORY = Path(__file__).parents[2]

#: What the connections to one log in memory share, by its address.
MEMORIES: dict[str, Records] = {}

Row = tuple[int, bytes | None, bytes | None]


def make_log(address: str) -> Log:
    """Return the log behind a URL, not yet open."""
    kind, _, rest = address.partition("://")
    if kind == "memory":
        return MemoryLog(MEMORIES.setdefault(address, Records()), SystemClock())
    return KafkaLog(rest) if kind == "kafka" else SqliteLog(address)


def batch_of(
    topic: str, values: Iterable[bytes | None], *, partition: int = 0, key: bytes | None = b"k"
) -> OutgoingBatch:
    """Return values as a batch; the timestamps count from 1000."""
    column = list(values)
    return OutgoingBatch(topic, partition, [key] * len(column), column, list(range(1000, 1000 + len(column))))


def numbered(count: int, start: int = 0) -> list[bytes | None]:
    return [b"%d" % number for number in range(start, start + count)]


def all_of(topic: str, count: int) -> frozenset[TopicPartition]:
    """Return all partitions of a topic."""
    return frozenset(TopicPartition(topic, number) for number in range(count))


def values_of(batches: Iterable[RecordBatch]) -> list[bytes | None]:
    return [value for batch in batches for value in batch.values]


class Member:
    """A member of a group that notes its callbacks, and what was fetched between them."""

    def __init__(self, on: dict[str, Callable[[Any], Awaitable[None]]]) -> None:
        self.group: Group
        self.events: list[tuple[Any, ...]] = []
        self.got: list[RecordBatch] = []
        self._returned = 0
        self._on = on

    def listener(self) -> RebalanceListener:
        async def told(name: str, partitions: frozenset[TopicPartition], *more: Any) -> None:
            self.events.append((f"{name} begins", partitions, *more))
            if name in self._on:
                await self._on[name](partitions)
            self.events.append((name, partitions, *more))

        async def revoked(partitions: frozenset[TopicPartition]) -> None:
            await told("revoked", partitions)

        async def assigned(partitions: frozenset[TopicPartition], standbys: frozenset[int]) -> None:
            await told("assigned", partitions, standbys)

        async def lost(partitions: frozenset[TopicPartition]) -> None:
            await told("lost", partitions)

        return RebalanceListener(revoked, assigned, lost)

    def called(self, *names: str) -> list[tuple[Any, ...]]:
        """Return the callbacks of these names that have returned."""
        return [event for event in self.events if event[0] in names]

    @property
    def numbers(self) -> set[int]:
        return {partition.partition for partition in self.group.assignment()}

    async def fetch(self, *, bytes_max: int = MIB, timeout_s: float = 0.05) -> Sequence[RecordBatch]:
        batches = await self.group.fetch(bytes_max=bytes_max, timeout_s=timeout_s)
        self.got += batches
        self.events += [("records", batch.source) for batch in batches]
        return batches

    async def until(self, condition: Callable[[], object]) -> None:
        """Fetch until a condition holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await self.fetch()

    async def records(self, count: int) -> list[RecordBatch]:
        """Fetch until there are so many records that no call of this has returned yet; return them."""
        await self.until(lambda: sum(map(len, self.got[self._returned :])) >= count)
        batches, self._returned = self.got[self._returned :], len(self.got)
        return batches

    async def commit(self, writes: Sequence[OutgoingBatch] = ()) -> Sequence[int]:
        """Commit writes, and the positions behind everything that was fetched."""
        ends = {batch.source: Position(batch.next_offset) for batch in self.got}
        return await self.group.commit(writes, ends)


async def together(members: Iterable[Member], condition: Callable[[], object]) -> None:
    """Let members fetch, each on its own, until a condition holds."""
    async with asyncio.TaskGroup() as tasks:
        for member in members:
            tasks.create_task(member.until(condition))


class Scene:
    """A log, topics of its own, and the members and processes that work on it; all of it is tidied up."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.sqlite = address.startswith("sqlite")
        #: Kafka's broker takes no shorter one.
        self.session_timeout_ms = 1_000 if self.sqlite else 6_000
        self.log: Log
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.log = await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def connect(self) -> Log:
        """Return another connection, as another process would have."""
        log = make_log(self.address)
        await log.open()
        self._stack.push_async_callback(log.close)
        return log

    async def topic(self, partitions: int = 1, **spec: Any) -> str:
        name = f"test-{uuid.uuid4()}"
        # Kafka's retention goes by the records' timestamps, which are those of 1970 here.
        await self.log.declare([TopicSpec(name, partitions, **{"retention_ms": -1, **spec})])
        self._stack.push_async_callback(self.log.delete_topics, [name])
        return name

    async def append(
        self, topic: str, *values: bytes | None, partition: int = 0, key: bytes | None = b"k"
    ) -> Sequence[int]:
        return await self.log.append([batch_of(topic, values, partition=partition, key=key)])

    async def rows(self, topic: str, partition: int = 0) -> list[Row]:
        """Return all committed records of a partition: (offset, key, value)."""
        source = TopicPartition(topic, partition)
        offset, end = (await self.log.offsets([source]))[source]
        rows: list[Row] = []
        async with asyncio.timeout(PATIENCE_S):
            while offset < end:
                batch = await self.log.read(source, offset, bytes_max=MIB, timeout_s=1)
                rows += zip(batch.offsets, batch.keys, batch.values, strict=True)
                offset = batch.next_offset
        return rows

    async def values(self, topic: str, partition: int = 0) -> list[bytes | None]:
        return [value for _, _, value in await self.rows(topic, partition)]

    async def join(
        self,
        *topics: str,
        log: Log | None = None,
        on: dict[str, Callable[[Any], Awaitable[None]]] | None = None,
        **options: Any,
    ) -> Member:
        """Become a member that has not fetched yet. on: what a callback does, by its name."""
        member = Member(on or {})
        chosen: dict[str, Any] = {
            "group_id": f"group-{topics[0]}",
            "heartbeat_interval_ms": 100,
            "session_timeout_ms": 10_000,
        }
        all_options = GroupOptions(topics=frozenset(topics), **(chosen | options))
        member.group = await (log or self.log).join(all_options, member.listener())
        self._stack.push_async_callback(member.group.leave)
        return member

    async def member(self, *topics: str, **options: Any) -> Member:
        """Become a member and wait for the first assignment."""
        member = await self.join(*topics, **options)
        await member.until(lambda: member.called("assigned"))
        return member

    async def process(self, command: str, **arguments: Any) -> Process:
        """Start tests/contract/log_process.py with a command; it ends with the scene at the latest."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.contract.log_process", self.address, command),
            *(f"{name}={value}" for name, value in arguments.items()),
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}"},
            stdin=PIPE,
            stdout=PIPE,
        )
        self._stack.push_async_callback(_end, process)
        return process


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


async def wait_for(condition: Callable[[], Awaitable[object]]) -> None:
    """Ask again and again until a condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - the condition lies in another process
            await asyncio.sleep(0.02)
