"""A worker that stands still, as its metrics, its page and the command tell it, on both logs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.integration.stuck_scene import ROOT, Scene, opened


@pytest_asyncio.fixture(params=["sqlite", "kafka"])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    if request.param == "kafka":
        broker = f"kafka://{request.getfixturevalue('kafka')}"
    else:
        broker = f"sqlite:///{tmp_path / 'log.sqlite'}"
    async with opened(broker, tmp_path) as one:
        yield one


async def lag(scene: Scene, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """Run `faust -A … lag`; return its status, and what it says of each partition."""
    command = (sys.executable, "-m", "faust", "-A", "tests.integration.stuck_program", "lag", "--json", *words)
    variables = {"STUCK_APP": scene.run, "BROKER_URL": scene.broker, "APP_DATADIR": str(scene.directory / "cli")}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=os.environ | variables, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, [json.loads(line) for line in out.splitlines()] or [{"error": err.decode()}]


async def test_a_stop_is_told_in_every_place(scene: Scene) -> None:
    worker = scene.start()
    await scene.order("one")
    await scene.until_done("one")
    assert await lag(scene) == (0, [told(scene, lag=0, status="OK", committed=1, lag_s=0.0)])
    await scene.order("wait 600", "two")  # Burrow's window of a young partition is ten seconds
    # The command judges by half of the time that it watches.
    page, (status, (seen,)) = await asyncio.gather(
        worker.until_probe(lambda _, answer: answer.get("status") == "STOP", "api/lag"), lag(scene, "--seconds", "4")
    )
    assert (status, seen["status"], seen["lag"]) == (2, "STOP", 2), seen
    assert (page["lag"], page["group"]) == (2, scene.run)
    assert page["partitions"][0]["lag_s"] > 8
    metrics = await worker.text("metrics")
    topic = f'topic="{scene.run}-orders"'
    assert f'pelton_lag_status{{partition="0",status="STOP",{topic}}} 1.0' in in_order(metrics)
    assert f'kafka_consumergroup_lag{{consumergroup="{scene.run}",partition="0",{topic}}} 2.0' in in_order(metrics)
    assert 'pelton_process_seconds_count{agent="' in metrics
    assert 'pelton_decode_seconds_bucket{le="+Inf",' in in_order(metrics)
    assert "pelton_commit_seconds_count 0.0" not in metrics


async def test_nobody_can_tell_of_a_topic_that_no_agent_reads(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path / 'log.sqlite'}", tmp_path) as scene:
        status, (told,) = await lag(scene, "--topic", "other")
        assert status == 3
        assert "no agent reads topic 'other'" in told["error"]


def told(scene: Scene, **fields: Any) -> dict[str, Any]:
    """Return what the command says of the partition; complete: one commit of ten was seen."""
    return {"topic": f"{scene.run}-orders", "partition": 0, "end": 1, "complete": 0.1, "gathers_s": 0.0, **fields}


def in_order(metrics: str) -> str:
    """Return a page with the labels of each series in order."""
    lines: list[str] = []
    for line in metrics.splitlines():
        name, brace, rest = line.partition("{")
        labels, closing, value = rest.partition("}")
        lines.append(f"{name}{brace}{','.join(sorted(labels.split(',')))}{closing}{value}")
    return "\n".join(lines)
