"""Restoring a store from its changelog: from where it stands, or from the start when that is not possible."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.log.contract import TopicSpec
from pelton.log.sqlite import SqliteLog
from pelton.runtime.restore import changelog_writes, restore
from pelton.runtime.spec import TableSpec
from pelton.state.contract import TableWrites
from pelton.state.memory import MemoryStore, MemoryStores

TABLE = TableSpec("t", TopicSpec("t-changelog", 1, cleanup_policy="compact"))
CHANGELOG = TopicPartition("t-changelog", 0)


@pytest_asyncio.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    one = SqliteLog(f"sqlite://{tmp_path / 'log.db'}?synchronous=off")
    await one.open()
    await one.declare([TABLE.changelog])
    yield one
    await one.close()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStores().open(Path("/"), 0, ["t"])


async def append(log: SqliteLog, *entries: tuple[bytes, bytes | None]) -> None:
    batch = OutgoingBatch(*CHANGELOG)
    for key, value in entries:
        batch.append(key, value, 1_000)
    await log.append([batch])


async def run(log: SqliteLog, store: MemoryStore, bytes_max: int = 1 << 20) -> list[tuple[int, int]]:
    """Restore, and return what progress was told."""
    told: list[tuple[int, int]] = []
    clock = SystemClock()
    await restore(log, store, [TABLE], 0, bytes_max=bytes_max, clock=clock, progress=lambda *now: told.append(now))
    return told


async def test_an_empty_store_is_filled_in_steps_and_tombstones_delete(log: SqliteLog, store: MemoryStore):
    for number in range(20):
        await append(log, (b"%d" % (number % 4), b"%d" % number))
    await append(log, (b"1", None))
    told = await run(log, store, bytes_max=64)
    assert dict(store.scan("t")) == {b"0": b"16", b"2": b"18", b"3": b"19"}
    assert (store.position("t"), told[0], told[-1]) == (21, (0, 21), (21, 21))
    assert len(told) > 3


async def test_a_store_that_stands_somewhere_replays_the_tail_alone(log: SqliteLog, store: MemoryStore):
    await append(log, (b"a", b"1"), (b"b", b"2"))
    store.write({"t": TableWrites([(b"a", b"as it is here")], position=1)})
    assert await run(log, store) == [(0, 1), (1, 1)]
    assert (dict(store.scan("t")), store.position("t")) == ({b"a": b"as it is here", b"b": b"2"}, 2)


async def test_a_restore_that_dies_on_the_way_goes_on_from_where_it_came_to(log: SqliteLog, store: MemoryStore):
    for number in range(20):
        await append(log, (b"%d" % number, b"1"))

    def die(done: int, total: int) -> None:
        if done >= 10:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        await restore(log, store, [TABLE], 0, bytes_max=64, clock=SystemClock(), progress=die)
    came_to = store.position("t") or 0
    assert 10 <= came_to < 20
    assert (await run(log, store))[0] == (0, 20 - came_to)
    assert len(dict(store.scan("t"))) == 20


async def test_a_store_at_the_end_is_left_alone(log: SqliteLog, store: MemoryStore):
    await append(log, (b"a", b"1"))
    await run(log, store)
    assert await run(log, store) == [(0, 0)]


async def test_a_store_ahead_of_the_changelog_is_wiped(log: SqliteLog, store: MemoryStore):
    """Invariant I3: another changelog goes by this name; what the store holds is none of its business."""
    await append(log, (b"a", b"1"))
    store.write({"t": TableWrites([(b"ghost", b"1")], position=7)})
    await run(log, store)
    assert (dict(store.scan("t")), store.position("t")) == ({b"a": b"1"}, 1)


async def test_a_store_behind_the_start_of_the_changelog_is_wiped(log: SqliteLog, store: MemoryStore):
    store.write({"t": TableWrites([(b"ghost", b"1")], position=2)})
    for number in range(6):
        await append(log, (b"%d" % number, b"1"))
    await log.write(lambda db: db.execute("delete from batches where next <= 4"))
    await log.write(lambda db: db.execute("update ranges set first = 4"))
    await run(log, store)
    assert (dict(store.scan("t")), store.position("t")) == ({b"4": b"1", b"5": b"1"}, 6)


def test_records_without_a_key_mean_nothing_to_a_table():
    batch = RecordBatch("t", 0, [0, 1], [0, 0], [None, b"a"], [b"x", None], 5)
    writes = changelog_writes(batch)
    assert (writes.puts, writes.position) == ([(b"a", None)], 5)
