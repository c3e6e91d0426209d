"""CONSUMER_GROUP_INSTANCE_ID: a worker that is started anew keeps its partitions, and nobody else hears of it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from tests.integration.stuck_scene import Scene, Worker, opened
from tests.patience import PATIENCE_S


def start(scene: Scene, name: str, disk: str, port: int | None = None) -> Worker:
    """Start a worker under a name, on a disk of its own: what it is known by must not come from there."""
    directory = str(scene.directory / disk)
    return scene.start(port, CONSUMER_GROUP_INSTANCE_ID=name, APP_DATADIR=directory, BROKER_SESSION_TIMEOUT="60")


async def standing(worker: Worker) -> tuple[int, list[int]]:
    """Return the generation that a worker is in, and its partition numbers; (-1, []) while it starts."""
    status, answer = await worker.probe("group")
    return (answer["generation"], answer["numbers"]) if status == 200 else (-1, [])


async def test_a_restart_is_no_rebalance(kafka: str, tmp_path: Path) -> None:
    async with opened(f"kafka://{kafka}", tmp_path) as scene:
        workers = {name: start(scene, name, name) for name in ("a", "b")}
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = {name: await standing(worker) for name, worker in workers.items()}
                numbers = [number for _, own in found.values() for number in own]
                if numbers == [0] and len({generation for generation, _ in found.values()}) == 1:
                    break
                await asyncio.sleep(0.1)
        (owner,) = [name for name, (_, own) in found.items() if own]
        generation, _ = found[owner]
        await scene.order("one")
        await scene.until_done("one")

        workers[owner].process.send_signal(signal.SIGTERM)
        assert await workers[owner].end() == 0
        # At the address that the others know; to tell them of another one takes a rebalance.
        workers[owner] = start(scene, owner, "another", workers[owner].port)
        await scene.order("two")
        await scene.until_done("one", "two")
        assert await standing(workers[owner]) == (generation, [0])
        (other,) = workers.keys() - {owner}
        assert await standing(workers[other]) == (generation, [])
