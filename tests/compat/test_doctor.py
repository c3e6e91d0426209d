"""`faust -A app doctor` over conditions that are real: a log, its topics and members, this machine."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

import pelton
from pelton.batch import OutgoingBatch, TopicPartition
from pelton.log.contract import GroupOptions, Position, RebalanceListener, TopicSpec
from pelton.shell.doctor import examine, judge
from pelton.shell.topic_keeping import apply, compare, upkeep
from tests.patience import PATIENCE_S

PROGRAM = """
import os
import pelton
name = os.environ["NAME"]
app = pelton.App(name, topic_partitions=2, table_standby_replicas=int(os.environ.get("STANDBYS", "0")))
orders = app.topic(f"{name}-orders", key_type=str, value_type=int, partitions=2, retention=3600)
totals = app.Table("totals", default=int)

@app.agent(orders)
async def count(stream):
    async for customer, amount in stream.items():
        totals[customer] += amount
"""
Made = Callable[..., pelton.App]


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broker_url: str) -> str:
    name = f"shop-{uuid4().hex[:8]}"
    (tmp_path / "shop.py").write_text(PROGRAM)
    for variable, value in {"NAME": name, "BROKER_URL": broker_url, "APP_DATADIR": tmp_path}.items():
        monkeypatch.setenv(variable, str(value))
    return name


def made() -> pelton.App:
    """Return the shop, as the environment says."""
    scope: dict[str, Any] = {"__name__": "shop"}
    exec(compile(PROGRAM, "shop.py", "exec"), scope)
    app: pelton.App = scope["app"]
    app.finalize()
    return app


@pytest_asyncio.fixture
async def app(name: str) -> Any:
    """Give the shop, its log open and its topics made."""
    app = made()
    await app.open_log()
    found = await compare(app, app.log_connection)
    _ = [topic async for topic in apply(app.log_connection, found.specs, found.changes)]
    yield app
    await app.log_connection.delete_topics([topic for topic in await app.log_connection.topics() if name in topic])
    await app.close_log()


async def said(app: pelton.App, *, probe: bool = False) -> dict[str, str]:
    """Return check -> severity, without what is said of the machine the tests happen to run on."""
    findings = judge(await examine(app, app.log_connection, probe=probe))
    here = {"disk", "state-in-memory", "few-brokers", "memory", "open-files", "in-sync-one", "record-sizes"}
    # The tests' own logs: SQLite without waiting for the disk, Kafka that keeps all.
    here |= {"not-synchronous", "positions-forgotten"}
    return {finding.check: finding.severity for finding in findings if finding.check not in here}


async def test_nothing_is_wrong_and_the_clocks_agree(app: pelton.App, broker_url: str) -> None:
    before = await app.log_connection.topics()
    assert await said(app, probe=True) == {}
    assert await app.log_connection.topics() == before, "the topic of the probe is deleted again"
    examined = await examine(app, app.log_connection)
    if broker_url.startswith("kafka"):
        assert examined.clock_ahead_s is not None
        assert examined.servers[0].disks
        assert examined.internal["__consumer_offsets"].replicas == 1


async def test_a_clock_that_goes_wrong_is_found(app: pelton.App, broker_url: str) -> None:
    if not broker_url.startswith("kafka"):
        pytest.skip("the embedded log has this machine's clock")

    class Ahead(type(app.clock)):  # type: ignore[misc]
        def time_ms(self) -> int:
            return int(super().time_ms()) + 90_000

    app.clock = Ahead()
    assert await said(app, probe=True) == {"clock": "error"}


async def test_what_retention_deletes_unread(app: pelton.App, name: str) -> None:
    log, orders = app.log_connection, f"{name}-orders"
    old_ms = app.clock.time_ms() - 2_400_000
    await log.append([OutgoingBatch(orders, 0, [b"ann"], [b"1"], [old_ms])])
    assert await said(app) == {"retention-and-lag": "warning"}
    await upkeep(log).configure(orders, {"retention.ms": "86400000"})
    # A record that is kept is no loss; that the topic is not as declared is said.
    assert await said(app) == {"topic-differs": "warning"}


async def test_topics_that_do_not_belong_together_and_letters_that_wait(app: pelton.App, name: str) -> None:
    log, now_ms = app.log_connection, app.clock.time_ms()
    await log.append([OutgoingBatch(f"{name}-dlq", 0, [b"ann"], [b"?"], [now_ms])])
    assert await said(app) == {"dead-letters": "warning"}
    await log.delete_topics([f"{name}-totals-changelog"])
    await log.declare([TopicSpec(f"{name}-totals-changelog", 4, cleanup_policy="compact")])
    assert await said(app) == {"dead-letters": "warning", "topic-differs": "error", "co-partitioning": "error"}


async def test_members_without_work_and_standbys_without_a_place(
    app: pelton.App, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, orders = app.log_connection, f"{name}-orders"

    async def nothing(*_: object) -> None: ...

    options = GroupOptions(name, frozenset({orders}), session_timeout_ms=10_000, heartbeat_interval_ms=100)
    group = await log.join(options, RebalanceListener(nothing, nothing, nothing))
    try:
        deadline_s = app.clock.monotonic() + PATIENCE_S
        while len(group.assignment()) < 2:
            assert app.clock.monotonic() < deadline_s
            await group.fetch(bytes_max=1_000_000, timeout_s=0.1)
        await group.commit([], {TopicPartition(orders, 0): Position(0)})
        monkeypatch.setenv("STANDBYS", "1")
        other = made()
        await other.open_log()
        assert await said(other) == {"no-place-for-standbys": "warning"}
        await other.close_log()
    finally:
        await group.leave()


async def test_settings_that_fight_each_other(name: str, monkeypatch: pytest.MonkeyPatch, broker_url: str) -> None:
    for variable, value in {
        "APP_WEB_ENABLED": "yes",
        "BROKER_SESSION_TIMEOUT": "7200",
        "BROKER_HEARTBEAT_INTERVAL": "3000",
        "WEB_BIND": "0.0.0.0",
        "WEB_HOST": "no-such-host.invalid",
        "PROCESSING_GUARANTEE": "at_least_once",
        "PELTON_WATCHDOG_EXIT_MS": "1000",
    }.items():
        monkeypatch.setenv(variable, value)
    app = made()
    await app.open_log()
    try:
        found = await said(app)
    finally:
        await app.close_log()
    on_kafka = {"session-refused": "error"} if broker_url.startswith("kafka") else {}
    assert found == {
        "heartbeat": "warning",
        "web-open": "error",
        "host-unknown": "warning",
        "at-least-once-tables": "warning",
        "watchdog": "error",
        "topics-missing": "note",
        **on_kafka,
    }


def test_the_command_tells_it_in_its_status(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (250, 250))

    def run(*arguments: str, limited: bool = False) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pelton.shell.main", "-A", "shop", "doctor", *arguments]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=few_files if limited else None,
        )

    told = run("--json", "--no-probe", limited=True)
    assert "Traceback" not in told.stderr, told.stderr
    findings = {one["check"]: one for one in map(json.loads, told.stdout.splitlines())}
    assert findings["open-files"]["severity"] == "warning", "no partition is there yet"
    assert told.returncode == max({"note": 0, "warning": 1, "error": 2}[one["severity"]] for one in findings.values())
    monkeypatch.setenv("BROKER_URL", f"sqlite:///{tmp_path / 'shop.py'}")
    unanswered = run()
    assert unanswered.returncode == 3
    assert "could not look" in unanswered.stderr
