"""The data hub: terminals' lines in by each connector, what is known of them, and Parquet and PostgreSQL out, once."""

from __future__ import annotations

import asyncio
import hmac
import shutil
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiomqtt
import polars as pl
import psycopg
import pytest
from aiohttp import web

import pelton
from app import app
from app.agents.hub import read
from app.bank import hub_directory
from app.models.terminal import TerminalEvent
from app.simulation import Plan, transactions_from
from app.simulation.terminal_links import by_syslog, by_webhook
from app.simulation.terminals import TerminalLog
from app.tables.terminals import terminals
from pelton.connect.mqtt import Mqtt
from pelton.connect.postgres import PostgresTable
from pelton.connect.syslog import Syslog
from pelton.connect.webhook import Webhook
from pelton.testing import Driver
from tests.app.bank_process import Bank
from tests.compat.harness import environment, worker
from tests.patience import PATIENCE_S
from tests.servers import free_port, mosquitto, postgres

SECRET = "what-terminals-and-the-bank-know"


@pytest.fixture
def directory() -> Iterator[Path]:
    shutil.rmtree(hub_directory, ignore_errors=True)
    yield hub_directory
    shutil.rmtree(hub_directory, ignore_errors=True)


def events(number: int, terminal: str = "shop-1") -> list[TerminalEvent]:
    return [TerminalEvent(terminal, 1000.0 + n, 5.0, n % 10 != 0) for n in range(number)]


def write(directory: Path, *lines: str) -> None:
    (directory / "in").mkdir(parents=True, exist_ok=True)
    with (directory / "in" / "terminals.log").open("a") as file:
        file.write("".join(lines))


def stored(directory: Path) -> pl.DataFrame:
    files = sorted((directory / "warehouse").glob("*.parquet"))
    return pl.read_parquet(files) if files else pl.DataFrame({"ts": []})


def test_each_line_is_counted_and_stored_once_over_crashes(directory: Path) -> None:
    lines = [event.line() for event in events(60)]
    with Driver(app) as driver:
        for life in range(3):
            write(directory, *lines[life * 20 : life * 20 + 20])
            driver.advance(1.5)
            driver.crash(after=40 * life)
            driver.start()
        write(directory, "this is no line of a terminal\n")
        driver.advance(30)
        state = terminals["shop-1"]
        assert (state.tried, state.declined, state.amount, state.last) == (60, 6, 270.0, 1059.0)
        assert sorted(stored(directory)["ts"].to_list()) == [1000.0 + n for n in range(60)]
        (letter,) = driver.dead_letters()
        assert letter.value == b"this is no line of a terminal"
        page = driver.request("GET", "/hub").json()
        (first,) = page["terminals"]
        assert (first["terminal"], first["tried"], first["declined"]) == ("shop-1", 60, 6)
        assert set(page["sources"]) == {"terminal-files"}
        assert page["files"] >= 1


def test_what_the_simulator_logs_is_what_the_hub_reads(directory: Path) -> None:
    payments = [one for one, _ in zip(transactions_from(Plan(seed=7, accounts=100)), range(1_000), strict=False)]
    log = TerminalLog(directory / "in")
    log.write(payments)
    with Driver(app) as driver:
        driver.advance(30)
        assert driver.dead_letters() == []
        assert sum(state.tried for state in terminals.values()) == 20


def hub_of(source: Any) -> pelton.App:
    """Return an application that takes lines as the hub does, from one source."""
    one = pelton.App("hub", topic_partitions=1)
    one.source(source, one.topic("events", key_type=str, value_type=TerminalEvent), name="lines")(read)
    return one


def taken(driver: Driver) -> list[TerminalEvent]:
    return [record.value for record in driver.read("events", again=True)]


def test_a_line_is_taken_from_syslog() -> None:
    port = free_port()
    lines = [event.line() for event in events(3)]
    with Driver(hub_of(Syslog(port, protocols=("udp",)))) as driver, socket.socket(type=socket.SOCK_DGRAM) as sender:
        for text in ("no line", *lines):
            sender.sendto(f"<14>1 - shop-1 terminal - - - {text}".encode(), ("127.0.0.1", port))
        for _ in range(100):
            if len(taken(driver)) + len(driver.dead_letters()) == 4:
                break
            driver.advance(1)
        assert taken(driver) == events(3)
        assert len(driver.dead_letters()) == 1


