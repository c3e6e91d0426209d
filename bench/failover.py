"""How long a partition stands still when its worker is killed: `python -m bench.failover [keys] [kafka://host:port]`.

Two workers, each with its own data directory, and one table. One is killed; the time runs from SIGKILL to the first
commit for its partition. It contains the session timeout, which is the time that the group takes to notice.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from bench import machine
from pelton.batch import OutgoingBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.log.contract import Log, TopicSpec
from pelton.log.kafka import KafkaLog
from pelton.log.partitioner import partition_for
from pelton.log.sqlite import SqliteLog

PROJECT = Path(__file__).parent.parent
PARTITIONS = 2
BATCH = 10_000
PATIENCE_S = 300.0
#: What Kafka's brokers take at the least.
SESSION_S = 6


class Failover:
    """One failover, on topics and directories of its own."""

    def __init__(self, broker: str, directory: Path, standbys: int) -> None:
        self.run = f"failover-{uuid.uuid4().hex[:8]}"
        self.broker = broker or f"sqlite:///{directory / 'log.sqlite'}"
        self.log: Log = (
            KafkaLog([broker.removeprefix("kafka://")]) if broker else SqliteLog(self.broker, clock=SystemClock())
        )
        self.directory = directory
        self.standbys = standbys
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.sources = [TopicPartition(f"{self.run}-visits", number) for number in range(PARTITIONS)]

    async def measure(self, keys: int) -> str:
        """Fill the table, kill a worker, and return how long it took."""
        await self.log.open()
        self.workers = workers = dict[str, subprocess.Popen[bytes]]()
        try:
            await self.log.declare([TopicSpec(self.sources[0].topic, PARTITIONS, retention_ms=-1)])
            workers |= {name: self._start(name) for name in ("a", "b")}
            await self._until(lambda: self._owned("a") and self._owned("b"))
            for start in range(0, keys, BATCH):
                await self._append(range(start, min(keys, start + BATCH)))
            await self._until_done()
            if self.standbys:
                await self._until(lambda: "has caught up" in self._output("b"))
            await asyncio.sleep(2.0)  # both are at rest
            killed = time.perf_counter()
            workers.pop("a").kill()
            await self._append(range(keys, keys + 100))
            await self._until_done()
            took = time.perf_counter() - killed
            found = re.findall(r"restored partition \d: (\d+) records in ([\d.]+) s", self._output("b"))[-1]
            return f"{took:6.2f} s; restored {int(found[0]):,} records in {float(found[1]):.2f} s"
        finally:
            for worker in workers.values():
                worker.kill()
                worker.wait()
            await self.log.close()

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "FAILOVER_APP": self.run,
            "BROKER_URL": self.broker,
            "APP_DATADIR": str(self.directory / name),
            "BROKER_SESSION_TIMEOUT": str(SESSION_S),
            "BROKER_HEARTBEAT_INTERVAL": "1",
            "TABLE_STANDBY_REPLICAS": str(self.standbys),
        }
        command = [sys.executable, "-m", "faust", "-A", "bench.failover_program", "worker", "-l", "info"]
        with (self.directory / f"{name}.txt").open("wb") as file:
            return subprocess.Popen(
                [*command, "--without-web"], cwd=PROJECT, env=environment, stdout=file, stderr=subprocess.STDOUT
            )

    def _output(self, name: str) -> str:
        return (self.directory / f"{name}.txt").read_text()

    def _owned(self, name: str) -> bool:
        told = re.findall(r"assigned partitions \[(.*?)\]", self._output(name))
        return bool(told) and len(told[-1]) == 1

    async def _until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await self._wait()

    async def _append(self, numbers: range) -> None:
        batches = [OutgoingBatch(*source) for source in self.sources]
        for number in numbers:
            key = b'"account%08d"' % number
            batches[partition_for(key, PARTITIONS)].append(key, b"1", 0)
        await self.log.append(batches)

    async def _until_done(self) -> None:
        ends = await self.log.offsets(self.sources)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self.log.group_positions(self.run, self.sources)
                if all(source in found and found[source].offset >= ends[source].end for source in self.sources):
                    return
                await self._wait()

    async def _wait(self) -> None:
        """Wait a little. Raises: RuntimeError when a worker has ended that was not killed."""
        for name, worker in self.workers.items():
            if worker.poll() is not None:
                raise RuntimeError(f"worker {name} has ended:\n{self._output(name)[-2_000:]}")
        await asyncio.sleep(0.02)


async def main(keys: int, broker: str) -> None:
    """Print a line without a standby, and one with."""
    print(machine.describe())
    for standbys in (0, 1):
        with tempfile.TemporaryDirectory() as directory:
            took = await Failover(broker, Path(directory), standbys).measure(keys)
        print(f"{keys:,} keys, {standbys} standbys, session timeout {SESSION_S} s: {took}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 400_000, sys.argv[2] if len(sys.argv) > 2 else ""))
