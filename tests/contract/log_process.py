"""Another process on the log under test: python -m tests.contract.log_process ADDRESS COMMAND name=value …"""

from __future__ import annotations

import asyncio
import sys

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.errors import FencedError, UnavailableError
from pelton.log.contract import Group, GroupOptions, Log, Position, RebalanceListener
from tests.contract.log_scene import batch_of, make_log


async def append(log: Log, *, topic: str, name: str, batches: str, size: str) -> None:
    """Append numbered batches; the values say who wrote them."""
    for number in range(int(batches)):
        await log.append([batch_of(topic, [f"{name} {number} {index}".encode() for index in range(int(size))])])


async def work(log: Log, *, source: str, target: str, name: str, session_timeout_ms: str) -> None:
    """Copy a topic, partition by partition, in transactions, until standard input ends; keys say who did it."""

    async def nothing(*_: object) -> None:
        """The loop below keeps no state between a fetch and its commit."""

    group = await log.join(
        GroupOptions(
            f"group-{source}",
            frozenset([source]),
            session_timeout_ms=int(session_timeout_ms),
            heartbeat_interval_ms=100,
        ),
        RebalanceListener(nothing, nothing, nothing),
    )
    ended = asyncio.ensure_future(asyncio.to_thread(sys.stdin.buffer.read))
    while not ended.done():
        await copy_some(group, target, name.encode())
    await group.leave()


async def copy_some(group: Group, target: str, name: bytes) -> None:
    batches = await group.fetch(bytes_max=4096, timeout_s=0.1)
    writes = [
        OutgoingBatch(target, one.partition, [name] * len(one), list(one.values), list(one.timestamps_ms))
        for one in batches
    ]
    positions: dict[TopicPartition, Position] = {one.source: Position(one.next_offset) for one in batches}
    try:
        if positions:
            await group.commit(writes, positions)
    except (FencedError, UnavailableError):
        committed = await group.committed(positions)
        for partition in positions:
            group.seek(partition, committed.get(partition, Position(0)).offset)


async def main() -> None:
    address, command, *arguments = sys.argv[1:]
    log = make_log(address)
    await log.open()
    try:
        await {"append": append, "work": work}[command](log, **dict(one.split("=", 1) for one in arguments))
    finally:
        await log.close()


if __name__ == "__main__":
    asyncio.run(main())
