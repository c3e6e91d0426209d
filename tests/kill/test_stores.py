"""Local stores of real workers that were damaged by a power cut, or are held by another process."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kill.kill_process import ROOT, Scene, check_results, folded_state, opened
from tests.kill.kill_program import PARTITIONS

pytestmark = pytest.mark.timeout(600)

SEED = 20_260_404
HOLDER = """
import sys
from pathlib import Path
from pelton.state.rocksdb import RocksStores
store = RocksStores().open(Path(sys.argv[1]), 0, [])
print(store.path, flush=True)
sys.stdin.read()
"""


def stores(scene: Scene) -> Path:
    """Return where the workers' stores are."""
    (directory,) = scene.directory.glob("data/**/tables")
    return directory


def cut_short(log: Path) -> None:
    """As a power cut leaves it: the tail never came to the disk."""
    os.truncate(log, log.stat().st_size * 2 // 3)


def flip(log: Path) -> None:
    """As a bad disk leaves it: a byte near the end is another one."""
    data = bytearray(log.read_bytes())
    data[len(data) * 9 // 10] ^= 0xFF
    log.write_bytes(data)


@pytest.mark.parametrize("damage", [cut_short, flip])
async def test_a_torn_write_ahead_log(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """RocksDB replays it up to the damage, an earlier state with its position; the changelog holds the rest."""
    async with opened(f"sqlite:///{tmp_path / 'log.sqlite'}", tmp_path, seed=SEED) as scene:
        await scene.append(5_000)
        worker = scene.start({"PELTON_TABLE_CACHE_BYTES_MAX": "64 MiB"})
        await scene.until_done()
        scene.kill(worker)  # what is not flushed is in the write-ahead log only
        for number in range(PARTITIONS):
            newest = max((stores(scene) / str(number)).glob("*.log"), key=lambda path: int(path.stem))
            assert newest.stat().st_size > 1_000
            damage(newest)
        damaged = scene.state()
        assert damaged != await folded_state(scene), "nothing was lost, so nothing is shown"

        await scene.append(5_000)
        worker = scene.start()
        await scene.until_done()
        assert scene.end(worker) == 0
        await check_results(scene)
        assert scene.state() == await folded_state(scene)


async def test_a_store_that_another_process_holds(tmp_path: Path) -> None:
    """The worker says whose it is, leaves it alone, and works on a copy; the store is as good as ever afterwards."""
    async with opened(f"sqlite:///{tmp_path / 'log.sqlite'}", tmp_path, seed=SEED) as scene:
        await scene.append(5_000)
        worker = scene.start()
        await scene.until_done()
        assert scene.end(worker) == 0

        pipe = asyncio.subprocess.PIPE
        command = [sys.executable, "-c", HOLDER, str(stores(scene))]
        holder = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe)
        assert holder.stdin is not None
        assert holder.stdout is not None
        held = (await holder.stdout.readline()).decode().strip()
        assert held == str(stores(scene) / "0")
        worker = scene.start()
        await scene.append(5_000)
        await scene.until_done()
        assert scene.end(worker) == 0
        assert f"store {held} is in use by another process: the next copy is used, and restored" in scene.output()
        holder.stdin.close()
        await holder.wait()

        worker = scene.start()
        await scene.append(1_000)
        await scene.until_done()
        assert scene.end(worker) == 0
        await check_results(scene)
        assert scene.state() == await folded_state(scene)
