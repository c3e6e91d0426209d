"""`stream.map_async`: calls to the outside, many at once, whose results are recorded."""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest

from tests.compat.harness import load, records, until, values, worker


@pytest.fixture(autouse=True)
def _log(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_URL", broker_url)
    monkeypatch.setenv("CALLS_APP", f"calls-{uuid4().hex[:8]}")


async def put(program: ModuleType, *questions: tuple[str, str]) -> None:
    for key, question in questions:
        await (await program.questions.send(key=key, value=question))


async def answered(program: ModuleType, count: int) -> list[Any]:
    return [one["question"] for one in await values(program.app, str(program.answers), count)]


async def test_keys_overtake_each_other_and_a_restart_asks_nothing_twice_that_was_recorded() -> None:
    program = load("async_calls")
    program.released["slow"] = asyncio.Event()
    async with worker(program.app):
        await put(program, ("a", "slow"), ("b", "one"), ("a", "after slow"), ("b", "two"), ("c", "broken"))
        assert await answered(program, 2) == ["one", "two"]
        assert "after slow" not in program.calls
        await until(lambda: program.calls.get("broken") == 2)
    assert program.calls == {"slow": 1, "one": 1, "two": 1, "broken": 2}

    again = load("async_calls")
    async with worker(again.app):
        assert await answered(again, 4) == ["one", "two", "slow", "after slow"]
        await put(again, ("b", "three"))
        assert await answered(again, 5) == ["one", "two", "slow", "after slow", "three"]
        assert dict(again.asked.items()) == {"a": 2, "b": 3}
        (letters,) = await records(again.app, f"{again.app.conf.id}-dlq")
        assert letters.values == [b'"broken"']
    assert again.calls == {"slow": 1, "after slow": 1, "broken": 2, "three": 1}
