"""A flood on one topic starves no other, and what has a higher priority comes first: a real worker on either log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pelton import App, Stream, Topic
from pelton.batch import OutgoingBatch
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.timeout(600)

FLOOD = 40_000
TEXT = b'"%s"' % (b"x" * 100)


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def application(broker_url: str, directory: Path, **settings: Any) -> App:
    return App(
        f"priorities-{uuid4().hex[:8]}",
        broker=broker_url,
        datadir=str(directory),
        topic_partitions=1,
        web_enabled=False,
        **settings,
    )


@asynccontextmanager
async def running(app: App) -> AsyncIterator[None]:
    await app.start()
    try:
        await until(lambda: app.started or app.crashed)
        assert not app.crashed, app.crash_reason
        yield
    finally:
        await app.stop()


async def append(app: App, topic: Topic[Any, Any], count: int) -> None:
    await app.open_log()
    await topic.declare()
    now_ms = app.clock.time_ms()
    batch = OutgoingBatch(topic.get_topic_name(), 0, [None] * count, [TEXT] * count, [now_ms] * count)
    await app.log_connection.append([batch])


async def test_a_topic_is_read_while_the_agent_of_another_is_stuck_in_a_flood(broker_url: str, tmp_path: Path) -> None:
    """The flood is more than what may wait on the worker, and its agent does not come to the end of its first event."""
    app = application(broker_url, tmp_path, task_queue_bytes_max="256 KiB", fetch_bytes_max="256 KiB")
    flood, other = (app.topic(f"{app.conf.id}-{name}", value_type=str, partitions=1) for name in ("flood", "other"))
    gate, drained, seen = asyncio.Event(), list[str](), list[str]()

    @app.agent(flood, name="slow")
    async def slow(stream: Stream[str]) -> None:
        async for value in stream:
            await gate.wait()
            drained.append(value)

    @app.agent(other, name="quick")
    async def quick(stream: Stream[str]) -> None:
        async for value in stream:
            seen.append(value)

    await append(app, flood, FLOOD)
    async with running(app):
        assert app.runtime is not None
        await until(lambda: app.runtime is not None and app.runtime._fetching._full)
        for more in range(1, 6):
            await append(app, other, 1_000)
            await until(lambda more=more: len(seen) == more * 1_000)
        assert drained == []
        queued = sum(task.queued_bytes for task in app.runtime.statistics().tasks)
        assert queued < 2 * 1024 * 1024  # what was appended together comes together, about a mebibyte at most
        gate.set()
        await until(lambda: len(drained) == FLOOD)


@pytest.mark.parametrize("where", ["topic", "agent"])
async def test_what_has_the_higher_priority_is_handled_first(broker_url: str, tmp_path: Path, where: str) -> None:
    app = application(broker_url, tmp_path, slice_ms=1)
    first = 5 if where == "topic" else 0
    low = app.topic(f"{app.conf.id}-low", value_type=str, partitions=1)
    high = app.topic(f"{app.conf.id}-high", value_type=str, partitions=1, priority=first)
    order: list[str] = []

    def noting(name: str) -> Any:
        async def note(stream: Stream[str]) -> None:
            async for _ in stream:
                order.append(name)
                sum(range(500))  # takes some time, so that there are many slices

        return note

    app.agent(low, name="low")(noting("low"))
    app.agent(high, name="high", priority=5)(noting("high"))
    await append(app, low, FLOOD)
    await append(app, high, FLOOD)
    async with running(app):
        await until(lambda: len(order) == 2 * FLOOD)
    assert (order.count("low"), order.count("high")) == (FLOOD, FLOOD)
    # In the time that the high ones took, the low ones had what came before the first of them, and a slice a second.
    last_high = len(order) - order[::-1].index("high")
    assert order[:last_high].count("low") < FLOOD // 2
    assert order[-FLOOD // 2 :] == ["low"] * (FLOOD // 2)
