"""Who leads, and for how long an answer of the group to that question holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest_asyncio

from pelton.clock import SystemClock
from pelton.runtime.leading import Leading
from tests.unit.runtime.runtime_scene import Scene, agent, opened
from tests.unit.runtime.test_standby import echo

LEASE_S = 4.0


class SettableClock(SystemClock):
    """A clock that goes by itself, and skips what the process was suspended."""

    def __init__(self) -> None:
        self.skipped_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.skipped_s


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as one:
        yield one


async def leader(scene: Scene) -> tuple[Leading, SettableClock]:
    runtime, clock = await scene.worker(agent(echo)), SettableClock()
    await scene.append(*range(20))
    await scene.until_done()
    return Leading(runtime._assignment, lambda: runtime.group, asyncio.Lock(), clock, LEASE_S), clock


async def test_an_answer_does_not_outlive_a_suspension(scene: Scene):
    leading, clock = await leader(scene)
    assert not leading.sure()
    assert await leading.confirm()
    assert leading.sure()
    clock.skipped_s += LEASE_S
    assert leading.leads()
    assert not leading.sure()
    assert await leading.confirm()
    assert leading.sure()


async def test_an_answer_that_waited_for_the_process_to_wake_up_is_none(scene: Scene):
    leading, clock = await leader(scene)

    async def suspended(really: Callable[[], Awaitable[Sequence[int]]]) -> Sequence[int]:
        ends = await really()
        clock.skipped_s += LEASE_S
        return ends

    scene.troubles.commits.append(suspended)
    assert not await leading.confirm()
    assert await leading.confirm()
