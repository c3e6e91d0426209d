"""Real worker processes of a program, on either log, and what they answer over HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
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
from pelton.log.partitioner import partition_for
from pelton.log.sqlite import SqliteLog
from pelton.testing.broker import free_ports
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
WAIT_S = PATIENCE_S
#: As quick as it goes: Kafka's brokers take no session shorter than six seconds.
_SESSIONS = {"sqlite": ("2", "0.3"), "kafka": ("6", "1")}


class Worker:
    """A worker process with a web server."""

    def __init__(self, scene: Scene, number: int, variables: dict[str, str]) -> None:
        (self.port,) = free_ports(1)
        self._output = scene.directory / f"worker-{number}.txt"
        self._variables = scene.environment() | variables
        self._headers = scene.headers
        self._command = [sys.executable, "-m", "faust", "-A", scene.program, "worker", "-l", "info"]
        self.process: subprocess.Popen[bytes]
        self.start()

    def start(self) -> None:
        """Start the process, or start it again at the same address."""
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                [*self._command, "--web-port", str(self.port)],
                cwd=ROOT,
                env=self._variables,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        return self._output.read_text()

    async def kill(self) -> None:
        """End the process by kill -9."""
        self.process.kill()
        await asyncio.to_thread(self.process.wait, WAIT_S)

    async def stop(self) -> int:
        """End the process in order, and return its status."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, WAIT_S)

    async def request(self, path: str, method: str = "GET", **options: Any) -> tuple[int, Any]:
        """Return status and answer of a page; status 0 while nobody answers."""
        url = f"http://127.0.0.1:{self.port}/{path}"
        timeout = aiohttp.ClientTimeout(total=WAIT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=self._headers) as session,
                session.request(method, url, **options) as answer,
            ):
                return answer.status, await (
                    answer.json() if answer.content_type == "application/json" else answer.text()
                )
        except aiohttp.ClientConnectionError:
            return 0, None

    async def get(self, path: str) -> Any:
        """Return the answer of a page, which must be 200."""
        status, answer = await self.request(path)
        assert status == 200, (status, answer, self.output())
        return answer

    async def until(self, path: str, condition: Callable[[int, Any], object]) -> Any:
        """Wait until a page's answer fulfils a condition, and return it."""
        async with asyncio.timeout(WAIT_S):
            while True:
                status, answer = await self.request(path)
                if condition(status, answer):
                    return answer
                assert self.process.poll() is None, self.output()
                await asyncio.sleep(0.05)


