"""The agents of a simulated worker: real agents over the engine's own streams, lanes and tables.

Each waits, where the event is a slow one, between its effects, so that a commit, a rebalance or a death may fall in
between. What they compute is written down a second time, without the engine, in `oracle`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any, cast
from zlib import crc32

from pelton.codec import codec_for
from pelton.errors import HistoryExpiredError
from pelton.log.contract import TopicSpec
from pelton.runtime.spec import AgentSpec, Program, SourceSpec, TableSpec
from pelton.state.versions import History
from pelton.stream.lane import Lane
from pelton.stream.stream import Feed, Stream
from pelton.stream.versioned import VersionedSlot
from pelton.testing.simulation.ahead_agents import CallStyle, OperatorTables, calls, timers
from pelton.testing.simulation.effects import OUT, Failures, add, current_lane, current_offset, send, table_slot
from pelton.testing.simulation.sharing import LEFT, RIGHT, SHARED, SharingStyle, left, right
from pelton.testing.simulation.workload import EVENTS, MORE, Happening
from pelton.window import window_key

__all__ = [
    "AGENTS",
    "APP",
    "ENGINE_TABLES",
    "HISTORY_MS",
    "LOOK_BACK_MS",
    "RETENTION_MS",
    "TABLES",
    "WINDOW_MS",
    "make_program",
    "topic_of",
]

APP = "app"
WINDOW_MS, RETENTION_MS = 5_000, 10_000
#: How long the past is kept of the table that has history, and how far back its agent looks.
HISTORY_MS, LOOK_BACK_MS = 8_000, 3_000
#: The agents that a run may have; some of them, at least one. Two more share a table, in some runs.
AGENTS = ("sums", "chain", "windows", "gather", "batches", "spread", "past", "calls", "timers", "follow")


AgentCode = Callable[[Stream[Any], Failures], AsyncGenerator[Any, None] | Awaitable[Any]]


async def _sums(stream: Stream[Happening], failures: Failures) -> AsyncGenerator[bytes, None]:
    """Sum up each key in one table and count it in another, and yield the sum."""
    async for happening in stream:
        key = current_lane().raw_key or b""
        total = add("sums", key, happening.amount)
        await failures.meet(happening.kind, current_offset(current_lane()))
        add("counts", key, 1)
        yield b"%d" % total
        if happening.kind == "leave":
            return


async def _chain(stream: Stream[Happening], failures: Failures) -> None:
    """Keep a checksum of each key's events in their order; the lanes of one key must not overtake each other."""
    async for happening in stream:
        lane = current_lane()
        key, slot = lane.raw_key or b"", table_slot("chains")
        before = slot.get(key) or b""
        await failures.meet(happening.kind, current_offset(current_lane()))
        link = b"%d" % crc32(before + b"%d" % happening.amount)
        slot.put(key, link)
        send(lane.raw_key, link, current_offset(lane))


async def _windows(stream: Stream[Happening], failures: Failures) -> None:
    """Count each key in windows of event time that expire; delete a window that has counted to three."""
    async for happening in stream:
        lane = current_lane()
        at_ms = lane.timestamp_ms
        key = window_key(at_ms - at_ms % WINDOW_MS, lane.raw_key or b"")
        count = add("windows", key, 1)
        await failures.meet(happening.kind, current_offset(current_lane()))
        if count == 3:
            table_slot("windows").put(key, None)
        send(lane.raw_key, b"%d" % count, current_offset(lane))


async def _gather(stream: Stream[Happening], failures: Failures) -> None:
    """Take several events together, and sum them up one by one."""
    async for events in stream.take_events(5, within=0.02):
        for event in events:
            message = event.message
            total = add("gathered", message.key or b"", event.value.amount)
            await failures.meet(event.value.kind, message.offset)
            send(message.key, b"%d" % total, message.offset)


async def _batches(stream: Stream[Happening], failures: Failures) -> None:
    """Take whatever has come as one event. It fails for all of them, so it has neither flaky nor poisonous ones."""
    async for batch in stream.batches():
        for key, happening, offset in zip(batch.keys, batch.values, batch.offsets, strict=True):
            data = None if key is None else key.encode()
            total = add("batched", data or b"", happening.amount)
            if happening.kind == "slow":
                await failures.meet(happening.kind, offset)
            send(data, b"%d" % total, offset)


async def _spread(stream: Stream[Happening], failures: Failures) -> None:
    """Keep each key's last amount where every worker has it."""
    async for happening in stream:
        key = current_lane().raw_key or b""
        table_slot("spread").put(key, b"%d" % happening.amount)
        await failures.meet(happening.kind, current_offset(current_lane()))
        if happening.amount % 7 == 0:
            table_slot("spread").put(key, None)


