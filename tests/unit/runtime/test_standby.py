"""Standbys: copies that follow, are taken over as they are, and are kept when their partition goes elsewhere."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from pelton.batch import TopicPartition
from pelton.errors import StateCorruptedError
from pelton.log.contract import Position
from pelton.runtime.runtime import Runtime
from pelton.state.contract import TableWrites
from pelton.state.memory import MemoryStore, MemoryStores
from tests.patience import PATIENCE_S
from tests.unit.runtime.runtime_scene import PARTITIONS, TOPIC, Scene, agent, opened
from tests.unit.runtime.task_rig import add, lane

READ: dict[str, Any] = {"bytes_max": 1 << 20, "timeout_s": 1.0}


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as one:
        yield one


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", "pelton.runtime.restore")
    return caplog


async def echo(stream: Any) -> Any:
    """Sum up each key, and send every number on."""
    async for number in stream:
        add(lane().raw_key or b"", number)
        yield number


class CountedStores(MemoryStores):
    """A disk that counts how often each partition number is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[int] = []

    def open(self, directory: Path, partition: int, tables: Iterable[str]) -> MemoryStore:
        self.opened.append(partition)
        return super().open(directory, partition, tables)


def follows(runtime: Runtime, number_of_copies: int) -> bool:
    """Whether a worker keeps so many copies, and each stands at the end of its changelog."""
    copies = runtime.statistics().standbys
    return len(copies) == number_of_copies and all(copy.lag == {"sums": 0} for copy in copies)


def applied(runtime: Runtime) -> int:
    return sum(copy.applied for copy in runtime.statistics().standbys)


def restored(told: pytest.LogCaptureFixture) -> list[int]:
    """Return the records that each restore has replayed."""
    return [int(found) for found in re.findall(r"restored partition \d+: (\d+) records", told.text)]


async def two(scene: Scene, second: MemoryStores) -> tuple[Runtime, Runtime]:
    """Start two workers, each with its own disk, that are each other's standby."""
    one = await scene.worker(agent(echo), standby_replicas=1)
    other = await scene.worker(agent(echo), standby_replicas=1, stores=second)
    await scene.until(lambda: len(one.partitions) == len(other.partitions) == 1)
    return one, other


async def until_followed(scene: Scene, *runtimes: Runtime) -> None:
    """Wait until every copy has all that the changelogs hold."""
    await scene.until_done()
    wanted = len(await scene.records("sums-changelog"))
    await scene.until(lambda: sum(map(applied, runtimes)) == wanted)


async def test_a_standby_takes_over_without_reopening_and_replays_nothing_it_has(
    scene: Scene, told: pytest.LogCaptureFixture
):
    disk = CountedStores()
    one, other = await two(scene, disk)
    await scene.append(*range(200))
    await until_followed(scene, one, other)
    await scene.until(lambda: follows(other, 1))
    told.clear()
    await scene.die(one)
    await scene.until(lambda: len(other._assignment.running()) == PARTITIONS)
    assert restored(told) == [0]
    assert sorted(disk.opened) == [0, 1]
    await scene.append(*range(200, 300))
    await scene.until_done()
    await scene.stop(other)
    assert await scene.values() == list(range(300))
    assert scene.stored(stores=disk) == await scene.table()


async def test_a_partition_that_leaves_stays_open_as_a_standby_and_comes_back(
    scene: Scene, told: pytest.LogCaptureFixture
):
    scene.stores = disk = CountedStores()
    one = await scene.worker(agent(echo), standby_replicas=1)
    await scene.append(*range(100))
    await scene.until_done()
    other = await scene.worker(agent(echo), standby_replicas=1, stores=MemoryStores())
    await scene.until(lambda: follows(one, 1))
    await scene.append(*range(100, 200))
    await scene.until_done()
    await scene.until(lambda: follows(one, 1) and applied(one) > 0)
    await scene.stop(other)
    await scene.until(lambda: len(one._assignment.running()) == PARTITIONS)
    await scene.append(*range(200, 300))
    await scene.until_done()
    await scene.stop(one)
    assert sorted(disk.opened) == [0, 1]
    assert await scene.values() == list(range(300))
    assert scene.stored() == await scene.table()


async def test_a_partition_on_its_way_to_its_standby_is_kept_open_until_it_is_there(scene: Scene):
    """A number that a living worker gives up is no standby any more and not yet free: its copy stays."""
    disk = CountedStores()
    one, other = await two(scene, disk)
    await scene.until(lambda: follows(other, 1))
    (number,) = one.partitions
    standing = replace(
        other.group._standing, target=frozenset({0, 1}), owned=frozenset(other.partitions), standbys=frozenset()
    )
    assert other.group._standbys_of(standing) == {number}
    assert sorted(disk.opened) == [0, 1]


