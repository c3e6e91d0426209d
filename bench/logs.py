"""The two logs that the systems run on: a fresh SQLite file, and a broker started for the benchmark.

A broker that runs already is used instead when KAFKA_BOOTSTRAP names it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.progress import Progress
from pelton.log.contract import Log
from pelton.log.kafka import KafkaLog
from pelton.log.sqlite import SqliteLog
from pelton.testing.broker import Cluster

__all__ = ["LogSource", "kafka_source", "sqlite_source"]

BROKER_HEAP_MIB = 1024


@dataclass(frozen=True, slots=True)
class LogSource:
    """A log that is up: where a worker finds it, how the harness connects to it, and how it is let go."""

    broker_url: str
    make: Callable[[], Log]
    stop: Callable[[], object]

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Log]:
        """Open a connection for the length of a with statement."""
        log = self.make()
        await log.open()
        try:
            yield log
        finally:
            await log.close()


def sqlite_source(directory: Path, progress: Progress) -> LogSource:
    """Return an embedded log in a new file under the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{directory.absolute() / 'log.db'}"
    return LogSource(url, lambda: SqliteLog(url), lambda: None)


def kafka_source(directory: Path, progress: Progress) -> LogSource:
    """Return the broker that KAFKA_BOOTSTRAP names, or one started with its data under the directory."""
    bootstrap = os.environ.get("KAFKA_BOOTSTRAP")
    if bootstrap:
        return LogSource(f"kafka://{bootstrap}", lambda: KafkaLog(bootstrap), lambda: None)
    # The optimising compiler would take a core from the systems under test for the first minutes of the broker's life.
    cluster = Cluster(1, directory, port=0, heap_mib=BROKER_HEAP_MIB, quick_start=True, progress=progress.step)
    cluster.start()
    return LogSource(f"kafka://{cluster.bootstrap}", lambda: KafkaLog(cluster.bootstrap), cluster.stop)
