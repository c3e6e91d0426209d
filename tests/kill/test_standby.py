"""Workers with data directories of their own, as on several machines: a standby takes over from one that is killed."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

import pytest

from tests.kill.kill_oracle import PARTITIONS
from tests.kill.kill_process import Scene, check_results, folded_state, opened
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.timeout(600)

WARM = {"TABLE_STANDBY_REPLICAS": "1"}


@pytest.fixture(params=["sqlite", "kafka"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a log."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'log.sqlite'}"
    return f"kafka://{request.getfixturevalue('kafka')}"


def told(scene: Scene, worker: subprocess.Popen[bytes], pattern: str) -> list[tuple[str, str]]:
    """Return what a worker has told, in order: (partition number, records)."""
    return re.findall(rf"\[{worker.pid}\] \[INFO\] {pattern}", scene.output())


async def until_copied(scene: Scene, worker: subprocess.Popen[bytes]) -> None:
    """Wait until a worker has all partitions: its own, and of the others copies that have caught up.

    It may have had copies of its own ones, too, before they were its own.
    """
    async with asyncio.timeout(PATIENCE_S):
        while len(dict(copied(scene, worker) + restored(scene, worker))) < PARTITIONS:
            assert worker.poll() is None, scene.output()
            await asyncio.sleep(0.05)


def copied(scene: Scene, worker: subprocess.Popen[bytes]) -> list[tuple[str, str]]:
    return told(scene, worker, r"the standby of partition (\d) has caught up: (\d+) records")


def restored(scene: Scene, worker: subprocess.Popen[bytes]) -> list[tuple[str, str]]:
    return told(scene, worker, r"restored partition (\d): (\d+) records")


async def test_a_standby_takes_over_from_a_worker_that_is_killed(broker: str, tmp_path: Path) -> None:
    async with opened(broker, tmp_path, seed=41) as scene:
        await scene.append(20_000)
        first = scene.start(WARM, data="first")
        await scene.until_done()
        second = scene.start(WARM, data="second")
        await scene.until_assigned(second, PARTITIONS // 2)
        await scene.until_assigned(first, PARTITIONS // 2)
        await until_copied(scene, second)
        before = len(restored(scene, second))
        scene.kill(first)
        await scene.append(5_000)
        await scene.until_assigned(second, PARTITIONS)
        await scene.until_done()
        tails = {int(number): int(records) for number, records in restored(scene, second)[before:]}
        changelogs = [await scene.read(f"{scene.run}-{name}-changelog") for name in ("sums", "windows")]
        whole = [sum(len(changelog[number]) for changelog in changelogs) for number in range(PARTITIONS)]
        # Kafka lets go of everything in a rebalance: what the worker had may be "restored" too, from where it stands.
        assert PARTITIONS // 2 <= len(tails) <= PARTITIONS
        assert all(records < whole[number] / 10 for number, records in tails.items()), (tails, whole)
        assert scene.end(second) == 0
        await check_results(scene)
        assert scene.state("second") == await folded_state(scene)