class Scene:
    """One run of a program on one log, and any number of its workers.

    program: the module. run: the name of this run, which the program reads from `<prefix>_APP`. token: what the
    workers' pages want of everybody, each other included; empty for nothing.
    """

    def __init__(self, broker: str, log: Log, directory: Path, program: str, prefix: str, token: str = "") -> None:
        self.broker = broker
        self.log = log
        self.directory = directory
        self.program = program
        self.prefix = prefix
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._token = token
        self.run = f"{prefix.lower()}-{uuid4().hex[:8]}"
        self.gate = directory / "gate"
        self.workers: list[Worker] = []

    def environment(self) -> dict[str, str]:
        """Return the environment of the program's processes."""
        session_s, heartbeat_s = _SESSIONS[self.broker.partition(":")[0]]
        environment = os.environ | {
            f"{self.prefix}_APP": self.run,
            f"{self.prefix}_DIR": str(self.directory),
            "BROKER_URL": self.broker,
            "BROKER_SESSION_TIMEOUT": session_s,
            "BROKER_HEARTBEAT_INTERVAL": heartbeat_s,
            "APP_DATADIR": str(self.directory / "data"),
            "PELTON_AGENT_RETRIES_MAX": "0",
        }
        if self._token:
            environment["PELTON_WEB_TOKEN"] = self._token
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return environment

    def start(self, **variables: str) -> Worker:
        """Start a worker; variables: of its environment."""
        worker = Worker(self, len(self.workers), variables)
        self.workers.append(worker)
        return worker

    async def settled(self, workers: Iterable[Worker], partitions: int) -> dict[Worker, list[int]]:
        """Wait until these workers have all partition numbers among them, each some; return who has which."""
        async with asyncio.timeout(WAIT_S):
            while True:
                answers = {worker: await worker.request("partitions") for worker in workers}
                assert all(status in (0, 200) for status, _ in answers.values()), answers
                found = {worker: answer["numbers"] for worker, (status, answer) in answers.items() if status == 200}
                numbers = sorted(number for owned in found.values() for number in owned)
                if numbers == list(range(partitions)) and len(found) == len(answers) and all(found.values()):
                    return found
                for worker in answers:
                    assert worker.process.poll() is None, worker.output()
                await asyncio.sleep(0.05)

    async def command(self, *words: str, status: int = 0) -> str:
        """Run `faust -A … <words>` to its end, and return what it printed."""
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "faust", "-A", self.program, *words],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            timeout=WAIT_S,
            check=False,
            text=True,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def key_of(self, numbers: Iterable[int], partitions: int) -> str:
        """Return a key of one of these partition numbers."""
        wanted = set(numbers)
        return next(
            key for key in map("key-{}".format, range(1_000)) if partition_for(key.encode(), partitions) in wanted
        )

    async def begun(self, who: str) -> list[int]:
        """Wait until an event of an agent waits at the gate; return the processes that began one."""
        file = self.directory / "begun"
        async with asyncio.timeout(WAIT_S):
            while True:
                lines = file.read_text().splitlines() if file.exists() else []
                if pids := [int(line.split()[1]) for line in lines if line.startswith(f"{who} ")]:
                    return pids
                await asyncio.sleep(0.02)

    async def append(self, topic: str, partitions: int, *records: tuple[str, Any]) -> None:
        """Append (key, value) pairs to a topic of this run."""
        name = f"{self.run}-{topic}"
        await self.log.declare([TopicSpec(name, partitions)])
        batches: dict[int, OutgoingBatch] = {}
        for key, value in records:
            number = partition_for(key.encode(), partitions)
            batch = batches.setdefault(number, OutgoingBatch(name, number))
            batch.append(key.encode(), msgspec.json.encode(value), time.time_ns() // 1_000_000)
        await self.log.append(list(batches.values()))

    async def values(self, topic: str) -> list[Any]:
        """Return the values of all committed records of a topic of this run, partition after partition."""
        name = f"{self.run}-{topic}"
        found: list[Any] = []
        for number in range((await self.log.partitions([name])).get(name, 0)):
            source = TopicPartition(name, number)
            offset, end = (await self.log.offsets([source]))[source]
            while offset < end:
                batch = await self.log.read(source, offset, bytes_max=1 << 20, timeout_s=1.0)
                found += [msgspec.json.decode(value or b"null") for value in batch.values]
                offset = batch.next_offset
        return found

    async def until_values(self, topic: str, count: int) -> list[Any]:
        """Wait until a topic holds so many records; return their values."""
        async with asyncio.timeout(WAIT_S):
            while len(found := await self.values(topic)) < count:
                for worker in self.workers:
                    assert worker.process.poll() in (None, 0, -signal.SIGKILL), worker.output()
                await asyncio.sleep(0.05)
        return found


@asynccontextmanager
async def opened(broker: str, directory: Path, program: str, prefix: str, token: str = "") -> AsyncIterator[Scene]:
    kafka = broker.startswith("kafka")
    log: Log = KafkaLog(broker.removeprefix("kafka://")) if kafka else SqliteLog(broker, clock=SystemClock())
    await log.open()
    scene = Scene(broker, log, directory, program, prefix, token)
    try:
        yield scene
    finally:
        for worker in scene.workers:
            worker.process.kill()
            worker.process.wait()
        await log.close()
