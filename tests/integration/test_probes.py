"""The probes of real workers: `/readyz` says whether they work yet, and why not."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tests.integration.stuck_scene import alive, opened


async def test_a_worker_is_ready_once_its_partitions_run(tmp_path: Path) -> None:
    """Somebody keeps others from writing to the log, so no worker can join the group; it lives all the same."""
    async with opened(f"sqlite:///{tmp_path / 'log.sqlite'}", tmp_path) as scene:
        await scene.order("one")
        blocker = sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        worker = scene.start()
        answer = await worker.until_probe(lambda status, _: status == 503, "readyz")
        assert answer == {"ready": False, "waiting": ["the worker starts"], "paused": []}
        assert alive(*await worker.probe("livez"))
        blocker.execute("ROLLBACK")
        blocker.close()
        answer = await worker.until_probe(lambda status, _: status == 200, "readyz")
        assert answer == {"ready": True, "waiting": [], "paused": []}
        await scene.until_done("one")
        metrics = await worker.text("metrics")
        assert "pelton_records_committed_total 1.0\n" in metrics
        assert 'pelton_partition_running{partition="0"} 1.0\n' in metrics
        assert 'pelton_restore_left_seconds{partition="0"} 0.0\n' in metrics
