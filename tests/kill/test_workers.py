"""Several workers on one log, of each kind: partitions move and come back, state follows, nothing is lost or
doubled."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.kill.kill_oracle import PARTITIONS
from tests.kill.kill_process import Scene, check_results, folded_state, opened

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(params=["sqlite", "kafka"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a log."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'log.sqlite'}"
    return f"kafka://{request.getfixturevalue('kafka')}"


async def moved(scene: Scene, worker: subprocess.Popen[bytes], numbers: int) -> None:
    """Wait until the worker last told of so many partitions, and until every partition goes on."""
    await scene.until_assigned(worker, numbers)
    before = await scene.committed()
    await scene.until_committed(lambda positions: all(positions[source] > before[source] for source in scene.sources))


async def test_a_second_worker_comes_and_goes(broker: str, tmp_path: Path) -> None:
    async with opened(broker, tmp_path, seed=31) as scene:
        scene.feed()
        first = scene.start()
        await moved(scene, first, PARTITIONS)
        second = scene.start()
        await moved(scene, second, PARTITIONS // 2)
        await scene.until_assigned(first, PARTITIONS // 2)
        assert scene.end(second) == 0
        await moved(scene, first, PARTITIONS)
        await scene.end_of_payments()
        await scene.until_done()
        assert scene.end(first) == 0
        await check_results(scene)
        assert scene.state() == await folded_state(scene)


async def test_one_of_two_workers_is_killed(broker: str, tmp_path: Path) -> None:
    async with opened(broker, tmp_path, seed=32) as scene:
        scene.feed()
        first, second = scene.start(), scene.start()
        await moved(scene, first, PARTITIONS // 2)
        await scene.until_assigned(second, PARTITIONS // 2)
        scene.kill(second)
        await moved(scene, first, PARTITIONS)
        second = scene.start()
        await moved(scene, second, PARTITIONS // 2)
        scene.kill(first)
        await moved(scene, second, PARTITIONS)
        await scene.end_of_payments()
        await scene.until_done()
        assert scene.end(second) == 0
        await check_results(scene)
