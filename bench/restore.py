"""How fast a lost store comes back from its changelog: `python -m bench.restore [records] [kafka://host:port]`.

One partition, into an empty RocksDB, on the embedded log or on a running Kafka. CPU is that of the process, RocksDB's
background threads included.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from bench import machine
from pelton.batch import OutgoingBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.config import EngineConfig
from pelton.log.contract import Log, TopicSpec
from pelton.log.kafka import KafkaLog
from pelton.log.sqlite import SqliteLog
from pelton.runtime.restore import restore
from pelton.runtime.spec import TableSpec
from pelton.state.rocksdb import RocksStores

VALUE = b'{"count":12,"sum":3456.75,"countries":["NL","DE"]}'
#: Of so many records, one writes a key for the first time.
WRITES_A_KEY = 3
BATCH = 10_000


async def main(records: int, broker: str) -> None:
    """Fill a changelog, restore it, and print a line."""
    print(machine.describe())
    with tempfile.TemporaryDirectory() as directory:
        log = _log(broker, Path(directory))
        await log.open()
        table = TableSpec("table", TopicSpec(f"bench-{uuid.uuid4().hex[:8]}-changelog", 1, cleanup_policy="compact"))
        try:
            await log.declare([table.changelog])
            for batch in _batches(table.changelog.name, records):
                await log.append([batch])
            for _ in range(3):
                print(await _measured(log, table, Path(directory) / uuid.uuid4().hex), flush=True)
        finally:
            await log.delete_topics([table.changelog.name])
            await log.close()


def _log(broker: str, directory: Path) -> Log:
    if broker.startswith("kafka://"):
        return KafkaLog([broker.removeprefix("kafka://")])
    return SqliteLog(f"sqlite:///{directory / 'log.sqlite'}")


def _batches(topic: str, records: int) -> Iterator[OutgoingBatch]:
    keys = random.Random(7)
    for start in range(0, records, BATCH):
        size = min(BATCH, records - start)
        names: list[bytes | None] = [b"account%08d" % keys.randrange(records // WRITES_A_KEY) for _ in range(size)]
        yield OutgoingBatch(*TopicPartition(topic, 0), names, [VALUE] * size, [0] * size)


async def _measured(log: Log, table: TableSpec, directory: Path) -> str:
    store = RocksStores().open(directory, 0, [table.name])
    wall, cpu = time.perf_counter(), time.process_time()
    size = EngineConfig().restore_bytes_max
    count = await restore(
        log, store, [table], 0, bytes_max=size, clock=SystemClock(), progress=lambda done, total: None
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    store.close()
    return f"restored {count:,} records: {count / wall:,.0f}/s, {cpu / count * 1e6:.2f} µs of CPU each"


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 600_000, sys.argv[2] if len(sys.argv) > 2 else ""))
