"""The loop of the simulation: virtual time, and processes that are stopped and killed between two steps."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from pelton.testing.simulation.chance import Chance
from pelton.testing.simulation.loop import Process, SimulatedLoop, Stuck


def loop() -> SimulatedLoop:
    return SimulatedLoop(Chance("loop"))


def run(main: Coroutine[Any, Any, Any], one: SimulatedLoop | None = None) -> Any:
    return (one or loop()).run(Process("main"), main)


async def count(ticks: list[float]) -> None:
    """Note the time once a second."""
    while True:
        ticks.append(round(asyncio.get_running_loop().time()))
        await asyncio.sleep(1)


def test_time_jumps_to_the_next_timer():
    async def main() -> float:
        await asyncio.sleep(3_600)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(3_660, abs=0.001)


def test_a_process_that_was_killed_does_not_even_clean_up():
    told: list[str] = []

    async def victim() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            told.append("cleaned up")

    async def main() -> list[str]:
        process = Process("victim")
        one.spawn(process, victim())
        await asyncio.sleep(0.5)
        one.kill(process)
        await asyncio.sleep(5)
        return list(told)

    one = loop()
    assert run(main(), one) == []


def test_a_process_that_stands_still_goes_on_where_it_was():
    ticks: list[float] = []

    async def main() -> None:
        process = Process("sleeper")
        one.spawn(process, count(ticks))
        await asyncio.sleep(2.5)
        one.stop_process(process)
        await asyncio.sleep(5)
        one.continue_process(process)
        await asyncio.sleep(1.2)

    one = loop()
    run(main(), one)
    assert ticks == [0, 1, 2, 8, 9]


def test_a_fate_strikes_at_its_step():
    ticks: list[float] = []

    async def main() -> int:
        process = Process("mortal")
        process.meet_fate(3, lambda: one.kill(process))
        one.spawn(process, count(ticks))
        await asyncio.sleep(10)
        return process.steps

    one = loop()
    assert (run(main(), one), len(ticks)) == (3, 1)


def test_work_for_a_thread_is_done_whole_and_later():
    async def main() -> tuple[str, float]:
        one.thread_delay = lambda _: 2.0
        return await asyncio.to_thread(lambda: "done"), round(one.time())

    one = loop()
    assert run(main(), one) == ("done", 2)


def test_waiting_for_nothing_is_an_error():
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck):
        run(main())


def test_an_error_that_nobody_takes_ends_the_run():
    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    with pytest.raises(ZeroDivisionError):
        run(main())
