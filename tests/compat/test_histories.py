"""Tables with history in a worker that stops, starts and loses its disk, on both logs with --kafka."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest

from pelton import App, Version
from pelton.errors import ConfigurationError, HistoryExpiredError
from pelton.shell.program import build_program
from tests.compat.harness import load, settled, until, values, worker


@pytest.fixture
def log(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the programs of a test work on this log, with names of their own."""
    monkeypatch.setenv("BROKER_URL", broker_url)
    monkeypatch.setenv("HISTORIES_RUN", f"histories-{uuid4().hex[:8]}")
    return broker_url


async def tell(program: ModuleType, key: str, at: float, amount: int | None) -> None:
    await (await program.told.send(key=key, value=program.Price(at=at, amount=amount)))


def check(program: ModuleType) -> None:
    """Compare what the table says of its past with what was told."""
    prices = program.prices
    assert [(one.since_ms, one.until_ms, one.value, one.deleted) for one in prices.versions("a")] == [
        (100_000, 200_000, 1, False),
        (200_000, 200_000, 2, False),
        (200_000, 300_000, 3, False),
        (300_000, None, None, True),
    ]
    found = [prices.at(when).get("a") for when in (99, 100, 199.9, 200, 299, 300, 10_000)]
    assert found == [None, 1, 1, 3, 3, None, None]
    assert dict(prices.at(datetime.fromtimestamp(250, UTC)).items()) == {"a": 3, "b": 7}
    assert dict(prices.items()) == {"b": 7}
    with pytest.raises(KeyError):
        prices.at(99)["a"]
    with pytest.raises(KeyError):
        prices.at(300)["a"]
    assert "a" in prices.at(299)
    assert len(prices.at(150)) == 1


async def test_the_past_survives_restarts_and_a_lost_disk(log: str, directory: Path) -> None:
    program = load("histories")
    async with worker(program.app):
        await tell(program, "a", 100, 1)
        await tell(program, "a", 200, 2)
        await tell(program, "a", 150, 3)  # late: it holds from where the one before it begins
        await tell(program, "b", 240, 7)
        await tell(program, "a", 300, None)
        await settled(program.app, 5)
        check(program)
        assert [one[1:] for one in program.seen if one[0] == "a"] == [(0, 1, 1), (1, 2, 2), (2, 3, 1), (3, 4, None)]
        for at in (150.0, 250.0, 350.0):
            await program.sales.send(key="a", value=program.Sale(at=at))
        told = sorted(await values(program.app, str(program.sold), 3))
        assert told == [["a", 150.0, 1], ["a", 250.0, 3], ["a", 350.0, None]]

    again = load("histories")
    async with worker(again.app):
        check(again)

    shutil.rmtree(directory / "data" / "v1" / "tables")
    restored = load("histories")
    async with worker(restored.app):
        check(restored)
        # One partition's stream time says nothing about another's: tell the key that is asked for.
        await tell(restored, "a", 250 + 3600, 4)
        await settled(restored.app, 1)
        await until(lambda: len(restored.prices.versions("a")) == 3)
        assert restored.prices.versions("a") == [
            Version(3, 200_000, 300_000),
            Version(None, 300_000, 3_850_000, deleted=True),
            Version(4, 3_850_000, None),
        ]
        assert restored.prices.at(250)["a"] == 3
        with pytest.raises(HistoryExpiredError, match="kept back to 250000 ms"):
            restored.prices.at(249)["a"]


def an_app() -> App:
    return App("histories")


def test_what_cannot_have_history_says_so() -> None:
    app = an_app()
    with pytest.raises(ConfigurationError, match="is global"):
        app.GlobalTable("g", history=60)
    with pytest.raises(ConfigurationError, match="has windows and history="):
        app.Table("w", history=60).tumbling(60)
    with pytest.raises(ConfigurationError, match="longer than a millisecond"):
        app.Table("n", history=0)
    with pytest.raises(ConfigurationError, match="it has none"):
        app.Table("t", time="at")
    with pytest.raises(ConfigurationError, match="has no history"):
        app.Table("p").versions("a")
    with pytest.raises(ConfigurationError, match="has no history"):
        app.Table("q").at(0)["a"]


async def test_sets_have_history_and_names_must_not_clash() -> None:
    app = an_app()
    members = app.SetTable("members", history=timedelta(days=1))
    topic = app.topic("joins", key_type=str, value_type=str)
    found: list[Any] = []

    @app.agent(topic)
    async def join(stream: Any) -> None:
        async for key, value in stream.items():
            members[key].add(value)
            found.append([one.value for one in members.versions(key)])

    async with worker(app):
        for name in ("ann", "bob"):
            await topic.send(key="club", value=name)
        await until(lambda: len(found) == 2)
        assert found == [[{"ann"}], [{"ann"}, {"ann", "bob"}]]

    clash = an_app()
    clash.Table("a", history=1)
    clash.Table("a-history")
    with pytest.raises(ConfigurationError, match='two tables are named "a-history"'):
        await build_program(clash)
