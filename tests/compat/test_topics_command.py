"""`faust -A app topics`: the plan, what of it is carried out, and what is refused, on a real log."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

import pelton
from pelton.batch import OutgoingBatch
from pelton.errors import TopicMismatch
from pelton.log.contract import TopicSpec
from pelton.shell.topic_keeping import Comparison, apply, compare

PROGRAM = """
import os
import pelton
name = os.environ["NAME"]
app = pelton.App(name, topic_partitions=4)
orders = app.topic(f"{name}-orders", key_type=str, value_type=int, partitions=4, retention=float(os.environ["KEPT"]))
bills = app.topic(f"{name}-bills", key_type=str, value_type=int, config={"max.message.bytes": 5000})
totals = app.Table("totals", default=int)

@app.agent(orders, sink=[bills])
async def bill(stream):
    async for customer, amount in stream.items():
        totals[customer] += amount
        yield amount
"""
OWN = ("bills", "control", "dlq", "orders", "totals-changelog")


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broker_url: str) -> str:
    """Give the name of a shop of its own, which the environment tells its program."""
    name = f"shop-{uuid4().hex[:8]}"
    (tmp_path / "shop.py").write_text(PROGRAM)
    for variable, value in {"NAME": name, "BROKER_URL": broker_url, "KEPT": "3600", "APP_DATADIR": tmp_path}.items():
        monkeypatch.setenv(variable, str(value))
    return name


@pytest_asyncio.fixture
async def app(name: str) -> Any:
    scope: dict[str, Any] = {"__name__": "shop"}
    exec(compile(PROGRAM, "shop.py", "exec"), scope)
    app: pelton.App = scope["app"]
    app.finalize()
    await app.open_log()
    yield app
    await app.log_connection.delete_topics([topic for topic in await app.log_connection.topics() if name in topic])
    await app.close_log()


async def applied(app: pelton.App, *verdicts: str) -> Comparison:
    """Apply what has these verdicts, and return how it is then."""
    found = await compare(app, app.log_connection)
    todo = [change for change in found.changes if change.verdict in verdicts]
    done = [topic async for topic in apply(app.log_connection, found.specs, todo)]
    assert sorted(done) == sorted({change.topic for change in todo})
    return await compare(app, app.log_connection)


async def test_missing_topics_are_made_as_a_worker_would(app: pelton.App, name: str) -> None:
    found = await compare(app, app.log_connection)
    assert {change.topic for change in found.changes} == {f"{name}-{own}" for own in OWN}
    after = await applied(app, "safe")
    assert after.changes == []
    orders, changelog = after.states[f"{name}-orders"], after.states[f"{name}-totals-changelog"]
    assert (orders.partitions, orders.config["retention.ms"]) == (4, "3600000")
    assert (changelog.partitions, changelog.config["cleanup.policy"]) == (4, "compact")
    assert after.states[f"{name}-bills"].config["max.message.bytes"] == "5000"
    # A worker finds all of them as it wants them.
    assert set(await app.log_connection.declare(after.specs)) == {f"{name}-{own}" for own in OWN}


async def test_what_differs_is_changed_where_nothing_is_lost(app: pelton.App, name: str) -> None:
    log = app.log_connection
    orders, bills, gone = f"{name}-orders", f"{name}-bills", f"{name}-old-changelog"
    # Records are of today: retention would delete others while we look.
    now_ms = app.clock.time_ms()
    await log.declare([TopicSpec(orders, 2, retention_ms=10_000_000), TopicSpec(bills, 2, retention_ms=-1)])
    await log.declare([TopicSpec(gone, 1, cleanup_policy="compact")])
    await log.append([OutgoingBatch(orders, 1, [b"ann"], [b"1"], [now_ms])])
    found = await compare(app, log)
    assert found.left == [gone]
    after = await applied(app, "safe")
    # Keys are in it: it stays with two partitions. Its retention would become shorter.
    assert {(change.topic, change.setting, change.verdict) for change in after.changes} == {
        (orders, "partitions", "refused"),
        (orders, "retention.ms", "loss"),
    }
    assert await log.partitions([orders]) == {orders: 2}
    assert after.states[bills].config["max.message.bytes"] == "5000"
    assert after.states[bills].config["retention.ms"] == "-1", "what is not declared stays"
    lost = await applied(app, "safe", "loss")
    assert [change.setting for change in lost.changes] == ["partitions"]
    assert lost.states[orders].config["retention.ms"] == "3600000"


async def test_an_empty_topic_grows_to_what_is_declared(app: pelton.App, name: str) -> None:
    orders = f"{name}-orders"
    await app.log_connection.declare([TopicSpec(orders, 2, retention_ms=3_600_000)])
    assert (await applied(app, "safe")).changes == []
    assert await app.log_connection.partitions([orders]) == {orders: 4}


def command(directory: Path, *arguments: str, answer: str = "") -> tuple[int, str, str]:
    """Run the command; return its exit status, what it says, and what it complains of."""
    words = [sys.executable, "-m", "pelton.shell.main", "-A", "shop", "topics", *arguments]
    done = subprocess.run(
        words, cwd=directory, env=dict(os.environ), input=answer, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def run(directory: Path, *arguments: str, answer: str = "") -> tuple[int, str]:
    """Run the command; return its exit status, and what it says."""
    status, said, _ = command(directory, *arguments, answer=answer)
    return status, said


def test_the_command_shows_asks_applies_and_tells_in_its_status(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, shown = run(tmp_path, "apply", "--check")
    assert status == 2
    assert f"+ {name}-orders: 4 partitions, cleanup.policy=delete, retention.ms=3600000" in shown
    status, shown = run(tmp_path, "apply", answer="n\n")
    assert (status, "done" in shown) == (1, False)
    status, shown = run(tmp_path, "apply", "--yes")
    assert (status, shown.splitlines()[-1]) == (0, "all topics are as declared")
    monkeypatch.setenv("KEPT", "60")
    status, shown, complained = command(tmp_path, "apply", "--yes")
    assert status == 0, "workers start all the same"
    assert f"! {name}-orders: retention.ms 3600000 -> 60000" in shown
    assert f"warning: {name}-orders: retention.ms 3600000 -> 60000 is left: what is older" in complained
    assert complained.splitlines()[-1] == "1 difference(s) left: workers start all the same"
    assert run(tmp_path, "apply", "--yes", "--strict")[0] == 2
    status, shown = run(tmp_path, "list")
    assert status == 0
    assert f"{name}-orders" in shown
    assert "differs" in shown
    assert "as declared" in shown


async def test_apply_fails_on_what_workers_would_refuse(name: str, app: pelton.App, tmp_path: Path) -> None:
    log, orders = app.log_connection, f"{name}-orders"
    await log.declare([TopicSpec(orders, 2, retention_ms=3_600_000)])
    await log.append([OutgoingBatch(orders, 1, [b"ann"], [b"1"], [app.clock.time_ms()])])
    status, shown, complained = await asyncio.to_thread(command, tmp_path, "apply", "--yes")
    assert status == 2
    assert f"{name}-bills: done" in shown, "what can be done is done"
    assert f"error: {orders}: partitions 2 -> 4 is left: it holds records with keys" in complained
    assert complained.splitlines()[-1] == "1 difference(s) left: workers would not start"
    found = await compare(app, log)
    assert [change.setting for change in found.changes] == ["partitions"]
    with pytest.raises(TopicMismatch):
        await log.declare(found.specs)
