"""One worker's engine in this process, on either log: an agent, what it sends, and what becomes of its events."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pelton.batch import Headers, OutgoingBatch, RecordBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.codec import codec_for
from pelton.config import EngineConfig
from pelton.log.contract import Log, TopicSpec
from pelton.runtime.runtime import Runtime
from pelton.runtime.spec import AgentSpec, Program, RuntimeOptions, SourceSpec, TableSpec
from pelton.state.memory import MemoryStores
from pelton.stream.lane import CURRENT_LANE, Lane, Send
from pelton.stream.stream import Feed, Stream
from tests.contract.log_scene import make_log
from tests.patience import PATIENCE_S

Agent = Callable[[Stream[Any]], AsyncGenerator[Any, None] | Awaitable[Any]]


def lane() -> Lane:
    """Return the lane of the code that asks."""
    found = CURRENT_LANE.get()
    assert found is not None
    return found


class WorkerScene:
    """An application of one agent over one topic of bytes, with a table, on topics with names of its own.

    orders: what the agent reads. out: where `send` sends to. letters: its dead letters.
    """

    def __init__(self, log: Log, partitions: int = 1) -> None:
        self.log = log
        self.partitions = partitions
        self.app_id = f"app-{uuid.uuid4().hex[:8]}"
        self.orders, self.out, self.letters = f"{self.app_id}-orders", f"{self.app_id}-out", f"{self.app_id}-dlq"
        self.table = TableSpec("kept", TopicSpec(f"{self.app_id}-kept", cleanup_policy="compact"))
        self.source = TopicPartition(self.orders, 0)
        self._runtimes: list[Runtime] = []

    def send(self, value: bytes | None, topic: str | None = None, headers: Headers = ()) -> None:
        """Send from within the agent."""
        lane().send(Send(topic or self.out, None, lane().raw_key, value, lane().timestamp_ms, headers))

    async def start(self, function: Agent, *, wait: bool = True, **config: Any) -> Runtime:
        """Start a worker; wait until it is ready."""

        def run(feed: Feed, own: Lane) -> AsyncGenerator[Any, None] | Awaitable[Any]:
            return function(Stream(feed, own, None))  # type: ignore[arg-type]

        source = SourceSpec(TopicSpec(self.orders, self.partitions), codec_for(bytes, role="key"), codec_for(bytes))
        spec = AgentSpec("obey", {self.orders: source}, run, _no_emit, 1, frozenset({"kept"}))
        program = Program({spec.name: spec}, {"kept": self.table}, {self.out: TopicSpec(self.out, 1)})
        settings = replace(EngineConfig(commit_interval_ms=20, agent_retries_max=0, agent_retry_backoff_ms=1), **config)
        options = RuntimeOptions(self.app_id, Path("/stores"), settings, heartbeat_interval_ms=200)
        runtime = Runtime(program, self.log, MemoryStores(), options)
        self._runtimes.append(runtime)
        await runtime.start()
        if wait:
            await self.until(runtime.ready.is_set)
        return runtime

    async def stop(self, runtime: Runtime) -> None:
        """Stop a worker."""
        self._runtimes.remove(runtime)
        await runtime.stop()

    async def append(self, *values: bytes, headers: Headers = ()) -> None:
        """Append orders, of now: what is sent on has their times, and topics do not keep what is old."""
        now_ms = SystemClock().time_ms()
        batch = OutgoingBatch(self.orders, 0)
        for value in values:
            batch.append(b"k", value, now_ms, headers)
        await self.log.append([batch])

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds; a worker whose engine has ended fails the test."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._check()
                await asyncio.sleep(0.005)

    def _check(self) -> None:
        """Raise what ended a worker's engine."""
        for runtime in self._runtimes:
            for loop in runtime._loops:
                if loop.done() and not loop.cancelled():
                    loop.result()

    async def until_committed(self) -> None:
        """Wait until the group has committed everything that the orders hold."""
        end = (await self.log.offsets([self.source]))[self.source].end
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self.log.group_positions(self.app_id, [self.source])
                if self.source in found and found[self.source].offset >= end:
                    return
                self._check()
                await asyncio.sleep(0.02)

    async def batches(self, topic: str) -> list[RecordBatch]:
        """Return all committed records of a topic's first partition."""
        source = TopicPartition(topic, 0)
        offset, end = (await self.log.offsets([source], decided=True))[source]
        found: list[RecordBatch] = []
        while offset < end:
            found.append(await self.log.read(source, offset, bytes_max=1 << 20, timeout_s=5))
            offset = found[-1].next_offset
        return found

    async def values(self, topic: str) -> list[bytes | None]:
        """Return the values of a topic's first partition."""
        return [value for batch in await self.batches(topic) for value in batch.values]

    async def close(self) -> None:
        """Stop the workers."""
        for runtime in self._runtimes:
            await runtime.stop()


def _no_emit(lane: Lane, value: Any) -> None:
    raise AssertionError("the agents here send by themselves")


@asynccontextmanager
async def opened(address: str, partitions: int = 1) -> AsyncIterator[WorkerScene]:
    """Give a scene with its topic of orders, which keeps its records."""
    log = make_log(address)
    await log.open()
    scene = WorkerScene(log, partitions)
    await log.declare([TopicSpec(scene.orders, partitions, retention_ms=-1)])
    try:
        yield scene
    finally:
        await scene.close()
        await log.close()