def test_a_line_is_taken_from_a_webhook_once() -> None:
    with Driver(hub_of(Webhook("/hook", secret=SECRET))) as driver:
        for number, event in enumerate(events(3)):
            body, delivery, at = event.line().encode(), f"msg_{number}", str(int(driver.now))
            signed = hmac.new(SECRET.encode(), f"{delivery}.{at}.".encode() + body, sha256).digest()
            signature = f"v1,{b64encode(signed).decode()}"
            headers = {"webhook-id": delivery, "webhook-timestamp": at, "webhook-signature": signature}
            for _ in range(2):
                assert driver.request("POST", "/hook", body=body, headers=headers).status == 202
        assert taken(driver) == events(3)


async def test_lines_come_by_mqtt_and_syslog_and_go_to_postgresql(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    port, spoken, published = free_port(), events(20, "spoken"), events(20, "published")
    with mosquitto() as broker, postgres() as (url, _):
        hub = hub_of(Syslog(port, protocols=("tcp",)))
        topic = hub.topic("events", key_type=str, value_type=TerminalEvent)
        hub.source(Mqtt(f"mqtt://127.0.0.1:{broker.port}", "terminals/#", client_id="hub"), topic, name="mqtt")(read)
        hub.sink(PostgresTable(url, "terminals", key=("terminal", "ts")), topic, name="postgres", within=0.1)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as database:
            await database.execute(
                "CREATE TABLE terminals (terminal text, ts double precision, amount double precision, "
                "approved boolean, PRIMARY KEY (terminal, ts))"
            )
            async with worker(hub):
                async with by_syslog(port) as send:
                    for event in spoken:
                        await (await send(event))
                async with asyncio.timeout(PATIENCE_S):
                    while "1 terminals/#" not in broker.output.read_text():  # noqa: ASYNC110 - it keeps nothing before
                        await asyncio.sleep(0.05)
                async with aiomqtt.Client("127.0.0.1", broker.port) as client:
                    for event in published:
                        await client.publish(f"terminals/{event.terminal}", event.line(), qos=1)
                found: list[Any] = []
                async with asyncio.timeout(PATIENCE_S):
                    while len(found) < 40:
                        await asyncio.sleep(0.05)
                        rows = await database.execute("SELECT * FROM terminals ORDER BY terminal, ts")
                        found = await rows.fetchall()
    assert found == [(one.terminal, one.ts, one.amount, one.approved) for one in (*published, *spoken)]


async def test_a_terminal_sends_a_webhook_until_it_is_taken() -> None:
    hook, came = Webhook("/hooks/terminals", secret=SECRET), list[tuple[str | None, bytes]]()

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        came.append((hook.verified(request.headers, body, time.time()), body))
        return web.Response(status=503 if len(came) == 1 else 202)

    application = web.Application()
    application.router.add_post("/hooks/terminals", take)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with by_webhook(f"http://127.0.0.1:{runner.addresses[0][1]}", SECRET) as send:
            await (await send(events(1)[0]))
        first, second = came
        assert first == second
        assert first[0] is not None
        assert TerminalEvent.parsed(first[1]) == events(1)[0]
    finally:
        await runner.cleanup()


async def test_a_worker_that_is_killed_stores_each_line_once(broker_url: str, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    lines = [event.line() for event in events(300)]
    with Bank(tmp_path, broker_url) as bank:
        write(hub, *lines[:150])
        bank.start()
        await _until_tried(bank, 150)
        write(hub, *lines[150:])
        bank.kill()
        bank.start()
        await _until_tried(bank, 300)
        async with asyncio.timeout(PATIENCE_S):
            while len(stored(hub)) < 300:  # noqa: ASYNC110 - files tell nobody
                await asyncio.sleep(0.1)
        assert sorted(stored(hub)["ts"].to_list()) == [1000.0 + n for n in range(300)]


async def _until_tried(bank: Bank, count: int) -> Any:
    """Wait until the worker's page tells of so many lines, and return it."""
    return await bank.until_answer("/hub", lambda page: sum(state["tried"] for state in page["terminals"]) >= count)
