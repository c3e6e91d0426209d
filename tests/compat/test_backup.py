"""The embedded log copied under load and put back; a state folder copied and put back; both are equal to what was."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import pelton
from pelton.clock import SystemClock
from pelton.errors import ConfigurationError, UnavailableError
from pelton.log.sqlite.backup import back_up, restore
from tests.compat.harness import environment, records, settled, until, worker

KEYS = [f"customer-{number}" for number in range(7)]


def shop() -> tuple[pelton.App, Any, Any]:
    """Return a shop, its topic of orders, and its table of totals."""
    app = pelton.App("shop", topic_partitions=2)
    orders = app.topic("orders", key_type=str, value_type=int, partitions=2)
    totals = app.Table("totals", default=int, key_type=str)

    @app.agent(orders)
    async def count(stream: pelton.Stream[int]) -> None:
        async for customer, amount in stream.items():
            totals[customer] += amount

    app.finalize()
    return app, orders, totals


async def order(orders: Any, count: int) -> None:
    for number in range(count):
        await (await orders.send(key=KEYS[number % len(KEYS)], value=1))


async def everything(app: pelton.App) -> dict[str, list[Any]]:
    """Return topic -> its records, partition after partition."""
    found = {}
    for topic in sorted(await app.log_connection.topics()):
        batches = await records(app, topic)
        found[topic] = [
            (batch.partition, row)
            for batch in batches
            for row in zip(batch.offsets, batch.keys, batch.values, batch.timestamps_ms, strict=True)
        ]
    return found


async def in_file(directory: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """Return what a file of a log holds, read as any program would."""
    copy = directory / f"read-{file.name}.sqlite"
    shutil.copyfile(file, copy)
    monkeypatch.setenv("BROKER_URL", f"sqlite:///{copy}")
    app, _, _ = shop()
    await app.open_log()
    try:
        return await everything(app)
    finally:
        await app.close_log()
        monkeypatch.setenv("BROKER_URL", environment(directory)["BROKER_URL"])


async def test_a_log_that_is_written_is_copied_and_put_back(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, copy = directory / "log.sqlite", directory / "copy.sqlite"
    app, orders, _ = shop()
    async with worker(app):
        await order(orders, 50)
        await settled(app, 50)
        going_on = asyncio.create_task(order(orders, 200))
        found = await asyncio.to_thread(back_up, log, copy)
        await going_on
        assert found.records >= 50
        with pytest.raises(UnavailableError, match="in use"):
            restore(copy, log, app.clock)
        with pytest.raises(ConfigurationError, match="exists already"):
            back_up(log, copy)
    whole = await in_file(directory, log, monkeypatch)
    copied = await in_file(directory, copy, monkeypatch)
    # A moment of the log: what it was later begins with it.
    assert copied.keys() == whole.keys()
    for number in (0, 1):
        part = [row for where, row in copied["orders"] if where == number]
        assert [row for where, row in whole["orders"] if where == number][: len(part)] == part
    taken = len(copied["orders"])
    assert 50 <= taken <= 250

    aside = restore(copy, log, SystemClock())
    assert aside is not None
    assert await in_file(directory, aside, monkeypatch) == whole, "what was there is kept"
    shutil.rmtree(directory / "data")
    app, orders, totals = shop()
    async with worker(app):
        assert (await everything(app))["orders"] == copied["orders"]
        await until(lambda: sum(totals.values()) == taken, "the table of what was copied")
        await order(orders, 7)
        await until(lambda: sum(totals.values()) == taken + 7, "the log to go on")


async def test_a_damaged_copy_is_refused_and_the_log_stays(directory: Path) -> None:
    app, orders, _ = shop()
    async with worker(app):
        await order(orders, 20)
        await settled(app, 20)
    log, copy = directory / "log.sqlite", directory / "copy.sqlite"
    back_up(log, copy)
    before = log.read_bytes()
    with copy.open("r+b") as file:
        file.seek(20_000)
        file.write(b"\xff" * 40_000)
    with pytest.raises(ConfigurationError):
        restore(copy, log, SystemClock())
    assert log.read_bytes() == before
    with pytest.raises(ConfigurationError, match="there is no log"):
        restore(directory / "nothing", log, SystemClock())
    other = directory / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE topics (id)")
    with pytest.raises(ConfigurationError, match="no log of pelton"):
        restore(other, log, SystemClock())


async def test_a_state_folder_that_is_copied_saves_the_replay(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app, orders, totals = shop()
    async with worker(app):
        await order(orders, 70)
        await settled(app, 70)
        before = dict(totals.items())
    tables = Path(app.conf.tabledir)
    shutil.copytree(tables, directory / "kept")
    shutil.rmtree(tables)
    shutil.copytree(directory / "kept", tables)
    app, orders, totals = shop()
    with caplog.at_level("INFO"):
        async with worker(app):
            assert dict(totals.items()) == before
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("restored partition")]
    assert len(told) == 2
    assert all(": 0 records" in line for line in told), told
    assert sum(before.values()) == 70
