"""The bank as its users run it: a worker process, its commands, and its web page."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from app.models import Transaction
from pelton.batch import TopicPartition
from pelton.log.contract import Log

ROOT = Path(__file__).parents[2]
WAIT_S = 60.0
#: Those of transactions, and those of alerts.
PARTITIONS = 8


class Bank:
    """One application on one data directory; at most one worker of it runs at a time."""

    def __init__(self, directory: Path, broker: str | None = None) -> None:
        self.directory = directory
        self.log_file = directory / "log.sqlite"
        self.broker = broker or f"sqlite:///{self.log_file}"
        self.port = _free_port()
        self.worker: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "BROKER_URL": self.broker,
            "BROKER_SESSION_TIMEOUT": "6",
            "BROKER_HEARTBEAT_INTERVAL": "1",
            "APP_DATADIR": str(self.directory / "data"),
        }

    def start(self) -> None:
        """Start a worker; its output goes to worker.txt."""
        self._start("faust", "-A", "app", "worker", "-l", "info", "--web-port", str(self.port))

    def run(self, rate: int) -> None:
        """Start a worker with the simulator behind it, as `make run` does."""
        self._start("app.run", WEB_PORT=str(self.port), RATE=str(rate), ACCOUNTS="100", SEED="7")

    def _start(self, module: str, *words: str, **variables: str) -> None:
        with (self.directory / "worker.txt").open("ab") as output:
            self.worker = subprocess.Popen(
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
        status = self.worker.wait(timeout=WAIT_S)
        self.worker = None
        return status

    def command(self, *words: str) -> str:
        """Run a command of the application and return what it printed."""
        command = [sys.executable, "-m", "faust", "-A", "app", *words]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, timeout=WAIT_S, check=False)
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
        return done.stdout.decode()

    async def get(self, path: str) -> tuple[int, Any]:
        """Return status and JSON of an address of the worker."""
        async with aiohttp.ClientSession() as session, session.get(self._url(path)) as answer:
            return answer.status, await answer.json()

    async def post(self, path: str, body: bytes, content_type: str = "application/json") -> tuple[int, Any]:
        """Post a body and return status and JSON."""
        headers = {"Content-Type": content_type}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self._url(path), data=BytesIO(body), headers=headers) as answer,
        ):
            return answer.status, await answer.json()

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the worker's overview fulfils a condition, and return it."""
        async with asyncio.timeout(WAIT_S):
            while True:
                if self.worker is not None and self.worker.poll() is not None:
                    raise AssertionError((self.directory / "worker.txt").read_text())
                try:
                    status, overview = await self.get("/api/overview")
                except aiohttp.ClientConnectionError:
                    status, overview = 0, {}
                if status == 200 and condition(overview):
                    return overview
                await asyncio.sleep(0.05)

    async def until_idle(self, payments: int = 0) -> dict[str, Any]:
        """Wait until this worker has committed so many records, and knows of no more in any of its partitions."""
        return await self.until(
            lambda overview: (
                overview["committed_records"] >= max(payments, overview["records_in"])
                and len(overview["lag"]) == PARTITIONS
                and not any(overview["lag"].values())
            )
        )

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


async def read_topic(log: Log, topic: str) -> list[list[bytes]]:
    """Return the values of each partition of a topic, in order."""
    partitions = (await log.partitions([topic]))[topic]
    ranges = await log.offsets([TopicPartition(topic, number) for number in range(partitions)])
    values: list[list[bytes]] = []
    for source, (start, end) in sorted(ranges.items()):
        offset, found = start, list[bytes]()
        while offset < end:
            batch = await log.read(source, offset, bytes_max=1 << 22, timeout_s=1.0)
            found += [value for value in batch.values if value is not None]
            offset = batch.next_offset
        values.append(found)
    return values


def as_transactions(partitions: list[list[bytes]]) -> list[list[Transaction]]:
    """Return the payments of each partition."""
    return [[msgspec.json.decode(value, type=Transaction) for value in values] for values in partitions]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
