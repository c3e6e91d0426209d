"""What runs beside agents, and the pages of the worker."""

from __future__ import annotations

import aiohttp
import pytest

from pelton.testing.broker import free_ports
from tests.compat.harness import load, until, worker

pytestmark = pytest.mark.usefixtures("each_log")


async def test_tasks_timers_services_and_signals() -> None:
    program = load("schedules")
    async with worker(program.app):
        expected = {"task", "task of schedules", "leader", "tick", "leader tick", "cron each second", "service started"}
        await until(lambda: expected <= set(program.happened), f"all of {expected}")
        assert "cron" not in program.happened
    order = [one for one in program.happened if isinstance(one, str)]
    configured = [order.index(one) for one in ("before configured", "configured", "after configured")]
    assert configured == sorted(configured)
    assert {"service stopped", "before shutdown", "rebalanced"} <= set(order)
    assigned = [one for kind, one in (one for one in program.happened if isinstance(one, tuple)) if kind == "assigned"]
    assert [(tp.topic, tp.partition) for tp in assigned[0]] == [("events", 0), ("events", 1)]


async def test_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("APP_WEB_ENABLED", "yes")
    monkeypatch.setenv("WEB_PORT", str(port))
    program = load("schedules")
    address = f"http://127.0.0.1:{port}"
    async with worker(program.app), aiohttp.ClientSession() as client:
        async with client.get(f"{address}/hello/") as answer:
            assert await answer.text() == "hello"
        async with client.post(f"{address}/counts/k") as answer:
            assert await answer.json() == {"sent": True}
        await until(lambda: program.table["k"] == 1)
        async with client.get(f"{address}/counts/k") as answer:
            assert await answer.json() == {"key": "k", "count": 1}


async def test_a_key_is_asked_of_the_worker_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("APP_WEB_ENABLED", "yes")
    monkeypatch.setenv("WEB_PORT", str(port))
    program = load("word_count")
    async with worker(program.app), aiohttp.ClientSession() as client:
        await program.lines_topic.send(value="tea tea")
        await until(lambda: program.word_counts["tea"] == 2)
        async with client.get(f"http://127.0.0.1:{port}/count/tea") as answer:
            assert await answer.json() == {"tea": 2}
