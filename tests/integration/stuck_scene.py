"""A program that gets stuck when it is told to, as real worker processes on either log: see stuck_program.py."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.log.contract import Log, TopicSpec
from pelton.log.kafka import KafkaLog
from pelton.log.sqlite import SqliteLog
from pelton.testing.broker import free_ports
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
#: A busy machine must not seem stuck.
WARN_S, EXIT_S = 3.0, 10.0


class Scene:
    """One run of the program on one log, and any number of its workers."""

    def __init__(self, broker: str, log: Log, directory: Path) -> None:
        self.broker = broker
        self.log = log
        self.directory = directory
        self.run = f"stuck-{uuid4().hex[:8]}"
        self.workers: list[Worker] = []

    def start(self, port: int | None = None, words: Sequence[str] = (), **variables: str) -> Worker:
        """Start a worker.

        port: of its web server, a free one when None. words: further options. variables: of its environment.
        """
        worker = Worker(self, len(self.workers), port or free_ports(1)[0], words, variables)
        self.workers.append(worker)
        return worker

    async def order(self, *orders: str, partition: int = 0) -> None:
        """Append what the agent is to do."""
        rows = [msgspec.json.encode(order) for order in orders]
        batch = OutgoingBatch(
            f"{self.run}-orders", partition, [None] * len(rows), [*rows], [time.time_ns() // 10**6] * len(rows)
        )
        await self.log.append([batch])

    async def done(self) -> list[Any]:
        """Return what was done, in order."""
        source = TopicPartition(f"{self.run}-done", 0)
        if not await self.log.partitions([source.topic]):
            return []
        offset, end = (await self.log.offsets([source]))[source]
        found: list[Any] = []
        while offset < end:
            batch = await self.log.read(source, offset, bytes_max=1 << 20, timeout_s=1.0)
            found += [msgspec.json.decode(value or b"null") for value in batch.values]
            offset = batch.next_offset
        return found

    async def until_done(self, *orders: str, in_order: bool = True) -> None:
        """Wait until exactly this was done."""
        async with asyncio.timeout(PATIENCE_S):
            while (found := await self.done()) != list(orders) and (in_order or sorted(found) != sorted(orders)):
                assert len(found) <= len(orders)
                await asyncio.sleep(0.05)


class Worker:
    """A worker process with a web server."""

    def __init__(self, scene: Scene, number: int, port: int, words: Sequence[str], variables: dict[str, str]) -> None:
        self.port = port
        self._output = scene.directory / f"worker-{number}.txt"
        environment = os.environ | {
            "STUCK_APP": scene.run,
            "BROKER_URL": scene.broker,
            "BROKER_SESSION_TIMEOUT": "6",
            "BROKER_HEARTBEAT_INTERVAL": "1",
            "APP_DATADIR": str(scene.directory / "data"),
            "PELTON_COMMIT_INTERVAL_MS": "50",
            "PELTON_WATCHDOG_WARN_MS": str(int(WARN_S * 1000)),
            "PELTON_WATCHDOG_EXIT_MS": str(int(EXIT_S * 1000)),
            **variables,
        }
        command = [sys.executable, "-m", "faust", "-A", "tests.integration.stuck_program", "worker", "-l", "info"]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--web-port", str(self.port), *words],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def output(self) -> str:
        return self._output.read_text()

    async def end(self) -> int:
        """Wait until the process ends by itself; return its status."""
        return await asyncio.to_thread(self.process.wait, PATIENCE_S)

    async def probe(self, page: str = "livez") -> tuple[int, dict[str, Any]]:
        """Return status and answer of a probe; status 0 while nobody answers."""
        timeout = aiohttp.ClientTimeout(total=1.0)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"http://127.0.0.1:{self.port}/{page}") as answer,
            ):
                return answer.status, await answer.json()
        except (aiohttp.ClientConnectionError, TimeoutError):
            return 0, {}

    async def text(self, page: str) -> str:
        """Return a page as it is."""
        timeout = aiohttp.ClientTimeout(total=10.0)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://127.0.0.1:{self.port}/{page}") as answer,
        ):
            assert answer.status == 200
            return await answer.text()

    async def until_probe(
        self, condition: Callable[[int, dict[str, Any]], object], page: str = "livez"
    ) -> dict[str, Any]:
        """Wait until a probe's answer fulfils a condition, and return it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                status, answer = await self.probe(page)
                if condition(status, answer):
                    return answer
                assert self.process.poll() is None, self.output()
                await asyncio.sleep(0.05)


@asynccontextmanager
async def opened(broker: str, directory: Path, partitions: int = 1) -> AsyncIterator[Scene]:
    kafka = broker.startswith("kafka")
    log: Log = KafkaLog(broker.removeprefix("kafka://")) if kafka else SqliteLog(broker, clock=SystemClock())
    await log.open()
    scene = Scene(broker, log, directory)
    await log.declare([TopicSpec(f"{scene.run}-orders", partitions)])
    try:
        yield scene
    finally:
        for worker in scene.workers:
            worker.process.kill()
            worker.process.wait()
        await log.close()


def alive(status: int, answer: dict[str, Any]) -> bool:
    return status == 200 and answer["alive"]


def stuck(status: int, answer: dict[str, Any]) -> bool:
    return status == 503 and not answer["alive"]
