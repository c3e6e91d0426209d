"""Replicated tables: every worker sees every write; the store is the fold of the changelog, whoever wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from pelton.batch import OutgoingBatch
from pelton.errors import FencedError, UnavailableError
from pelton.log.partitioner import partition_for
from pelton.runtime.runtime import Runtime
from pelton.state.contract import TableWrites
from pelton.state.memory import MemoryStores
from tests.unit.runtime.runtime_scene import DIRECTORY, SUMS, WORLD, Commit, Scene, agent, opened
from tests.unit.runtime.task_rig import add, lane

TABLES = (SUMS, WORLD)


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as one:
        yield one


async def count(stream: Any) -> Any:
    """Count each key's events in the replicated table, and send the count."""
    async for _ in stream:
        yield add(lane().raw_key or b"", 1, "world")


def seen(runtime: Runtime, key: bytes) -> bytes | None:
    """Return what a worker sees under a key."""
    assert runtime.replicated is not None
    return runtime.replicated.caches["world"].get(key)


async def write(scene: Scene, key: bytes, value: bytes | None) -> None:
    """Write to the table's changelog as another worker would."""
    batch = OutgoingBatch(WORLD.changelog.name, partition_for(key, 2))
    batch.append(key, value, 1_000)
    await scene.log.append([batch])


async def test_a_write_is_seen_at_once_here_and_soon_elsewhere(scene: Scene):
    here = await scene.worker(agent(count), tables=TABLES)
    elsewhere = await scene.worker(agent(count), tables=TABLES, stores=MemoryStores())
    await scene.append(*range(40), key=b"k")
    await scene.until_done()
    assert await scene.values() == list(range(1, 41))
    await scene.until(lambda: seen(here, b"k") == seen(elsewhere, b"k") == b"40")


async def test_other_workers_values_are_seen_and_deletions_too(scene: Scene):
    runtime = await scene.worker(agent(count), tables=TABLES)
    await write(scene, b"k", b"5")
    await scene.until(lambda: seen(runtime, b"k") == b"5")
    await scene.append(0, key=b"k")
    await scene.until_done()
    assert await scene.values() == [6]
    await write(scene, b"k", None)
    await scene.until(lambda: seen(runtime, b"k") is None)


async def test_an_older_own_write_never_covers_a_newer_one_in_the_store(scene: Scene):
    """The follower may read this worker's write, and a newer one, before the commit is told that it succeeded."""
    stores = MemoryStores()

    async def overtaken(commit: Commit) -> Sequence[int]:
        try:
            bases = await commit()
        except FencedError:  # on a busy machine a worker may be expelled; it commits again
            scene.troubles.commits.append(overtaken)
            raise
        if not bases:  # the first positions of all, before any event
            scene.troubles.commits.append(overtaken)
            return bases
        await write(scene, b"k", b"newer")
        await scene.until(lambda: _world(runtime).get("world", b"k") == b"newer")
        return bases

    runtime = await scene.worker(agent(count), tables=TABLES, stores=stores)
    scene.troubles.commits = [overtaken]
    await scene.append(1, key=b"k")
    await scene.until_done()
    await scene.until(lambda: not scene.troubles.commits and runtime.statistics().commits)
    await scene.until(lambda: seen(runtime, b"k") == b"newer")
    await scene.stop(runtime)
    store = stores.open(DIRECTORY, -1, ["world"])
    assert dict(store.scan("world")) == {b"k": b"newer"}


def _world(runtime: Runtime) -> Any:
    assert runtime.replicated is not None
    return runtime.replicated._store


async def test_a_commit_that_fails_takes_its_replicated_writes_back(scene: Scene):
    async def refused(_: Commit) -> Sequence[int]:
        raise UnavailableError("not now")

    scene.troubles.commits = [refused]
    runtime = await scene.worker(agent(count), tables=TABLES)
    await scene.append(*range(10), key=b"k")
    await scene.until_done()
    assert runtime.statistics().commit_failures == 1
    assert await scene.values() == list(range(1, 11))


async def test_an_outage_at_the_start_is_waited_out(scene: Scene):
    await scene.stop(await scene.worker(agent(count), tables=TABLES))
    await write(scene, b"k", b"7")
    scene.troubles.starts = {"offsets": 3}
    runtime = await scene.worker(agent(count), tables=TABLES)
    assert scene.troubles.starts == {"offsets": 0}
    assert seen(runtime, b"k") == b"7"


async def test_a_restart_goes_on_where_the_store_stands(scene: Scene):
    runtime = await scene.worker(agent(count), tables=TABLES)
    await scene.append(*range(10), key=b"k")
    await scene.until_done()
    await scene.until(lambda: _world(runtime).get("world", b"k") == b"10")
    await scene.stop(runtime)
    await write(scene, b"other", b"1")
    runtime = await scene.worker(agent(count), tables=TABLES)
    assert (seen(runtime, b"k"), seen(runtime, b"other")) == (b"10", b"1")


@pytest.mark.parametrize("mark", [99, 0])
async def test_a_store_that_the_changelog_cannot_continue_is_wiped(scene: Scene, mark: int):
    runtime = await scene.worker(agent(count), tables=TABLES)
    await scene.append(*range(10), key=b"k")
    await scene.until_done()
    await scene.stop(runtime)
    if mark == 0:  # the changelog begins behind it
        await scene.log.write(lambda db: db.execute("update ranges set first = next"))
    store = scene.stores.open(DIRECTORY, -1, ["world", "world@0", "world@1"])
    store.write({"world": TableWrites([(b"ghost", b"1")]), "world@0": TableWrites(position=mark)})
    store.write({"world@1": TableWrites(position=mark)})
    store.close()
    runtime = await scene.worker(agent(count), tables=TABLES)
    assert seen(runtime, b"ghost") is None


async def test_the_cache_is_bounded_by_what_came_round(scene: Scene):
    runtime = await scene.worker(agent(count), tables=TABLES)
    await scene.append(*range(50))
    await scene.until_done()
    assert runtime.replicated is not None
    cache = runtime.replicated.caches["world"]
    await scene.until(lambda: not cache._in_flight and cache.statistics().entries == 0)
