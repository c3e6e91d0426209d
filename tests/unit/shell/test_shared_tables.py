"""Events that are under way at the same time and write one key of one table: no update of any of them is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

import pelton
from pelton.testing import Driver

EVENTS = 40
WAIT_S = 0.01

Write = Callable[[Any], Awaitable[None]]


class Scene:
    """Agents on one topic that write tables of one partition."""

    def __init__(self) -> None:
        self.app = pelton.App("shared", topic_partitions=1)
        self.topic = self.app.topic("events", key_type=str, value_type=int)
        self.counts = self.app.Table("counts", default=int, partitions=1)
        self.began = 0

    def agents(self, number: int, write: Write, *, concurrency: int = 1, **options: Any) -> None:
        """Declare agents that write as each event comes."""

        async def handle(stream: Any) -> None:
            async for value in stream:
                self.began += 1
                await write(value)

        for index in range(number):
            name = f"agent-{len(self.app.agents)}-{index}"
            self.app.agent(self.topic, name=name, concurrency=concurrency, **options)(handle)

    def run(self, events: int = EVENTS) -> dict[str, int]:
        """Handle so many events and return the counts; nothing may fail."""
        with Driver(self.app) as driver:
            driver.send_many(self.topic, [(str(number), number) for number in range(events)])
            driver.advance(60)
            assert driver.dead_letters() == []
            return dict(driver.table(self.counts).items())

    async def count_and_wait(self, _: Any) -> None:
        """Write, and be at the event for a while."""
        self.counts["all"] += 1
        await asyncio.sleep(WAIT_S)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize(("agents", "concurrency"), [(1, 1), (2, 1), (3, 1), (1, 4), (2, 3)])
def test_each_increment_counts_whoever_waits_behind_it(scene: Scene, agents: int, concurrency: int) -> None:
    scene.agents(agents, scene.count_and_wait, concurrency=concurrency)
    assert scene.run() == {"all": agents * EVENTS}
    assert (scene.began > agents * EVENTS) == (agents * concurrency > 1), "it is tried by events that come in between"


def test_agents_that_await_nothing_disturb_nobody(scene: Scene) -> None:
    async def count(_: Any) -> None:
        scene.counts["all"] += 1

    scene.agents(2, count)
    assert scene.run() == {"all": 2 * EVENTS}
    assert scene.began == 2 * EVENTS


def test_a_slow_agent_has_its_turn_beside_a_quick_one(scene: Scene) -> None:
    async def count_slowly(_: Any) -> None:
        scene.counts["all"] += 1
        await asyncio.sleep(20 * WAIT_S)

    scene.agents(1, count_slowly)
    scene.agents(1, scene.count_and_wait)
    assert scene.run() == {"all": 2 * EVENTS}


@pytest.mark.parametrize("concurrency", [1, 3])
def test_an_event_that_fails_gives_its_keys_back(scene: Scene, concurrency: int) -> None:
    failed: set[int] = set()

    async def count_at_the_second_attempt(value: int) -> None:
        await scene.count_and_wait(value)
        if value not in failed:
            failed.add(value)
            raise ValueError("the first attempt")

    scene.agents(
        1, count_at_the_second_attempt, concurrency=concurrency, retries=pelton.Backoff(retries=1, first=WAIT_S)
    )
    scene.agents(1, scene.count_and_wait)
    assert scene.run() == {"all": 2 * EVENTS}


def test_two_keys_in_either_order_come_to_no_standstill(scene: Scene) -> None:
    def counting(*keys: str) -> Write:
        async def count(_: Any) -> None:
            for key in keys:
                scene.counts[key] += 1
                await asyncio.sleep(WAIT_S)

        return count

    scene.agents(2, counting("a", "b"))
    scene.agents(2, counting("b", "a"))
    assert scene.run() == {"a": 4 * EVENTS, "b": 4 * EVENTS}


def test_rounds_that_wait_for_each_other_come_to_no_standstill(scene: Scene) -> None:
    """What is complete of a round keeps its keys until all of it is: two of them could wait for each other for ever."""

    def counting(*keys: str) -> Write:
        async def count(value: int) -> None:
            for key in keys[value % 2 :]:
                scene.counts[key] += 1
                await asyncio.sleep(WAIT_S)

        return count

    scene.agents(2, counting("a", "b"), concurrency=3, retries=0)
    scene.agents(1, counting("b", "a"), concurrency=3, retries=0)
    assert scene.run() == {"a": 2 * EVENTS // 2 + EVENTS, "b": 2 * EVENTS + EVENTS // 2}


def test_whoever_waited_for_a_round_and_is_idle_keeps_nobody_waiting(scene: Scene) -> None:
    async def count_after_a_while(value: int) -> None:
        await asyncio.sleep(WAIT_S)
        scene.counts["all"] += 1

    async def count_in_a_round(value: int) -> None:
        await asyncio.sleep(5 * WAIT_S * value)
        scene.counts["all"] += 1

    scene.agents(1, count_in_a_round, concurrency=2, retries=0)
    scene.agents(1, count_after_a_while, retries=0)
    other = scene.app.topic("other", key_type=str, value_type=int)

    @scene.app.agent(other, retries=0)
    async def count_too(stream: Any) -> None:
        async for _ in stream:
            scene.counts["all"] += 1

    with Driver(scene.app) as driver:
        driver.send_many(scene.topic, [(str(number), number) for number in range(4)])
        driver.advance(5)
        driver.send_many(other, [("one", 1)])
        driver.advance(5)
        assert driver.table(scene.counts)["all"] == 2 * 4 + 1
        assert driver.dead_letters() == []


@pytest.mark.parametrize("before_s", [0.1, 1.0])
def test_a_paused_agent_that_waits_for_a_key_keeps_nobody_from_it(scene: Scene, before_s: float) -> None:
    """Neither when it waits already as it is paused, nor when its event under way comes to the key later."""

    async def count_and_wait(_: int) -> None:
        scene.counts["all"] += 1
        await asyncio.sleep(2)

    async def wait_and_count(_: int) -> None:
        await asyncio.sleep(before_s)
        scene.counts["all"] += 1

    scene.agents(1, wait_and_count, retries=0)
    scene.agents(1, count_and_wait, retries=0)
    paused, _ = scene.app.agents.values()

    async def pause() -> None:
        await asyncio.sleep(0.3)
        await paused.pause()
        await asyncio.sleep(5)
        await scene.topic.send(key="one", value=2)

    with Driver(scene.app) as driver:
        driver.send_many(scene.topic, [("one", 1)], settle=False)
        driver.run(pause())
        driver.advance(60)
        assert driver.dead_letters() == []
        assert driver.table(scene.counts)["all"] == 2
        driver.run(paused.resume())
        driver.advance(1)  # it is heard by then
        driver.advance(60)
        assert driver.dead_letters() == []
        assert driver.table(scene.counts)["all"] == 4


def test_a_round_that_a_pause_cuts_off_gives_its_keys_back_and_begins_anew(scene: Scene) -> None:
    handled: list[str] = []

    async def come_second(value: int) -> None:
        key = "quick" if value else "slow"
        await asyncio.sleep(0 if value else 0.1)
        handled.append(key)
        scene.counts[key] += 1

    async def come_first(value: int) -> None:
        await asyncio.sleep(3 if value else 0)
        scene.counts["quick" if value else "slow"] += 1
        await asyncio.sleep(3)

    scene.agents(1, come_second, concurrency=2, retries=0)
    scene.agents(1, come_first, concurrency=2, retries=0)
    paused, _ = scene.app.agents.values()

    async def pause() -> None:
        await asyncio.sleep(0.5)
        await paused.pause()
        await asyncio.sleep(60)

    with Driver(scene.app) as driver:
        driver.send_many(scene.topic, [("0", 0), ("4", 1)], settle=False)  # keys of different lanes
        driver.run(pause(), within=100)
        assert driver.dead_letters() == []
        assert dict(driver.table(scene.counts).items()) == {"slow": 1, "quick": 1}
        driver.run(paused.resume())
        driver.advance(1)  # it is heard by then
        driver.advance(60)
        assert driver.dead_letters() == []
        assert dict(driver.table(scene.counts).items()) == {"slow": 2, "quick": 2}
    assert handled.count("quick") == 2, "it was complete, and its round was not"


@pytest.mark.parametrize("ahead", [False, True])
def test_an_event_that_begins_anew_and_writes_nothing_then_keeps_nobody_waiting(scene: Scene, ahead: bool) -> None:
    """Its turn at the key is over when it is complete, not when its agent writes again: it never does."""
    began: set[int] = set()

    async def count_once(value: int) -> None:
        if not began:
            began.add(value)
            scene.counts["all"] += 1
            raise AssertionError("the other agent is at the key")
        await asyncio.sleep(1)

    async def answer(value: int) -> int:
        return value

    async def ahead_of(stream: Any) -> None:
        async for value in stream.map_async(answer):
            await count_once(value)

    scene.agents(1, scene.count_and_wait, retries=0)  # it would wait for 10 s
    if ahead:
        scene.app.agent(scene.topic, name="ahead")(ahead_of)
    else:
        scene.agents(1, count_once)
    assert scene.run() == {"all": EVENTS}


def test_code_that_swallows_everything_loses_nothing(scene: Scene) -> None:
    async def count_in_a_task(value: int) -> None:
        with suppress(BaseException):
            async with asyncio.TaskGroup() as group:
                group.create_task(scene.count_and_wait(value))

    async def count_beside_others(value: int) -> None:
        await asyncio.gather(scene.count_and_wait(value), asyncio.sleep(0), return_exceptions=True)

    scene.agents(1, count_in_a_task)
    scene.agents(1, count_beside_others)
    assert scene.run() == {"all": 2 * EVENTS}


def test_conflicts_in_a_group_of_tasks_are_no_failures(scene: Scene) -> None:
    async def count_in_a_task(value: int) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(scene.count_and_wait(value))

    scene.agents(2, count_in_a_task, retries=0)
    assert scene.run() == {"all": 2 * EVENTS}


def test_windows_and_histories_are_shared_alike(scene: Scene) -> None:
    windows = scene.app.Table("windows", default=int, partitions=1).tumbling(timedelta(days=1))
    history = scene.app.Table("history", default=int, partitions=1, history=timedelta(days=1))

    async def count(value: int) -> None:
        windows["all"] += 1
        history["all"] += 1
        await scene.count_and_wait(value)

    scene.agents(2, count)
    with Driver(scene.app) as driver:
        driver.send_many(scene.topic, [(str(number), number) for number in range(EVENTS)])
        driver.advance(60)
        assert driver.dead_letters() == []
        assert [one.value for one in driver.run(scene.app.query(windows, "all"))] == [2 * EVENTS]
        assert driver.table(history)["all"] == 2 * EVENTS


def test_two_events_that_wait_for_each_other_end_as_a_dead_letter(scene: Scene) -> None:
    """One writes a key, and waits until the other one has written it, too: that cannot be."""
    first, second = asyncio.Event(), asyncio.Event()

    async def write_and_wait(_: Any) -> None:
        scene.counts["all"] += 1
        first.set()
        await second.wait()

    async def write_too(_: Any) -> None:
        await first.wait()
        scene.counts["all"] += 1
        second.set()

    scene.agents(1, write_and_wait)
    scene.agents(1, write_too, retries=0)
    with Driver(scene.app) as driver:
        driver.send_many(scene.topic, [("one", 1)], settle=False)
        driver.advance(60)
        (letter,) = driver.dead_letters()
        assert "waited for another event to be done with the key" in letter.error
