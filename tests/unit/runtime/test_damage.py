"""Stores that were damaged on a real disk: found, told of, wiped and restored where that is safe, or a clear stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from rocksdict import Options, Rdict

from pelton.errors import ConfigurationError
from pelton.state.contract import TableWrites
from pelton.state.rocksdb import POSITION_PREFIX, RocksStores
from tests.small_disk import small_disk
from tests.unit.runtime.runtime_scene import PARTITIONS, SUMS, Scene, agent, opened
from tests.unit.runtime.task_rig import add, lane


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as one:
        one.stores = RocksStores(8 << 20)
        one.stores_directory = tmp_path / "tables"
        yield one


async def sums(stream: Any) -> Any:
    """Sum up each key, and send every number on."""
    async for number in stream:
        add(lane().raw_key or b"", number)
        yield number


async def run(scene: Scene, *numbers: int) -> None:
    """Have a worker of its own handle these, and stop."""
    runtime = await scene.worker(agent(sums))
    await scene.append(*numbers)
    await scene.until_done()
    await scene.stop(runtime)


async def check(scene: Scene, count: int) -> None:
    """Nothing was lost, doubled, or dead-lettered; the stores are what the changelogs amount to."""
    assert await scene.values() == list(range(count))
    assert await scene.records("app-dlq") == []
    table = await scene.table()
    assert sum(map(int, table.values())) == sum(range(count))
    assert scene.stored() == table


def files(scene: Scene, pattern: str) -> list[Path]:
    found = [path for number in range(PARTITIONS) for path in (scene.stores_directory / str(number)).glob(pattern)]
    assert found
    return found


def flip_bits(scene: Scene) -> None:
    """Flip bits in the data of every table file; their ends, which opening them checks, stay whole."""
    for path in files(scene, "*.sst"):
        data = bytearray(path.read_bytes())
        data[:64] = bytes(byte ^ 0xFF for byte in data[:64])
        path.write_bytes(data)


def truncate(scene: Scene) -> None:
    for path in files(scene, "*.sst"):
        os.truncate(path, path.stat().st_size // 2)


def remove_tables(scene: Scene) -> None:
    for path in files(scene, "*.sst"):
        path.unlink()


def remove_current(scene: Scene) -> None:
    for path in files(scene, "CURRENT"):
        path.unlink()


def spoil_manifest(scene: Scene) -> None:
    for path in files(scene, "MANIFEST-*"):
        path.write_bytes(b"this is no manifest" * 10)


def write_raw(change: Callable[[Rdict], None]) -> Callable[[Scene], None]:
    def spoil(scene: Scene) -> None:
        for number in range(PARTITIONS):
            path = str(scene.stores_directory / str(number))
            options = Options(raw_mode=True)
            database = Rdict(path, options, dict.fromkeys(Rdict.list_cf(path, options), options))
            change(database)
            database.close()

    return spoil


def forget_position(database: Rdict) -> None:
    """Leave values of which nobody knows what they stand for, and one that the changelog has not."""
    del database[POSITION_PREFIX + b"sums"]
    family = database.get_column_family("table:sums")
    family[b"ghost"] = b"1"
    family.close()


def spoil_position(database: Rdict) -> None:
    database[POSITION_PREFIX + b"sums"] = b"far away"


def other_format(database: Rdict) -> None:
    database[b"format"] = b"999"


DAMAGES = [
    flip_bits,
    truncate,
    remove_tables,
    remove_current,
    spoil_manifest,
    write_raw(forget_position),
    write_raw(spoil_position),
    write_raw(other_format),
]
NAMES = ["bits", "truncated", "files", "CURRENT", "manifest", "no position", "bad position", "format"]


@pytest.mark.parametrize("damage", DAMAGES, ids=NAMES)
async def test_a_damaged_store_is_told_of_wiped_and_restored(
    scene: Scene, caplog: pytest.LogCaptureFixture, damage: Callable[[Scene], None]
) -> None:
    await run(scene, *range(50))
    damage(scene)
    await run(scene, *range(50, 100))
    assert "restored" in caplog.text
    await check(scene, 100)


async def test_the_state_of_another_application_is_refused_and_left(scene: Scene) -> None:
    await run(scene, *range(50))
    scene.app_id = "other"
    runtime = await scene.worker(agent(sums), wait=False)
    with pytest.raises(ConfigurationError, match="that of application 'app', not of 'other'"):
        await scene.until_ended(runtime)
    await scene.stop(runtime)
    scene.app_id = "app"
    await run(scene, *range(50, 60))
    await check(scene, 60)


async def test_a_table_that_was_windowed_is_refused(scene: Scene) -> None:
    await run(scene, *range(50))
    runtime = await scene.worker(agent(sums), tables=[replace(SUMS, window_size_ms=1_000)], wait=False)
    with pytest.raises(ConfigurationError, match="is a windowed table now"):
        await scene.until_ended(runtime)
    await scene.stop(runtime)
    await run(scene, *range(50, 60))
    await check(scene, 60)


async def test_the_state_of_another_changelog_is_wiped(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """The topic was made again, under another name; its offsets mean something else."""
    await run(scene, *range(50))
    other = replace(SUMS, changelog=replace(SUMS.changelog, name="sums-2-changelog"))
    runtime = await scene.worker(agent(sums), tables=[other])
    await scene.append(50)
    await scene.until_done()
    await scene.stop(runtime)
    assert 'table "sums" is wiped and restored' in caplog.text
    assert set(scene.stored().values()) == {b"50"}


async def test_a_full_disk_holds_the_worker_up_until_there_is_room(
    scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(tmp_path / "disk", 32) as disk:
        scene.stores_directory = disk.path / "tables"
        runtime = await scene.worker(agent(sums))
        await scene.append(*range(50))
        await scene.until_done()
        disk.fill()
        appended = 50
        # Commits fit into what is left of the page that a store's log has begun, until one does not.
        while not runtime.statistics().commit_failures:
            assert appended < 20_000
            await scene.append(*range(appended, appended + 50))
            appended += 50
            await asyncio.sleep(0.02)
        assert "No space left on device" in caplog.text
        disk.free()
        await scene.append(*range(appended, appended + 50))
        await scene.until_done()
        await scene.stop(runtime)
        await check(scene, appended + 50)


async def test_values_without_a_position_are_not_trusted(scene: Scene) -> None:
    """Also where nothing else of the store is wrong: a key that the changelog has deleted must not come back."""
    store = scene.stores.open(scene.stores_directory, 0, ["sums"])
    store.write({"sums": TableWrites(puts=[(b"ghost", b"1")])})
    store.close()
    await run(scene, *range(50))
    await check(scene, 50)
