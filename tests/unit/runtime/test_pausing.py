"""What a paused agent does not do: no time runs out for it, nothing is called, and nothing counts as silence."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import pelton
from pelton.aggregate import Count
from pelton.backoff import Backoff
from pelton.clock import SystemClock
from pelton.stream.call_limits import TokenBucket
from pelton.stream.timing import FiredTimer
from pelton.testing import Driver
from tests.patience import PATIENCE_S
from tests.unit.runtime.task_rig import SOURCE, Rig, add, agent, numbers, running, sent

TABLE = "operator"
HOUR_S = 3_600.0


class Program:
    """What the streams ask of the program around them."""

    def operator_table(self, stream: Any, name: str) -> str:
        return TABLE

    def note_windows(self, stream: Any, plan: Any, aggregates: Any) -> None:
        """Nobody reads them."""

    def call_bucket(self, stream: Any, table: str, limit: Any) -> TokenBucket:
        return TokenBucket(limit)


class Clock(SystemClock):
    """A wall clock that stands where it is put; the loop's time goes on."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def time_ms(self) -> int:
        return self.now_ms


def counting_app(*, together: bool) -> tuple[pelton.App, Any]:
    app = pelton.App("shop", topic_partitions=1)
    names = ("one", "two") if together else ("one",)
    out = app.topic("out", key_type=str, value_type=int)

    @app.agent(app.topic(*names, key_type=str, value_type=int), sink=[out])
    async def count(stream: pelton.Stream[int]) -> Any:
        async for result in stream.window(pelton.tumbling(60), idle=30).agg(count=Count()).on_close():
            yield result["count"]

    return app, count


@pytest.mark.parametrize("together", [False, True])
def test_a_pause_is_no_silence_however_long_it_is(together: bool) -> None:
    app, count = counting_app(together=together)
    topics = ["one", "two"] if together else ["one"]
    with Driver(app) as driver:
        for topic in topics:
            driver.send(topic, "ann", 1, ts=10)
        driver.advance(29)
        driver.run(count.pause("retraining"))
        driver.advance(1)
        for topic in topics:
            driver.send(topic, "ann", 2, ts=20)
        driver.advance(HOUR_S)
        assert driver.read("out") == [], "it hands out nothing"
        driver.run(count.resume())
        driver.advance(1)
        driver.send(topics[0], "ann", 3, ts=30)
        driver.advance(28)
        assert driver.read("out") == [], "silence begins at the resume"
        driver.advance(90)
        assert [record.value for record in driver.read("out")] == [2 * len(topics) + 1], "nothing was late"


def test_a_topic_that_was_silent_before_a_pause_is_not_silent_behind_it() -> None:
    app, count = counting_app(together=True)
    with Driver(app) as driver:
        driver.send("two", "ann", 1, ts=10)
        driver.send("one", "ann", 1, ts=10)
        for _ in range(4):
            driver.advance(10)
            driver.send("one", "ann", 1, ts=11)
        driver.run(count.pause())
        driver.advance(1)
        driver.send("one", "bob", 1, ts=130)
        driver.send("two", "ann", 2, ts=20)
        driver.send("two", "bob", 1, ts=130)
        driver.run(count.resume())
        driver.advance(1)
        assert [(record.key, record.value) for record in driver.read("out")] == [("ann", 7)]


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_no_wait_for_rows_comes_to_its_end_while_paused(concurrency: int) -> None:
    waits = {"paused": 0, "other": 0}

    def waiting(name: str) -> Any:
        async def function(stream: Any) -> None:
            async for chunk in stream.chunks(lambda feed: 0.002):
                waits[name] += chunk is None

        return agent(function, name, concurrency=concurrency)

    async with running(waiting("paused"), waiting("other")) as rig:
        await rig.until(lambda: waits["paused"] > 2)
        rig.tasks[0].pause()
        before, others = waits["paused"], waits["other"]
        await rig.until(lambda: waits["other"] > others + 10 * concurrency)
        assert waits["paused"] == before
        rig.tasks[0].resume()
        await rig.until(lambda: waits["paused"] > before + concurrency)


@pytest.mark.parametrize("processed", [False, True])
async def test_a_pause_holds_from_the_next_event_on_not_from_the_next_slice(processed: bool) -> None:
    seen, others, gates = list[int](), list[int](), {number: asyncio.Event() for number in range(1, 6)}

    async def slow(stream: Any) -> None:
        if processed:
            stream.add_processor(lambda value: value)
        async for number in stream:
            seen.append(number)
            await gates[number].wait()
            add(b"sum", number)

    async def other(stream: Any) -> None:
        async for number in stream:
            await gates[1].wait()
            others.append(number)

    rig = Rig(agent(slow), agent(other, "other"))
    task, beside = rig.tasks
    task.start()
    beside.start()
    try:
        rig.put(numbers(1, 2, 3, 4, 5))
        await rig.until(lambda: seen == [1])
        task.pause()
        for number in range(1, 5):
            gates[number].set()
        await rig.until(lambda: others == [1, 2, 3, 4, 5])
        await rig.until(lambda: task.idle)
        assert seen == [1], "the event under way, and no other of its slice"
        staged = rig.take()
        assert staged.positions[SOURCE].offset == 1
        assert list(staged.changelogs["sums"].values) == [b"1"]
        task.resume()
        await rig.until(lambda: seen == [1, 2, 3, 4, 5])
        assert task.events == 4
        task.pause()
        gates[5].set()
        await rig.until(lambda: task.idle)
        staged = rig.take()
        assert staged.positions[SOURCE].offset == 5
        assert list(staged.changelogs["sums"].values) == [b"15"]
    finally:
        await task.cancel()
        await beside.cancel()


