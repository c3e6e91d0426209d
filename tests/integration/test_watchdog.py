"""Workers that get stuck, as real processes on both logs: they say so on /livez, and end so that others go on."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from pelton.runtime.watchdog import EXIT_STATUS
from pelton.testing.broker import Cluster
from tests.integration.stuck_scene import EXIT_S, WARN_S, Scene, alive, opened, stuck


@pytest_asyncio.fixture(params=["sqlite", "kafka"])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    if request.param == "kafka":
        broker = f"kafka://{request.getfixturevalue('kafka')}"
    else:
        broker = f"sqlite:///{tmp_path / 'log.sqlite'}"
    async with opened(broker, tmp_path) as one:
        yield one


async def test_an_agent_that_blocks_the_loop_ends_the_worker(scene: Scene) -> None:
    worker = scene.start()
    await scene.order("one")
    await scene.until_done("one")
    await scene.order("block 1000", "two")
    assert await worker.end() == EXIT_STATUS
    output = worker.output()
    assert "the event loop is blocked in" in output
    assert "time.sleep(float(seconds))" in output  # the line of the agent, with its stack
    assert f"ends with status {EXIT_STATUS}" in output


async def test_the_probe_tells_of_a_stall_that_has_passed(scene: Scene) -> None:
    worker = scene.start()
    await scene.order("one", f"block {WARN_S + 2}", "two")
    answer = await worker.until_probe(stuck)
    assert "the event loop is blocked in" in answer["troubles"][0]["what"]
    await scene.until_done("one", f"block {WARN_S + 2}", "two")
    await worker.until_probe(alive)
    assert "it goes on: the event loop is blocked" in worker.output()


async def test_an_agent_that_waits_is_no_stall(scene: Scene) -> None:
    """Longer than the limit, with records waiting behind it that cannot be committed."""
    worker = scene.start()
    waits = f"wait {EXIT_S + 4}"
    await scene.order("one", waits, "two")
    await scene.until_done("one")
    while await scene.done() == ["one"]:
        status, answer = await worker.probe()
        assert status in (0, 200), answer
        assert worker.process.poll() is None, worker.output()
    await scene.until_done("one", waits, "two")
    assert "stuck for" not in worker.output()


async def test_a_fetch_that_never_returns_ends_the_worker_and_another_goes_on(scene: Scene) -> None:
    """It says that it lives, so the group would never take its partitions away."""
    await scene.order("one")
    worker = scene.start(STUCK_REBALANCE="1")
    answer = await worker.until_probe(stuck)
    assert "the fetch does not come round" in str(answer)
    other = scene.start()
    assert await worker.end() == EXIT_STATUS
    assert "pelton fetch" in worker.output()  # the stacks of the tasks
    await scene.until_done("one")
    await other.until_probe(alive)


async def test_a_commit_that_never_succeeds_ends_the_worker_and_another_goes_on(kafka: str, tmp_path: Path) -> None:
    """The broker answers and lag grows, but somebody has deleted what the agent sends to."""
    async with opened(f"kafka://{kafka}", tmp_path) as scene:
        worker = scene.start()
        await worker.until_probe(lambda status, _: status == 200, "readyz")
        await scene.log.delete_topics([f"{scene.run}-done"])
        await scene.order("one")
        answer = await worker.until_probe(stuck)
        assert "complete events wait for a commit, and none succeeds" in str(answer)
        assert not answer["outage"]
        await scene.order("two")
        assert await worker.end() == EXIT_STATUS
        scene.start()
        await scene.until_done("one", "two")


async def test_code_that_keeps_the_interpreter_to_itself_ends_the_worker(tmp_path: Path) -> None:
    """Not even the watchdog's thread has a turn; a signal ends the process."""
    async with opened(f"sqlite:///{tmp_path / 'log.sqlite'}", tmp_path) as scene:
        worker = scene.start(PELTON_WATCHDOG_EXIT_MS="3000")
        await scene.order("one")
        await scene.until_done("one")
        await scene.order("backtrack")
        assert await worker.end() == -signal.SIGVTALRM
        assert "obey" in worker.output()


async def test_a_worker_that_was_suspended_was_not_stuck(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path / 'log.sqlite'}", tmp_path) as scene:
        worker = scene.start(PELTON_WATCHDOG_EXIT_MS="3000")
        await scene.order("one")
        await scene.until_done("one")
        worker.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(8)  # longer than both the watchdog and the interpreter's own timer wait
        worker.process.send_signal(signal.SIGCONT)
        await scene.order("two")
        await scene.until_done("one", "two")
        assert worker.process.poll() is None


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(directory=tmp_path / "kafka", port=0, quick_start=True) as cluster:
        yield cluster


async def test_a_broker_that_is_suspended_is_told_of_and_outlived(broker: Cluster, tmp_path: Path) -> None:
    """For longer than the limit, in the middle of work."""
    async with opened(f"kafka://{broker.bootstrap}", tmp_path) as scene:
        # Kafka has ten seconds to answer before that counts as an outage.
        worker = scene.start(PELTON_WATCHDOG_WARN_MS="15000", PELTON_WATCHDOG_EXIT_MS="20000")
        await scene.order("one", "wait 5", "two")
        await scene.until_done("one")
        (pid,) = broker.running().values()
        os.kill(pid, signal.SIGSTOP)
        try:
            answer = await worker.until_probe(lambda _, answer: answer.get("outage"))
            assert answer["alive"], answer
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                status, answer = await worker.probe()
                assert status in (0, 200), answer
                assert worker.process.poll() is None, worker.output()
                await asyncio.sleep(0.2)
        finally:
            os.kill(pid, signal.SIGCONT)
        await scene.until_done("one", "wait 5", "two")
        await worker.until_probe(lambda status, answer: alive(status, answer) and not answer["outage"])
