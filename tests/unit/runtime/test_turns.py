"""Many tasks with rows leave the event loop to others: counted in slices, on a clock that only the slices move."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from pelton.clock import SystemClock
from pelton.runtime.turns import Turns
from tests.unit.runtime.task_rig import agent, numbers, running

SLICE_S = 0.02
BUSY = 60
ROUNDS = 5


class Clock(SystemClock):
    """Stands still but for the work that is done."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


class Slices:
    """Counts slices of work; each takes its time on the clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.order: list[str] = []

    def work(self, name: str) -> None:
        """Do a slice."""
        self.order.append(name)
        self.clock.now_s += SLICE_S

    @contextmanager
    def between(self, callbacks: int) -> Generator[list[int]]:
        """Yield how many slices were done between the first and the last of so many callbacks, one calling the next."""
        counts: list[int] = []
        running = True

        def beat(left: int, since: int) -> None:
            if not left:
                counts.append(len(self.order) - since)
                left, since = callbacks, len(self.order)
            if running:
                asyncio.get_running_loop().call_soon(beat, left - 1, since)

        beat(callbacks, 0)
        try:
            yield counts
        finally:
            running = False


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_everybody_else_on_the_loop_waits_for_one_slice_of_sixty_busy_tasks(concurrency: int):
    slices = Slices()

    def working(name: str) -> Any:
        async def work(stream: Any) -> None:
            async for _ in stream:
                slices.work(name)

        return work

    names = [f"agent {number}" for number in range(BUSY)]
    specs = [agent(working(name), name, concurrency=concurrency) for name in names]
    async with running(*specs, clock=slices.clock) as rig:
        await rig.idle()
        for task in rig.tasks:
            task._slice_rows = 1
        with slices.between(1) as counts:
            rig.put(numbers(*range(ROUNDS)))
            await rig.idle()
    assert sum(counts) == BUSY * ROUNDS
    assert max(counts) <= concurrency
    if concurrency == 1:
        assert [slices.order.count(name) for name in names] == [ROUNDS] * BUSY
        assert sorted(slices.order[:BUSY]) == sorted(names)  # none has a second slice before all had their first


async def test_what_takes_several_callbacks_is_through_after_two_slices():
    """An answer of a broker, on its way from the socket to whoever waits for it."""
    slices = Slices()
    turns = Turns(slices.clock, SLICE_S)

    async def work(name: str) -> None:
        for _ in range(ROUNDS):
            await turns.take(lambda: 0)
            slices.work(name)

    with slices.between(6) as counts:
        await asyncio.gather(*(work(str(number)) for number in range(BUSY)))
    assert len(slices.order) == BUSY * ROUNDS
    assert max(counts) <= 2


async def test_whoever_is_to_end_waits_for_no_turn():
    slices = Slices()
    turns = Turns(slices.clock, SLICE_S)
    rank: list[int | None] = [0]
    ended: list[int] = []

    async def work(name: str) -> None:
        for _ in range(ROUNDS):
            await turns.take(lambda: 0)
            slices.work(name)

    async def leave() -> None:
        await turns.take(lambda: rank[0])
        ended.append(len(slices.order))

    busy = [asyncio.create_task(work(str(number))) for number in range(BUSY)]
    leaving = asyncio.create_task(leave())
    while not slices.order:  # noqa: ASYNC110
        await asyncio.sleep(0)
    rank[0] = None
    turns.release()
    await asyncio.gather(leaving, *busy)
    assert ended[0] <= 2
    assert len(slices.order) == BUSY * ROUNDS


async def test_slices_are_shorter_while_many_wait_for_theirs():
    turns = Turns(Clock(), SLICE_S)
    assert turns.slice_s == SLICE_S
    waiting = [asyncio.create_task(turns.take(lambda: 0)) for _ in range(BUSY)]
    await asyncio.sleep(0)
    assert turns.slice_s == SLICE_S / 4
    waiting[0].cancel()
    await asyncio.gather(*waiting[1:])
    assert turns.slice_s == SLICE_S
