"""Agents that are paused and resumed, from the command line and the web, over several real workers and restarts."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.lifecycle.worker_processes import Scene, Worker, opened

pytestmark = pytest.mark.timeout(600)

PARTITIONS = 2
#: Long enough that a busy machine does not seem stuck.
WARN_S, EXIT_S = 3, 8
AGENT = "tests.lifecycle.pausing_program.bill"
TOKEN = "a secret of twenty-one"


@pytest.fixture
async def scene(broker_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(broker_url, tmp_path, "tests.lifecycle.pausing_program", "PAUSING") as scene:
        yield scene


async def command(scene: Scene, *words: str, status: int = 0) -> str:
    """Run `faust -A … agent …` to its end, and return what it printed."""
    return await scene.command("agent", *words, status=status)


async def listed(scene: Scene) -> dict[str, Any]:
    """Return what `agent list` tells of the agent that is paused."""
    lines = (await command(scene, "list", "--json")).splitlines()
    return next(told for line in lines if (told := json.loads(line))["agent"] == AGENT)


async def until_told(worker: Worker, paused: list[str]) -> None:
    await worker.until("partitions", lambda status, told: status == 200 and told["paused"] == paused)


async def order(scene: Scene, *numbers: int) -> None:
    await scene.append("orders", PARTITIONS, *((f"key-{number}", number) for number in numbers))


async def test_a_pause_reaches_all_workers_and_outlives_restarts_while_others_go_on(scene: Scene) -> None:
    # The watchdog would end a worker that does not read what is there.
    watchdog = {"PELTON_WATCHDOG_WARN_MS": str(WARN_S * 1000), "PELTON_WATCHDOG_EXIT_MS": str(EXIT_S * 1000)}
    first, second = scene.start(**watchdog), scene.start(**watchdog)
    await scene.settled([first, second], PARTITIONS)
    await order(scene, *range(10))
    assert sorted(await scene.until_values("billed", 10)) == list(range(10))

    assert await command(scene, "pause", "bill", "--reason", "prices change") == f"paused {AGENT}\n"
    for worker in (first, second):
        await until_told(worker, [AGENT])
    status, told = await first.request("readyz")
    assert (status, told) == (200, {"ready": True, "waiting": [], "paused": [AGENT]})
    await order(scene, *range(10, 20))
    assert sorted(await scene.until_values("packed", 20)) == list(range(20))  # the other agent goes on
    assert len(await scene.values("billed")) == 10

    await first.kill()
    assert await second.stop() == 0
    third = scene.start(**watchdog)
    await scene.settled([third], PARTITIONS)
    await until_told(third, [AGENT])
    await order(scene, *range(20, 30))
    assert sorted(await scene.until_values("packed", 30)) == list(range(30))
    watched_until = time.monotonic() + EXIT_S + 2
    while time.monotonic() < watched_until:
        assert (await third.get("livez"))["alive"]
        await asyncio.sleep(0.1)
    assert len(await scene.values("billed")) == 10
    told = await listed(scene)
    assert (told["lag"] >= 20, told["paused"], told["reason"]) == (True, True, "prices change")

    assert await command(scene, "resume", AGENT) == f"resumed {AGENT}\n"
    assert sorted(await scene.until_values("billed", 30)) == list(range(30))
    await until_told(third, [])
    await third.until("readyz", lambda status, told: status == 200 and not told["paused"])
    assert len(await scene.values("packed")) == 30


async def test_the_web_pauses_too_for_those_who_have_the_token(scene: Scene) -> None:
    worker = scene.start(PELTON_WEB_TOKEN=TOKEN)
    own = {"headers": {"Authorization": f"Bearer {TOKEN}"}}
    await worker.until("readyz", lambda status, _: status == 200)
    for page in ("agents/bill/pause", "agents/bill/resume"):
        assert (await worker.request(page, "POST"))[0] == 401
    status, told = await worker.request("agents/bill/pause?reason=enough", "POST", **own)
    assert (status, told) == (202, {"agent": AGENT, "paused": True})
    await worker.until("readyz", lambda status, told: told["paused"] == [AGENT])
    status, told = await worker.request("agents", **own)
    assert [(one["agent"], one["paused"], one.get("reason")) for one in told] == [
        (AGENT, True, "enough"),
        ("tests.lifecycle.pausing_program.pack", False, None),
    ]
    await order(scene, 1, 2, 3)
    assert sorted(await scene.until_values("packed", 3)) == [1, 2, 3]
    assert await scene.values("billed") == []
    assert (await worker.request("agents/bill/resume", "POST", **own))[0] == 202
    assert sorted(await scene.until_values("billed", 3)) == [1, 2, 3]
    status, told = await worker.request("agents/bil/pause", "POST", **own)
    assert (status, told["hint"]) == (404, "did you mean bill?")
    assert (await worker.request("agents/bill/pause", **own))[0] == 405


async def test_names_that_mean_no_agent_are_told(scene: Scene) -> None:
    assert "there is no agent 'bil'\nhint: did you mean bill?" in await command(scene, "pause", "bil", status=1)
    assert "Usage:" in await command(scene, "pause", status=2)
    assert "--reason" in await command(scene, "pause", "--help")
    assert "lag" in await command(scene, "list")
