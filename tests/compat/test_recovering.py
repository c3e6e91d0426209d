"""Callbacks when tables have been restored, events that are sent on, and channels iterated by hand."""

from __future__ import annotations

import pytest

from tests.compat.harness import load, records, until, values, worker

pytestmark = pytest.mark.usefixtures("each_log")


async def test_callbacks_come_when_the_tables_are_restored() -> None:
    program = load("recovering")
    async with worker(program.app):
        assert program.happened == ["given", "decorated", "windowed"]


async def test_events_are_sent_on() -> None:
    program = load("recovering")
    async with worker(program.app):
        raw = b'{ "spaced" : 1 }'
        await program.source_topic.send(key="k", value=raw, headers={"h": "1"}, timestamp=7.5)
        assert await values(program.app, "changed", 1) == [{"changed": {"spaced": 1}}]
        (copy,) = await records(program.app, "copies")
        assert (list(copy.keys), list(copy.values), list(copy.timestamps_ms)) == ([b"k"], [raw], [7500])
        assert copy.headers is not None
        assert list(copy.headers) == [(("h", b"1"),)]
        assert program.happened[-1] == ("current", "k", {"spaced": 1})


async def test_take_with_timestamp() -> None:
    program = load("recovering")
    async with worker(program.app):
        for number in (1, 2):
            await program.app.send("stamped", value={"n": number}, timestamp=100.0 + number)
        await until(lambda: program.stamped == [{"n": 1, "at": 101.0}, {"n": 2, "at": 102.0}])


async def test_a_channel_is_iterated_by_hand() -> None:
    program = load("recovering")
    async with worker(program.app):
        await until(lambda: program.by_hand == [1])
        for value in (2, 3):
            await program.channel.put(value)
        await until(lambda: program.by_hand == [1, 3])
