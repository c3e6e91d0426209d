"""Memory is bounded in bytes (invariant I10): a gibibyte at 100 MB/s against slow agents, real workers on both logs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.log.contract import Log, TopicSpec
from pelton.log.kafka import KafkaLog
from pelton.log.sqlite import SqliteLog

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024
PARTITIONS = 4
SENT_MIB = 1024
#: What waits in the log, or in memory, when the source is done: the agents must be slower, or the run shows nothing.
BACKLOG_MIB = 256
LIMITS = {
    "PELTON_TASK_QUEUE_BYTES_MAX": "16 MiB",
    "PELTON_FETCH_BYTES_MAX": "4 MiB",
    "PELTON_COMMIT_BYTES_MAX": "8 MiB",
    "PELTON_TABLE_CACHE_BYTES_MAX": "16 MiB",
    "PELTON_RESTORE_BYTES_MAX": "1 MiB",
}
#: Beside the limits' sum of 45 MiB: what decoding and packing copy, the log clients' buffers, RocksDB's memtables.
GROWTH_MIB_MAX = 200
#: 16 KiB a record, incompressible, so that nothing on the way makes them smaller.
RECORD = os.urandom(16 * 1024)
ROWS = MIB // len(RECORD)


@asynccontextmanager
async def opened(broker: str) -> AsyncIterator[Log]:
    kafka = broker.startswith("kafka")
    log: Log = KafkaLog(broker.removeprefix("kafka://")) if kafka else SqliteLog(broker, clock=SystemClock())
    await log.open()
    try:
        yield log
    finally:
        await log.close()


@pytest.fixture(params=["sqlite", "kafka"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a log."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path / 'log.sqlite'}?synchronous=off"
    return f"kafka://{request.getfixturevalue('kafka')}"


def start(broker: str, run: str, directory: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | LIMITS | {"SLOW_APP": run, "BROKER_URL": broker, "APP_DATADIR": str(directory / "data")}
    command = [sys.executable, "-m", "faust", "-A", "tests.pressure.slow_program", "worker", "-l", "info"]
    with (directory / "worker.txt").open("wb") as output:
        return subprocess.Popen(
            [*command, "--without-web"], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )


async def send(log: Log, topic: str, mib: int) -> None:
    """Append a MiB to each partition in turn; each record has a key of its own among some thousands."""
    now_ms = time.time_ns() // 10**6
    for number in range(mib):
        keys: list[bytes | None] = [b"%d" % (number * ROWS + row) for row in range(ROWS)]
        await log.append([OutgoingBatch(topic, number % PARTITIONS, keys, [RECORD] * ROWS, [now_ms] * ROWS)])


async def waiting(log: Log, run: str, topic: str) -> int:
    """Return how many MiB the group has not committed."""
    sources = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    ends = await log.offsets(sources)
    done = await log.group_positions(run, sources)
    rows = sum(ends[source].end - (done[source].offset if source in done else 0) for source in sources)
    return rows * len(RECORD) // MIB


async def test_memory_is_bounded_against_slow_agents(broker: str, tmp_path: Path) -> None:
    run = f"slow-{uuid4().hex[:8]}"
    topic = f"{run}-blobs"
    async with opened(broker) as log:
        await log.declare([TopicSpec(topic, PARTITIONS)])
        worker = start(broker, run, tmp_path)
        try:
            await send(log, topic, 2 * PARTITIONS)
            while await waiting(log, run, topic):
                assert worker.poll() is None, (tmp_path / "worker.txt").read_text()
                await asyncio.sleep(0.1)
            process = psutil.Process(worker.pid)
            before = most = process.memory_info().rss
            sending = asyncio.create_task(send(log, topic, SENT_MIB))
            backlog = 0
            while not sending.done() or await waiting(log, run, topic):
                assert worker.poll() is None, (tmp_path / "worker.txt").read_text()
                most = max(most, process.memory_info().rss)
                backlog = max(backlog, await waiting(log, run, topic))
                await asyncio.sleep(0.05)
            sending.result()
        finally:
            worker.kill()
            worker.wait()
    growth = (most - before) // MIB
    print(f"{broker.partition(':')[0]}: {SENT_MIB} MiB sent, {backlog} MiB waited, memory grew by {growth} MiB")
    assert backlog >= BACKLOG_MIB, "the source was slower than the agents: the run shows nothing"
    assert growth < GROWTH_MIB_MAX
