"""Requests and their answers over several real workers, while workers come, go and are killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.lifecycle.worker_processes import WAIT_S, Scene, opened

pytestmark = pytest.mark.timeout(600)

PARTITIONS = 4


@pytest.fixture
async def scene(broker_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(broker_url, tmp_path, "tests.lifecycle.asking_program", "ASKING") as scene:
        yield scene


async def test_a_page_is_answered_by_whichever_worker_has_the_key(scene: Scene) -> None:
    first, second = scene.start(), scene.start()
    owned = await scene.settled([first, second], PARTITIONS)
    for here in (first, second):
        for worker in (first, second):
            key = scene.key_of(owned[worker], PARTITIONS)
            answer = await here.get(f"ask/{key}?number=21")
            assert (answer["answer"], answer["pid"]) == (42, worker.process.pid)
    joined = await first.get("join/300")
    assert [answer["answer"] for answer in joined] == [2 * number for number in range(300)]
    assert {answer["pid"] for answer in joined} == {first.process.pid, second.process.pid}
    mapped = await second.get("map/50")
    assert sorted(answer["answer"] for answer in mapped) == [2 * number for number in range(50)]
    status, answer = await first.request("ask/some?fails=1")
    assert status == 502
    assert "was dead-lettered: ValueError: no such number" in answer["error"]


async def test_an_answer_comes_from_whoever_takes_over_when_its_worker_is_killed(scene: Scene) -> None:
    asking, killed = scene.start(), scene.start()
    owned = await scene.settled([asking, killed], PARTITIONS)
    scene.gate.touch()
    key = scene.key_of(owned[killed], PARTITIONS)
    request = asyncio.create_task(asking.get(f"ask/{key}?number=4&gate=1"))
    assert await scene.begun("double") == [killed.process.pid]
    await killed.kill()
    scene.gate.unlink()
    answer = await request
    assert answer == {"answer": 8, "pid": asking.process.pid, "handled": 1}


async def test_no_answer_is_lost_while_workers_come_and_go(scene: Scene) -> None:
    asking = scene.start()
    await scene.settled([asking], PARTITIONS)
    rounds: list[list[int]] = []
    over = asyncio.Event()

    async def ask_on() -> None:
        while not over.is_set():
            rounds.append([answer["answer"] for answer in await asking.get("join/40")])

    asks = asyncio.create_task(ask_on())
    second = scene.start()
    await scene.settled([asking, second], PARTITIONS)
    third = scene.start()
    await scene.settled([asking, second, third], PARTITIONS)
    assert await second.stop() == 0
    await scene.settled([asking, third], PARTITIONS)
    await third.kill()
    await scene.settled([asking], PARTITIONS)
    over.set()
    async with asyncio.timeout(WAIT_S):
        await asks
    assert rounds
    assert all(answers == [2 * number for number in range(40)] for answers in rounds)


async def test_an_agent_that_is_killed_while_it_asks_is_followed_by_one_that_asks_again(scene: Scene) -> None:
    first, second = scene.start(), scene.start()
    await scene.settled([first, second], PARTITIONS)
    scene.gate.touch()
    await scene.append("questions", PARTITIONS, ("key", {"number": 3, "gate": True}))
    pids = await scene.begun("quadruple")
    killed = next(worker for worker in (first, second) if worker.process.pid == pids[0])
    await killed.kill()
    scene.gate.unlink()
    assert await scene.until_values("out", 1) == [{"answer": 12, "number": 3}]
    await scene.append("questions", PARTITIONS, ("key", {"number": 4}))
    assert await scene.until_values("out", 2) == [{"answer": 12, "number": 3}, {"answer": 16, "number": 4}]


async def test_a_timeout_says_who_did_not_answer_and_a_late_answer_disturbs_nobody(scene: Scene) -> None:
    worker = scene.start()
    await scene.settled([worker], PARTITIONS)
    scene.gate.touch()
    status, answer = await worker.request("ask/slow?gate=1&timeout=0.5")
    assert status == 504
    assert "no answer within 0.5 s from agent tests.lifecycle.asking_program.double to request" in answer["error"]
    assert f"{scene.run}-numbers[" in answer["error"]
    assert "agent list" in answer["error"]
    scene.gate.unlink()
    assert (await worker.get("ask/slow?number=5"))["handled"] == 2
    assert (await worker.get("ask/slow?number=6"))["answer"] == 12
