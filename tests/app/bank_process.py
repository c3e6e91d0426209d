"""The bank as its users run it: a worker process, its commands, and its web page."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import aiohttp
import msgspec
import psutil
from yarl import URL

from app.models import Transaction
from app.simulation import Plan
from pelton.batch import TopicPartition
from pelton.clock import SystemClock
from pelton.log.contract import Log
from pelton.shell.connection import log_for
from pelton.testing.broker import free_ports
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
#: The payments that `Bank.simulate` sends.
PLAN = Plan(seed=7, accounts=100)


class Bank:
    """One application on one data directory; at most one worker of it runs at a time.

    What still runs is killed at exit. On a log that others use too it goes by a name of its own: so do its topics,
    groups, tables and entities. headers: what its requests bring.
    """

    def __init__(self, directory: Path, broker: str | None = None, name: str | None = None) -> None:
        self.directory = directory
        self.name = name or ("bank" if broker is None else f"bank-{uuid4().hex[:8]}")
        self.log_file = directory / "log.sqlite"
        self.headers: dict[str, str] = {}
        self.broker = broker or f"sqlite:///{self.log_file}"
        (self.port,) = free_ports(1)
        self.worker: subprocess.Popen[bytes] | None = None
        self.services: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        for name in list(self.services):
            self.kill_service(name)
        if self.worker is not None:
            self.kill()

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "BROKER_URL": self.broker,
            "BROKER_SESSION_TIMEOUT": "6",
            "BROKER_HEARTBEAT_INTERVAL": "1",
            "APP_DATADIR": str(self.directory / "data"),
            "BANK_ID": self.name,
            "HUB_DIRECTORY": str(self.directory / "hub"),
        }

    def start(self) -> None:
        """Start a worker; its output goes to worker.txt."""
        self.worker = self._start("faust", "-A", "app", "worker", "-l", "info", "--web-port", str(self.port))

    def start_service(self, name: str) -> None:
        """Start a worker of a service."""
        program = f"app.services.{name}"
        self.services[name] = self._start("faust", "-A", program, "worker", "-l", "info", "--without-web")

    def kill_service(self, name: str) -> None:
        """End its worker as a power cut would."""
        self.services[name].kill()
        self.services.pop(name).wait(timeout=PATIENCE_S)

    def run(self, rate: int) -> None:
        """Start a worker with the simulator of payments behind it, as `make run` does."""
        fed = {"RATE": str(rate), "ACCOUNTS": "100", "SEED": "7"}
        not_fed = dict.fromkeys(("LOGS_RATE", "DEVICES", "MODELS", "ORDERS", "MASTER_DATA"), "0")
        self.worker = self._start("app.run", WEB_PORT=str(self.port), **fed, **not_fed)

    def run_all(self, **variables: str) -> None:
        """Start all that `make run` starts, with its defaults but for these variables."""
        self.worker = self._start("app.run", WEB_PORT=str(self.port), **variables)

    def _start(self, module: str, *words: str, **variables: str) -> subprocess.Popen[bytes]:
        with (self.directory / "worker.txt").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", module, *words],
                cwd=ROOT,
                env=self.environment | variables,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def stop(self, signum: int = signal.SIGINT) -> int:
        """End the worker and return its exit status."""
        assert self.worker is not None
        self.worker.send_signal(signum)
        status = self.worker.wait(timeout=PATIENCE_S)
        self.worker = None
        return status

    def kill(self) -> None:
        """End the worker, and all that it started, as a power cut would."""
        assert self.worker is not None
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.worker.pid).children(recursive=True):
                child.kill()
        self.stop(signal.SIGKILL)

    def start_command(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command of the application, which runs beside the worker."""
        return self._start("faust", "-A", "app", *words)

    def command(self, *words: str, status: int = 0) -> str:
        """Run a command of the application, which ends with that status, and return what it printed."""
        command = [sys.executable, "-m", "faust", "-A", "app", *words]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == status, done.stdout.decode() + done.stderr.decode()
        return done.stdout.decode()

    def simulate(self, count: int) -> None:
        """Send so many payments more, those of `PLAN`, as fast as they are taken."""
        plan = f"--accounts {PLAN.accounts} --seed {PLAN.seed} --count {count}"
        self.command(*f"simulate --rate 0 --requests 0 {plan}".split())

    async def get(self, path: str) -> tuple[int, Any]:
        """Return status and JSON of an address of the worker."""
        async with aiohttp.ClientSession(headers=self.headers) as session, session.get(self._url(path)) as answer:
            return answer.status, await answer.json()

    async def post(
        self, path: str, body: bytes, content_type: str = "application/json", *, key: str | None = None
    ) -> tuple[int, Any]:
        """Post a body, with an Idempotency-Key if there is one, and return status and JSON."""
        headers = {"Content-Type": content_type} | ({} if key is None else {"Idempotency-Key": key})
        async with (
            aiohttp.ClientSession(headers=self.headers) as session,
            session.post(self._url(path), data=BytesIO(body), headers=headers) as answer,
        ):
            return answer.status, await answer.json()

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the worker's overview fulfils a condition, and return it."""
        return await self.until_answer("/api/overview", condition)

    async def until_answer(self, path: str, condition: Callable[[Any], bool]) -> Any:
        """Wait until what an address answers with fulfils a condition, and return it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if self.worker is not None and self.worker.poll() is not None:
                    raise AssertionError((self.directory / "worker.txt").read_text())
                try:
                    status, answer = await self.get(path)
                except aiohttp.ClientConnectionError:
                    status, answer = 0, {}
                if status == 200 and condition(answer):
                    return answer
                await asyncio.sleep(0.05)

    async def until_idle(self, payments: int = 0) -> None:
        """Wait until all agents have committed all payments that there are, which are so many at least."""
        topic = "transactions" if self.name == "bank" else f"{self.name}-transactions"
        async with opened(self) as log, asyncio.timeout(PATIENCE_S):
            while True:
                assert self.worker is not None
                assert self.worker.poll() is None, (self.directory / "worker.txt").read_text()
                sources = [
                    TopicPartition(topic, number) for number in range((await log.partitions([topic])).get(topic, 0))
                ]
                ends = {source: end for source, (_, end) in (await log.offsets(sources)).items()}
                positions = await log.group_positions(self.name, sources)
                read = {source: position.offset for source, position in positions.items()}
                if sources and sum(ends.values()) >= payments and all(read.get(one, 0) == ends[one] for one in sources):
                    return
                await asyncio.sleep(0.05)

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@asynccontextmanager
async def opened(bank: Bank) -> AsyncIterator[Log]:
    """Give the log of a bank."""
    log = log_for(
        [URL(bank.broker)],
        bank.directory,
        client_id="test",
        credentials=None,
        ssl_context=None,
        clock=SystemClock(),
    )
    await log.open()
    try:
        yield log
    finally:
        await log.close()


async def read_records(log: Log, topic: str) -> list[list[tuple[bytes | None, bytes | None]]]:
    """Return keys and values of each partition of a topic, in order."""
    partitions = (await log.partitions([topic]))[topic]
    ranges = await log.offsets([TopicPartition(topic, number) for number in range(partitions)])
    records: list[list[tuple[bytes | None, bytes | None]]] = []
    for source, (start, end) in sorted(ranges.items()):
        offset, found = start, list[tuple[bytes | None, bytes | None]]()
        while offset < end:
            batch = await log.read(source, offset, bytes_max=1 << 22, timeout_s=1.0)
            found += zip(batch.keys, batch.values, strict=True)
            offset = batch.next_offset
        records.append(found)
    return records


async def read_topic(log: Log, topic: str) -> list[list[bytes]]:
    """Return the values of each partition of a topic, in order."""
    return [[value for _, value in records if value is not None] for records in await read_records(log, topic)]


async def read_table(log: Log, changelog: str) -> list[dict[bytes, bytes]]:
    """Return what each partition of a changelog amounts to."""
    folded: list[dict[bytes, bytes]] = []
    for records in await read_records(log, changelog):
        rows: dict[bytes, bytes | None] = {key: value for key, value in records if key is not None}
        folded.append({key: value for key, value in rows.items() if value is not None})
    return folded


def as_transactions(partitions: list[list[bytes]]) -> list[list[Transaction]]:
    """Return the payments of each partition."""
    return [[msgspec.json.decode(value, type=Transaction) for value in values] for values in partitions]
