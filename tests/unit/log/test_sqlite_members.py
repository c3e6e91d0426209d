"""Groups on the embedded log: clocks that jump, members that vanish, topics that come and go, work that is cut off."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.errors import FencedError
from pelton.log.contract import Position, TopicSpec
from pelton.log.sqlite import SqliteLog
from pelton.log.sqlite.database import Database
from pelton.log.sqlite.log import _Thread
from tests.patience import PATIENCE_S
from tests.unit.log.scene import SOURCE, SettableClock, batch_of, fetch_until, join

BOTH = frozenset({SOURCE, TopicPartition("t", 1)})


def seen(db: Database) -> list[int]:
    return [row[0] for row in db.execute("SELECT seen_ms FROM members ORDER BY member_id")]


HOUR_MS = 3_600_000


@pytest.mark.parametrize(("jump_ms", "leap_s"), [(HOUR_MS, 0), (-HOUR_MS, 0), (0, 3_600)])
async def test_a_clock_that_jumps_expels_nobody(
    log: SqliteLog, tmp_path: Path, clock: SettableClock, jump_ms: int, leap_s: int
) -> None:
    """Nor does it when all processes were suspended: one that wakes up first does not judge those that did not yet."""
    await log.declare([TopicSpec("t", 2)])
    other = SqliteLog(tmp_path / "log.db", clock)
    await other.open()
    told: list[Any] = []
    # The second one's turn to say that it lives comes after the test; it may be silent for longer than that takes.
    members = [
        await join(log, told, session_timeout_ms=60_000),
        await join(other, told, session_timeout_ms=60_000, heartbeat_interval_ms=50_000),
    ]

    def shared() -> bool:
        return all(len(each.assignment()) == 1 for each in members)

    await asyncio.gather(*(fetch_until(one, shared) for one in members))
    calls = len(told)
    clock.ahead_ms, clock.leapt_s = jump_ms, leap_s
    # Until the first has said several times under the new time that it lives.
    for _ in range(3):
        before = await log.query(seen)
        async with asyncio.timeout(PATIENCE_S):
            while await log.query(seen) == before:
                await asyncio.gather(*(member.fetch(bytes_max=1000, timeout_s=0.02) for member in members))
    assert len(await log.query(seen)) == 2
    assert len(told) == calls
    await other.close()


@pytest.mark.parametrize("jump_ms", [HOUR_MS, 0, -HOUR_MS])
async def test_one_who_died_is_expelled_whatever_happens_to_the_clock(
    log: SqliteLog, clock: SettableClock, jump_ms: int
) -> None:
    await log.declare([TopicSpec("t", 2)])
    dead = await join(log, heartbeat_interval_ms=10_000_000, session_timeout_ms=500)
    await fetch_until(dead, lambda: dead.assignment() == BOTH)
    clock.ahead_ms = jump_ms
    alive = await join(log)
    await fetch_until(alive, lambda: alive.assignment() == BOTH)


async def test_one_who_died_before_the_machine_was_started_anew_is_expelled(
    log: SqliteLog, clock: SettableClock
) -> None:
    await log.declare([TopicSpec("t", 2)])
    clock.leapt_s = 10_000
    dead = await join(log, heartbeat_interval_ms=10_000_000)
    await fetch_until(dead, lambda: dead.assignment() == BOTH)
    clock.leapt_s = 0
    alive = await join(log)
    await fetch_until(alive, lambda: alive.assignment() == BOTH)


async def test_an_expelled_member_is_told_once_and_leaves_no_ghost(log: SqliteLog, clock: SettableClock) -> None:
    await log.declare([TopicSpec("t", 2)])
    told: list[Any] = []
    silent = await join(log, told, heartbeat_interval_ms=10_000_000)
    await fetch_until(silent, lambda: silent.assignment() == BOTH)
    silent.pause([SOURCE])
    clock.leapt_s = 10
    await (await join(log)).leave()
    with pytest.raises(FencedError):
        await silent.commit([], {SOURCE: Position(1)})
    # Rejoining is cut off at every step, too: the member comes back all the same, and only once.
    for delay in range(8):
        fetching = asyncio.create_task(silent.fetch(bytes_max=100, timeout_s=1))
        for _ in range(delay):
            await asyncio.sleep(0)
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)
    await log.append([batch_of([(b"a", b"1")])])
    # What was paused before is not any more.
    await fetch_until(silent, lambda: silent.assignment() == BOTH and silent.statistics().records_fetched == 1)
    assert [event for event in told if event[0] == "lost"] == [("lost", BOTH)]
    assert len(await log.query(seen)) == 1


@contextmanager
def held(thread: _Thread) -> Iterator[None]:
    """Keep a thread of the log from its work, so that what is asked of it meanwhile is under way."""
    hold = threading.Event()
    thread.run(hold.wait)
    try:
        yield
    finally:
        hold.set()


async def test_a_rejoin_cut_off_before_it_was_written_leaves_no_ghost(log: SqliteLog, clock: SettableClock) -> None:
    await log.declare([TopicSpec("t", 2)])
    silent = await join(log, heartbeat_interval_ms=10_000_000)
    await fetch_until(silent, lambda: silent.assignment() == BOTH)
    clock.leapt_s = 10
    await (await join(log)).leave()
    names = {silent.member_id}
    with held(log._open.writer):
        for _ in range(3):
            fetching = asyncio.create_task(silent.fetch(bytes_max=100, timeout_s=5))
            async with asyncio.timeout(PATIENCE_S):
                while silent.member_id in names:  # noqa: ASYNC110 - it has no event for us
                    await asyncio.sleep(0.001)
            names.add(silent.member_id)
            fetching.cancel()
            await asyncio.gather(fetching, return_exceptions=True)
    await fetch_until(silent, lambda: silent.assignment() == BOTH)
    assert len(await log.query(seen)) == 1


async def test_what_is_read_meanwhile_gives_way_to_a_seek_and_to_a_pause(log: SqliteLog) -> None:
    await log.declare([TopicSpec("t", 2)])
    other = TopicPartition("t", 1)
    member = await join(log)
    await fetch_until(member, lambda: member.assignment() == BOTH)
    await log.append([batch_of([(b"k", b"v")] * 10), OutgoingBatch(*other, [b"k"] * 5, [b"v"] * 5, [0] * 5)])
    with held(log._open.reader):
        fetching = asyncio.create_task(member.fetch(bytes_max=1 << 20, timeout_s=20))
        await asyncio.sleep(0)
        member.seek(SOURCE, 7)
        member.pause([other])
    assert [(batch.source, list(batch.offsets)) for batch in await fetching] == [(SOURCE, [7, 8, 9])]
    member.resume([other])
    (batch,) = await member.fetch(bytes_max=1 << 20, timeout_s=20)
    assert (batch.source, list(batch.offsets)) == (other, [0, 1, 2, 3, 4])


async def test_a_topic_made_later_is_read(log: SqliteLog) -> None:
    member = await join(log)
    await member.fetch(bytes_max=1000, timeout_s=0)
    assert member.assignment() == frozenset()
    await log.declare([TopicSpec("t", 2)])
    await fetch_until(member, lambda: member.assignment() == BOTH)


async def test_a_topic_deleted_under_its_reader(log: SqliteLog) -> None:
    await log.declare([TopicSpec("t", 2)])
    told: list[Any] = []
    member = await join(log, told)
    await fetch_until(member, lambda: member.assignment() == BOTH)
    await log.delete_topics(["t"])
    await fetch_until(member, lambda: member.assignment() == frozenset())
    assert ("revoked", BOTH) in told
    assert member.lag() == {}


async def test_taking_over_is_cut_off_and_taken_up_again(log: SqliteLog) -> None:
    """What was taken in the file, but not told to the engine, nobody else can have: it must be told later."""
    await log.declare([TopicSpec("t", 2)])
    for delay in range(40):
        told: list[Any] = []
        member = await join(log, told)
        fetching = asyncio.create_task(member.fetch(bytes_max=100, timeout_s=5))
        await asyncio.sleep(delay / 20_000)
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)
        await fetch_until(member, lambda: member.assignment() == BOTH)  # noqa: B023 - awaited at once
        assert told[-1] == ("assigned", BOTH)
        await member.leave()


async def test_each_row_is_read_once(log: SqliteLog) -> None:
    """A fetch of little takes whole rows and goes on behind them."""
    await log.declare([TopicSpec("t", 1)])
    for _ in range(50):
        await log.append([batch_of([(b"k", bytes(100))] * 20)])
    member = await join(log)
    got = await fetch_until(member, lambda: member.lag().get(SOURCE) == 0)
    assert [len(batch) for batch in got] == [20] * 50
    assert all(isinstance(batch.offsets, range) for batch in got)
