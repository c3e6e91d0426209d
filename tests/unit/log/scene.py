"""What the tests of the embedded log are written in: one topic with one reader."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.log.contract import GroupOptions, RebalanceListener
from pelton.log.sqlite import SqliteGroup, SqliteLog
from tests.patience import PATIENCE_S

DAY_MS = 24 * 60 * 60 * 1000
SOURCE = TopicPartition("t", 0)

Row = tuple[int, bytes | None, bytes | None]


class SettableClock(SystemClock):
    """The machine's clocks, but the wall clock can be set, and the other one leaps when all processes are suspended."""

    ahead_ms = 0
    leapt_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.leapt_s

    def time_ms(self) -> int:
        return super().time_ms() + self.ahead_ms


def batch_of(records: Iterable[tuple[bytes | None, bytes | None]]) -> OutgoingBatch:
    batch = OutgoingBatch(*SOURCE)
    for key, value in records:
        batch.append(key, value, 1000 + len(batch))
    return batch


async def rows(log: SqliteLog, bytes_max: int = 1 << 20) -> list[Row]:
    """Return everything that SOURCE holds."""
    offset, end = (await log.offsets([SOURCE]))[SOURCE]
    found: list[Row] = []
    while offset < end:
        batch = await log.read(SOURCE, offset, bytes_max=bytes_max, timeout_s=1)
        found += zip(batch.offsets, batch.keys, batch.values, strict=True)
        assert batch.next_offset > offset
        offset = batch.next_offset
    return found


async def join(log: SqliteLog, told: list[Any] | None = None, **options: Any) -> SqliteGroup:
    """Become a member. told: where the callbacks are noted."""
    events = told if told is not None else []

    async def revoked(partitions: frozenset[TopicPartition]) -> None:
        events.append(("revoked", partitions))

    async def assigned(partitions: frozenset[TopicPartition], _: frozenset[int]) -> None:
        events.append(("assigned", partitions))

    async def lost(partitions: frozenset[TopicPartition]) -> None:
        events.append(("lost", partitions))

    chosen: dict[str, Any] = {"session_timeout_ms": 5000, "heartbeat_interval_ms": 20}
    return await log.join(
        GroupOptions("g", frozenset(["t"]), **(chosen | options)), RebalanceListener(revoked, assigned, lost)
    )


async def fetch_until(member: SqliteGroup, condition: Callable[[], object]) -> list[RecordBatch]:
    got: list[RecordBatch] = []
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            got += await member.fetch(bytes_max=1000, timeout_s=0.02)
    return got
