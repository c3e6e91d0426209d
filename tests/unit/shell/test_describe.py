"""`faust -A app describe`: what an application consists of, and how evenly its records lie."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pelton
from pelton.batch import OutgoingBatch
from pelton.shell.description import Description, TopicDescription, describe

TOKEN = "a-secret-of-the-web-server"
PROGRAM = f"""
import os
import pelton
app = pelton.App("shop", datadir=os.environ["HERE"], web_token="{TOKEN}")
orders = app.topic("orders", key_type=str, value_type=int, partitions=4)
bills = app.topic("bills", key_type=str, value_type=int, retention=3600)
totals = app.Table("totals", default=int)
minutes = app.Table("minutes", default=int).tumbling(60.0, expires=3600.0)

@app.agent(orders, sink=[bills])
async def bill(stream):
    async for customer, amount in stream.items():
        totals[customer] += amount
        minutes[customer] += amount
        yield amount
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(PROGRAM)
    return tmp_path


async def described(directory: Path, monkeypatch: pytest.MonkeyPatch, orders: dict[int, list[str]]) -> Description:
    """Return the description of the shop once there are orders: partition -> keys."""
    monkeypatch.setenv("HERE", str(directory))
    scope: dict[str, Any] = {"__name__": "shop"}
    exec(compile(PROGRAM, "shop.py", "exec"), scope)
    app: pelton.App = scope["app"]
    app.finalize()
    await app.open_log()
    try:
        log = app.log_connection
        if orders:
            await log.declare([spec for topic in app.declared_topics for spec in topic.specs()])
            await log.append(
                [
                    OutgoingBatch("orders", number, [key.encode() for key in keys], [b"1"] * len(keys), [0] * len(keys))
                    for number, keys in orders.items()
                ]
            )
        return await describe(app, log, sample=10)
    finally:
        await app.close_log()


def topic(told: Description, name: str) -> TopicDescription:
    return next(topic for topic in told.topics if topic.name == name)


async def test_agents_tables_and_topics_are_as_declared(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = await described(directory, monkeypatch, {})
    ((agent),) = told.agents
    assert (agent.reads, agent.tables, agent.sends) == (["orders"], ["minutes", "totals"], ["bills"])
    assert {(table.name, table.window_size_ms, table.retention_ms) for table in told.tables} == {
        ("minutes", 60_000, 3_600_000),
        ("totals", None, None),
    }
    orders = topic(told, "orders")
    assert (orders.roles, orders.declared, orders.records, orders.skew) == (["source"], 4, [], None)
    bills = topic(told, "bills")
    assert (bills.roles, bills.retention_ms) == (["output"], 3_600_000)
    assert topic(told, "shop-totals-changelog").cleanup_policy == "compact"


async def test_skew_and_the_hottest_key_are_those_of_the_records(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await described(directory, monkeypatch, {0: ["ann"] * 30, 1: ["bob"] * 5, 2: ["cid", "dan", "eve", "fay"]})
    orders = topic(told, "orders")
    assert orders.records == [30, 5, 4, 0]
    assert orders.skew == pytest.approx(30 * 4 / 39)
    assert orders.keys is not None
    # Of each partition, the ten newest: ten of ann's, five of bob's, four others.
    assert (orders.keys.records, orders.keys.distinct, orders.keys.hottest) == (19, 6, "ann")
    assert orders.keys.share == pytest.approx(10 / 19)


async def test_the_command_says_what_is_uneven_and_what_to_do(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await described(directory, monkeypatch, {0: ["ann"] * 30, 1: ["bob"] * 5, 2: ["cid", "dan", "eve", "fay"]})
    shown = run(directory).stdout
    assert "orders: partition 0 holds 3.1 times the mean\nhint: " in shown
    assert "orders: 77% of the newest records have the key ann\nhint: " in shown
    assert "bills: " not in shown


def run(directory: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pelton.shell.main", "-A", "shop", "describe", *more]
    return subprocess.run(
        command, cwd=directory, env={"HERE": str(directory)}, capture_output=True, text=True, check=True
    )


def test_the_command_shows_no_secret(directory: Path) -> None:
    text, machine = run(directory), run(directory, "--json")
    assert "orders" in text.stdout
    assert "4, not created yet" in text.stdout
    assert json.loads(machine.stdout)["settings"]["web_token"] == "(set, not shown)"
    for shown in (text, machine):
        assert TOKEN not in shown.stdout + shown.stderr
