"""`kill -9` of a worker at random moments, on both logs: nothing is lost, nothing is doubled, byte for byte."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path

import pytest

from tests.kill.kill_process import Scene, check_results, folded_state, opened

pytestmark = pytest.mark.timeout(600)

KILLS = 20
SEED = 20_260_101


@pytest.fixture(params=["sqlite", "kafka"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a log."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'log.sqlite'}"
    return f"kafka://{request.getfixturevalue('kafka')}"


async def kill_somewhere(scene: Scene, chance: random.Random) -> None:
    """Start a worker and kill it: mostly while it commits, now and then while it starts and restores."""
    before = sum((await scene.committed()).values())
    worker = scene.start()
    if chance.random() < 0.8:
        await scene.until_committed(lambda positions: sum(positions.values()) > before)
        await asyncio.sleep(chance.uniform(0, 0.5))  # the moment, not a wait
    else:
        await asyncio.sleep(chance.uniform(0.5, 2.0))
    scene.kill(worker)


async def test_twenty_kills_change_nothing(broker: str, tmp_path: Path) -> None:
    async with opened(broker, tmp_path, seed=SEED) as scene:
        chance = random.Random(SEED)
        scene.feed()
        for _ in range(KILLS):
            await kill_somewhere(scene, chance)
        worker = scene.start()
        await scene.end_of_payments()
        await scene.until_done()
        assert scene.end(worker) == 0
        await check_results(scene)
        assert scene.state() == await folded_state(scene)


async def test_lost_state_is_restored_from_the_changelog(broker: str, tmp_path: Path) -> None:
    async with opened(broker, tmp_path, seed=SEED + 1) as scene:
        await scene.append(20_000)
        worker = scene.start()
        await scene.until_done()
        assert scene.end(worker) == 0
        before = scene.state()
        assert all(tables["windows"] and tables["sums"] for tables in before)

        shutil.rmtree(tmp_path / "data")
        worker = scene.start()
        await scene.append(1)
        await scene.until_done()
        await scene.append(5_000)
        await scene.until_done()
        assert scene.end(worker) == 0
        await check_results(scene)
        assert scene.state() == await folded_state(scene)
