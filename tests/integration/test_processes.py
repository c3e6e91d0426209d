"""`faust worker --processes 2`: one command, two members of the group, as real processes on both logs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from pelton.testing.broker import free_ports
from tests.integration.stuck_scene import Scene, opened
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.timeout(300)
PARTITIONS = 2


@pytest_asyncio.fixture
async def scene(broker_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(broker_url, tmp_path, PARTITIONS) as one:
        yield one


async def standing(port: int) -> tuple[int, list[int]]:
    """Return the process id and the partition numbers of the worker at a port; (0, []) while there is none."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/group") as answer:
            found = await answer.json()
            return (found["pid"], found["numbers"]) if answer.status == 200 else (0, [])
    except aiohttp.ClientConnectionError:
        return 0, []


async def shared_out(port: int) -> list[int]:
    """Wait until two processes have a partition each; return their ids."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = [await standing(port), await standing(port + 1)]
            pids = [pid for pid, _ in found]
            if sorted(numbers for _, numbers in found) == [[0], [1]]:
                return pids
            await asyncio.sleep(0.05)


async def gone(port: int) -> None:
    """Wait until no worker listens at a port and the one behind it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if (await standing(port), await standing(port + 1)) == ((0, []), (0, [])):
                return
            await asyncio.sleep(0.05)


async def test_two_processes_share_the_partitions(scene: Scene) -> None:
    worker = scene.start(
        free_ports(PARTITIONS, consecutive=True)[0], ["--processes", "2"], STUCK_PARTITIONS=str(PARTITIONS)
    )
    pids = await shared_out(worker.port)
    assert len({worker.process.pid, *pids}) == 3
    for partition in range(PARTITIONS):
        await scene.order("one", "two", partition=partition)
    await scene.until_done("one", "two", "one", "two", in_order=False)

    worker.process.send_signal(signal.SIGTERM)
    assert await worker.end() == 0
    await gone(worker.port)


async def test_processes_end_with_the_command_that_started_them(scene: Scene) -> None:
    worker = scene.start(
        free_ports(PARTITIONS, consecutive=True)[0], ["--processes=2"], STUCK_PARTITIONS=str(PARTITIONS)
    )
    await shared_out(worker.port)
    worker.process.kill()
    await gone(worker.port)