async def test_a_stop_waits_for_the_event_under_way_alone() -> None:
    seen, gate = list[int](), asyncio.Event()

    async def slow(stream: Any) -> None:
        async for number in stream:
            seen.append(number)
            await gate.wait()
            add(b"sum", number)

    rig = Rig(agent(slow))
    (task,) = rig.tasks
    task.start()
    rig.put(numbers(1, 2, 3))
    await rig.until(lambda: seen == [1])
    stopping = asyncio.create_task(task.stop(PATIENCE_S))
    await asyncio.sleep(0)
    gate.set()
    await stopping
    assert seen == [1]
    assert rig.take().positions[SOURCE].offset == 1


async def test_while_paused_calls_under_way_come_to_their_end_and_none_begins() -> None:
    asked: list[int] = []
    calls: dict[int, asyncio.Future[int]] = {}

    async def ask(number: int) -> int:
        asked.append(number)
        calls[number] = asyncio.get_running_loop().create_future()
        return await calls[number]

    async def function(stream: Any) -> Any:
        stream.program = Program()
        async for answer in stream.map_async(ask, concurrency=2, order="none", retries=Backoff(retries=5, first=0)):
            yield answer

    rig = Rig(agent(function), tables=[TABLE])
    (task,) = rig.tasks
    task.start()
    try:
        rig.put(numbers(1, 2, 3, 4, keys=[b"a", b"b", b"c", b"d"]))
        await rig.until(lambda: asked == [1, 2])
        task.pause()
        calls[1].set_result(10)
        calls[2].set_exception(ConnectionError("not now"))
        await rig.until(lambda: task.events == 1)
        for _ in range(50):
            await asyncio.sleep(0)
        assert asked == [1, 2], "neither a new call nor another attempt"
        staged = rig.take()
        assert (sent(staged), staged.positions[SOURCE].offset) == ([b"10"], 1)
        task.resume()
        await rig.until(lambda: sorted(asked) == [1, 2, 2, 3])
        task.pause()
        calls[3].set_exception(ConnectionError("not now"))
        calls[2].set_result(20)
        await rig.until(lambda: task.events == 2)
        async with asyncio.timeout(PATIENCE_S):
            await task.stop(HOUR_S)
        assert sorted(asked) == [1, 2, 2, 3], "an attempt that waits for the resume holds no stop up"
    finally:
        await task.cancel()


async def test_timers_of_the_wall_clock_wait_for_the_resume() -> None:
    clock, gate, seen = Clock(), asyncio.Event(), list[str]()

    async def function(stream: Any) -> None:
        stream.program = Program()
        timers = stream.timers()
        async for one in timers:
            if isinstance(one, FiredTimer):
                seen.append(one.name)
                continue
            timers.set("soon", after=60, clock="wall")
            seen.append("event")
            await gate.wait()

    rig = Rig(agent(function), tables=[TABLE], clock=clock)
    (task,) = rig.tasks
    task.start()
    try:
        rig.put(numbers(1))
        await rig.until(lambda: seen == ["event"])
        task.pause()
        clock.now_ms += 61_000
        gate.set()
        await rig.idle()
        assert seen == ["event"]
        task.resume()
        await rig.until(lambda: seen == ["event", "soon"])
    finally:
        await task.cancel()


@pytest.mark.parametrize("owed", ["a timer", "a final result", "a frame"])
async def test_what_is_due_when_the_code_begins_anew_waits_for_the_end_of_a_pause(owed: str) -> None:
    seen: list[Any] = []

    async def results(stream: Any) -> Any:
        stream.program = Program()
        if owed == "a timer":
            timers = stream.timers()
            async for one in timers:
                if isinstance(one, FiredTimer):
                    yield one.name
                else:
                    timers.set("soon", after=-1)
            return
        windows = stream.window(pelton.tumbling(0.001)).agg(count=Count())
        async for one in windows.on_close() if owed == "a final result" else windows.batches(final=True):
            yield type(one)

    async def function(stream: Any) -> Any:
        async for one in results(stream):
            seen.append(one)
            if len(seen) == 1:
                rig.tasks[0].pause()
                raise ValueError("it fails, and is paused before it is tried again")
            yield one

    rig = Rig(agent(function), tables=[TABLE], retries=3)
    rig.tasks[0].start()
    try:
        rig.put(numbers(1, 2))
        await rig.until(lambda: seen)
        await rig.idle()
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(seen) == 1
        rig.tasks[0].resume()
        await rig.until(lambda: len(seen) > 1)
    finally:
        await rig.tasks[0].cancel()