async def test_partitions_that_come_straight_back_keep_their_store_and_replay_nothing(
    scene: Scene, told: pytest.LogCaptureFixture
):
    """What Kafka's rebalances do to everything that stays."""
    scene.stores = disk = CountedStores()
    runtime = await scene.worker(agent(echo))
    await scene.append(*range(50))
    await scene.until_done()
    sources = frozenset(runtime.group.assignment())
    told.clear()
    await runtime._revoked(sources)
    await runtime._assigned(sources, frozenset())
    await scene.until(lambda: len(runtime._assignment.running()) == PARTITIONS)
    assert restored(told) == [0] * PARTITIONS
    assert sorted(disk.opened) == list(range(PARTITIONS))
    await scene.append(*range(50, 60))
    await scene.until_done()
    await scene.stop(runtime)
    assert await scene.values() == list(range(60))


class SlowStores(MemoryStores):
    """A disk on which partition 0 takes until the gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def open(self, directory: Path, partition: int, tables: Iterable[str]) -> MemoryStore:
        if partition == 0:
            self.gate.wait(PATIENCE_S)
        return super().open(directory, partition, tables)


async def test_partitions_that_are_ready_do_not_wait_for_those_that_are_not(scene: Scene):
    disk = SlowStores()
    joining = asyncio.create_task(scene.worker(agent(echo), stores=disk))
    try:
        await scene.append(*range(50))
        ends = {number: len(await scene.log.read(TopicPartition(TOPIC, number), 0, **READ)) for number in (0, 1)}
        async with asyncio.timeout(PATIENCE_S):
            while (await scene.positions()).get(1, Position(0)).offset < ends[1]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await scene.positions()).get(0, Position(0)).offset == 0
        assert [runtime.waiting() for runtime in scene.workers()] == [["partition 0 is being opened"]]
    finally:
        disk.gate.set()
        await joining
    assert (await joining).waiting() == []
    await scene.until_done()
    assert await scene.values() == list(range(50))


async def test_a_worker_is_ready_when_what_it_still_opened_goes_to_another(scene: Scene):
    disk = SlowStores()
    runtime = await scene.worker(agent(echo), stores=disk, wait=False)
    await scene.until(lambda: [partition.number for partition in runtime._assignment.running()] == [1])
    assert not runtime.ready.is_set()
    leaving = asyncio.create_task(runtime._revoked(frozenset({TopicPartition(TOPIC, 0)})))
    disk.gate.set()
    await leaving
    await runtime._assigned(frozenset({TopicPartition(TOPIC, 1)}), frozenset())
    assert runtime.ready.is_set()
    assert runtime.waiting() == []


async def test_an_event_of_minutes_does_not_hold_up_a_rebalance_and_stays_uncommitted(scene: Scene):
    reached = asyncio.Event()
    patient = True

    async def stuck(stream: Any) -> Any:
        async for number in stream:
            add(lane().raw_key or b"", number)
            if number == 30 and patient:
                reached.set()
                await asyncio.Event().wait()
            yield number

    runtime = await scene.worker(agent(stuck))
    await scene.append(*range(60), key=b"k")
    await reached.wait()
    await scene.stop(runtime)  # lets go as a rebalance does
    assert await scene.values() == list(range(30))
    assert sum(position.offset for position in (await scene.positions()).values()) == 30
    patient = False
    runtime = await scene.worker(agent(stuck))
    await scene.until_done()
    await scene.stop(runtime)
    assert await scene.values() == list(range(60))
    assert scene.stored() == await scene.table()


async def test_a_copy_says_how_far_behind_it_is(scene: Scene):
    one, other = await two(scene, MemoryStores())
    await scene.until(lambda: follows(one, 1) and follows(other, 1))
    copies = {copy.number for runtime in (one, other) for copy in runtime.statistics().standbys}
    assert copies == {0, 1}
    assert not {copy.number for copy in one.statistics().standbys} & one.partitions.keys()
    one._standbys._busy = lambda: True  # something active is being restored: the copies wait
    before = applied(one)
    await scene.append(*range(50))
    await scene.until_done()
    assert applied(one) == before


class TornStore(MemoryStore):
    """A store whose next write finds damage."""

    torn = True

    def write(self, writes: Any) -> None:
        if self.torn:
            self.torn = False
            raise StateCorruptedError("damaged")
        super().write(writes)


async def test_a_damaged_copy_is_discarded_and_filled_again(scene: Scene):
    one, other = await two(scene, disk := MemoryStores())
    await scene.until(lambda: follows(other, 1))
    (copy,) = other._standbys._copies.values()
    assert isinstance(copy.store, MemoryStore)
    copy.store.__class__ = TornStore
    await scene.append(*range(100))
    await until_followed(scene, one, other)
    await scene.stop(one)
    await scene.until(lambda: len(other._assignment.running()) == PARTITIONS)
    await scene.stop(other)
    assert scene.stored(stores=disk) == await scene.table()


async def test_a_copy_of_another_changelog_is_wiped(scene: Scene):
    disk = MemoryStores()
    for number in range(PARTITIONS):
        store = disk.open(Path("/stores"), number, ["sums"])
        store.write({"sums": TableWrites([(b"ghost", b"1")], position=10_000)})
        store.close()
    one, other = await two(scene, disk)
    await scene.append(*range(100))
    await until_followed(scene, one, other)
    await scene.stop(one)
    await scene.until(lambda: len(other._assignment.running()) == PARTITIONS)
    await scene.stop(other)
    assert scene.stored(stores=disk) == await scene.table()
