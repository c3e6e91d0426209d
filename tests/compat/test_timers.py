"""Timers of agents, in a worker that stops and starts before they fire, on both logs."""

from __future__ import annotations

from types import ModuleType
from uuid import uuid4

import pytest

from tests.compat.harness import load, settled, values, worker


@pytest.fixture(autouse=True)
def _log(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_URL", broker_url)
    monkeypatch.setenv("TIMERS_APP", f"timers-{uuid4().hex[:8]}")


async def order(program: ModuleType, key: str, at: float, *, paid: bool = False) -> None:
    await (await program.orders.send(key=key, value=program.Order(id=f"{key}-{at:g}", at=at, paid=paid)))


async def test_timers_of_event_time_fire_after_a_restart_and_before_the_event_that_moves_time() -> None:
    program = load("timers")
    async with worker(program.app):
        await order(program, "a", 0)
        await order(program, "b", 10)
        await settled(program.app, 2)
    again = load("timers")
    async with worker(again.app):
        await order(again, "b", 65, paid=True)
        await order(again, "a", 100, paid=True)
        assert await values(again.app, str(again.reminders), 1) == ["a unpaid a-0"]
        await settled(again.app, 2)
        assert await values(again.app, str(again.reminders), 1) == ["a unpaid a-0"], "that of b was cancelled"


async def test_a_timer_of_the_wall_clock_fires_after_a_restart_without_any_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIMERS_PATIENCE_S", "1")
    program = load("timers")
    async with worker(program.app):
        await order(program, "a", 0)
        await settled(program.app, 1)
    again = load("timers")
    async with worker(again.app):
        assert await values(again.app, str(again.reminders), 1) == ["a by the clock a-0"]
    last = load("timers")
    async with worker(last.app):
        await order(last, "b", 1)
        assert await values(last.app, str(last.reminders), 2) == ["a by the clock a-0", "b by the clock b-1"]