async def _past(stream: Stream[Happening], failures: Failures) -> None:
    """Keep each key's last amount in a table with history, and send what it held a while before the event."""
    async for happening in stream:
        lane = current_lane()
        key, slot = lane.raw_key or b"", cast(VersionedSlot, table_slot("past"))
        slot.put(key, None if happening.amount % 5 == 0 else b"%d" % happening.amount)
        await failures.meet(happening.kind, current_offset(lane))
        try:
            held = slot.at(key, lane.timestamp_ms - LOOK_BACK_MS) or b"nothing"
        except HistoryExpiredError:
            held = b"expired"
        send(lane.raw_key, b"%s, %d versions" % (held, len(slot.of(key))), current_offset(lane))


async def _follow(stream: Stream[bytes], failures: Failures) -> None:
    """Read what the others have sent, and keep a checksum of each key's values in their order."""
    async for value in stream:
        key, slot = current_lane().raw_key or b"", table_slot("followed")
        slot.put(key, b"%d" % crc32((slot.get(key) or b"") + value))


_CODE: dict[str, AgentCode] = {
    "sums": _sums,
    "chain": _chain,
    "windows": _windows,
    "gather": _gather,
    "batches": _batches,
    "spread": _spread,
    "past": _past,
    "timers": timers,
    LEFT: left,
    "follow": _follow,
}
#: The tables that each agent writes.
TABLES = {
    "sums": ("sums", "counts"),
    "chain": ("chains",),
    "windows": ("windows",),
    "gather": ("gathered",),
    "batches": ("batched",),
    "spread": ("spread",),
    "past": ("past", "past-history"),
    "calls": ("answers", "calls"),
    "timers": ("timed", "timers"),
    LEFT: (SHARED,),
    RIGHT: (SHARED,),
    "follow": ("followed",),
}


#: Those of them in which the engine keeps what is its own.
ENGINE_TABLES = frozenset({"past-history", "calls", "timers"})


def topic_of(agent: str) -> str:
    """Return the topic that an agent reads."""
    return {"follow": OUT, RIGHT: MORE}.get(agent, EVENTS)


def _agent(name: str, partitions: int, concurrency: int, code: AgentCode, failures: Failures) -> AgentSpec:
    def run(feed: Feed, lane: Lane) -> AsyncGenerator[Any, None] | Awaitable[Any]:
        return code(Stream(feed, lane, cast(Any, OperatorTables())), failures)

    def emit(lane: Lane, value: bytes | None) -> None:
        if value is not None:
            send(lane.raw_key, value, current_offset(lane))

    topic, type_ = topic_of(name), bytes if name == "follow" else Happening
    source = SourceSpec(TopicSpec(topic, partitions), codec_for(str, role="key"), codec_for(type_))
    return AgentSpec(name, {topic: source}, run, emit, concurrency, frozenset(TABLES[name]))


def _table(name: str, partitions: int, deletions_ms: int | None) -> TableSpec:
    config = {} if deletions_ms is None else {"delete.retention.ms": str(deletions_ms)}
    changelog = TopicSpec(f"{APP}-{name}-changelog", partitions, cleanup_policy="compact", config=config)
    if name == "windows":
        return TableSpec(name, changelog, WINDOW_MS, RETENTION_MS)
    if name == "past":
        return TableSpec(name, changelog, history=History(HISTORY_MS))
    if name == "past-history":
        return _table("past", partitions, deletions_ms).versions()
    return TableSpec(name, changelog, replicated=name == "spread")


def make_program(
    agents: tuple[str, ...],
    partitions: int,
    concurrency: int,
    style: CallStyle,
    sharing: SharingStyle,
    failures: Failures,
    deletions_ms: int | None = None,
) -> Program:
    """Return the program of a process.

    concurrency: of the agent "chain". style: of the agent "calls". sharing: of those that share a table.
    deletions_ms: for how long changelogs say that a key is gone; None for the engine's default.
    """
    code: dict[str, AgentCode] = {**_CODE, "calls": partial(calls, style=style), RIGHT: partial(right, style=sharing)}
    lanes = {"chain": concurrency, LEFT: sharing.left, RIGHT: sharing.right}
    specs = {name: _agent(name, partitions, lanes.get(name, 1), code[name], failures) for name in agents}
    tables = {name: _table(name, partitions, deletions_ms) for agent in agents for name in TABLES[agent]}
    return Program(specs, tables, {OUT: TopicSpec(OUT, partitions)})
