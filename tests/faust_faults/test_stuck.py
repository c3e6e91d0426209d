"""Fault 16 of Faust 0.15.3: a worker that lives and does not consume."""

from __future__ import annotations

from pathlib import Path

from tests.compat.harness import until, worker
from tests.faust_faults.faults_scene import Counting, opened


async def test_16_a_partition_that_is_not_fetched_is_not_noticed(broker_url: str, tmp_path: Path) -> None:
    """Faust's detector of a stuck fetch subtracts times of two different clocks, and never finds anything.

    Here a partition that is assigned and not read is found out, told on `/livez`, and ends the worker after a while.
    """
    async with opened(broker_url, tmp_path) as scene:
        await scene.declare("events")
        counting = Counting(scene, watchdog_warn_ms=500)
        async with worker(counting.app):
            await scene.send("events", [("k", 1)])
            await scene.until_done("events")
            assert counting.app.engine.health.alive
            sources = counting.app.runtime.group.assignment()
            counting.app.runtime.group.pause(sources)  # as by mistake: nobody will resume them
            await scene.send("events", [("k", 2)])
            await until(lambda: not counting.app.engine.health.alive)
            assert "events" in str(counting.app.engine.health.troubles)
            counting.app.runtime.group.resume(sources)
            await scene.until_done("events")
            await until(lambda: counting.app.engine.health.alive)
