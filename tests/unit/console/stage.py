"""A worker for the pages to tell of, whose every answer the test sets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pelton.clock import Clock, SystemClock
from pelton.console.graph import Graph
from pelton.console.logged import RecentErrors
from pelton.console.surroundings import Console
from pelton.errors import UnavailableError
from pelton.log.contract import MemberInfo
from pelton.metrics.lag import PartitionLag
from pelton.runtime.statistics import RuntimeStatistics
from pelton.runtime.watchdog import Health

__all__ = ["StagedClock", "StagedWorker", "console", "lag", "statistics"]


class StagedClock(SystemClock):
    """Time that the test sets."""

    now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s

    def time_ms(self) -> int:
        return int(self.now_s * 1000)


@dataclass
class StagedWorker:
    """Implements `pelton.console.worker.Worker`. peers: address -> what it answers."""

    address: str = "127.0.0.1:1"
    app_id: str = "staged"
    clock: Clock = field(default_factory=StagedClock)
    told: RuntimeStatistics | None = None
    healthy: Health = field(default_factory=Health)
    waits: Sequence[str] = ()
    behind: Sequence[PartitionLag] = ()
    group: Sequence[MemberInfo] = ()
    partitions: int = 0
    queue_bytes_max: int = 1_000
    peers: Mapping[str, bytes] = field(default_factory=dict)
    asked: int = 0
    drawn: Graph | None = None

    def statistics(self) -> RuntimeStatistics | None:
        return self.told

    def health(self) -> Health:
        return self.healthy

    def waiting(self) -> Sequence[str]:
        return self.waits

    def lags(self) -> Sequence[PartitionLag]:
        return self.behind

    def members(self) -> Sequence[MemberInfo]:
        return self.group

    def partition_count(self) -> int:
        return self.partitions

    def graph(self) -> Graph | None:
        return self.drawn

    async def ask_peer(self, address: str, path: str) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        if address not in self.peers:
            raise UnavailableError(f"worker {address} did not answer within 2 s")
        return self.peers[address]


def console(worker: StagedWorker) -> Console:
    return Console(worker, RecentErrors())


def lag(topic: str, partition: int, records: int, lag_s: float = 1.0, **told: object) -> PartitionLag:
    values = {"committed": 0, "end": records, "lag": records, "lag_s": lag_s, "status": "OK", "complete": 1.0}
    return PartitionLag(topic=topic, partition=partition, **{**values, **told})  # type: ignore[arg-type]


def statistics(events: int = 0, **told: object) -> RuntimeStatistics:
    counts = dict.fromkeys(
        ("committed_records", "commits", "commit_failures", "rebalances", "dead_lettered", "records_lost"), 0
    )
    values = {"records_in": events, **counts, "lag": {}, "partitions": (), "tasks": ()}
    return RuntimeStatistics(**{**values, **told})  # type: ignore[arg-type]
