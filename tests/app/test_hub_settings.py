"""The hub of a worker as its variables switch it on: all ways in and out at once, each line once, over a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiomqtt
import polars as pl
import psycopg
import pytest

from app.models.terminal import TerminalEvent
from app.simulation.terminal_links import by_syslog, by_webhook
from tests.app.bank_process import Bank
from tests.patience import PATIENCE_S
from tests.servers import Mosquitto, free_port, mosquitto, postgres

pytestmark = pytest.mark.timeout(600)

SECRET = "what-terminals-and-the-bank-know"
WAYS = ("filed", "published", "spoken", "hooked")


class Hub:
    """A bank whose hub has all connectors. database: the URL of the PostgreSQL that it writes to."""

    def __init__(self, bank: Bank, broker: Mosquitto, database: str, syslog_port: int) -> None:
        self.bank = bank
        self.broker = broker
        self.database = database
        self.syslog_port = syslog_port

    async def send(self, events: dict[str, list[TerminalEvent]]) -> None:
        """Send each way's events by it; return when whoever sends has done what there is to do."""
        with (self.bank.directory / "hub" / "in" / "terminals.log").open("a") as file:
            file.write("".join(event.line() for event in events["filed"]))
        async with aiomqtt.Client("127.0.0.1", self.broker.port) as client:
            for event in events["published"]:
                await client.publish(f"terminals/{event.terminal}", event.line(), qos=1)
        async with by_syslog(self.syslog_port) as say:
            for event in events["spoken"]:
                await (await say(event))
        async with by_webhook(f"http://127.0.0.1:{self.bank.port}", SECRET) as call:
            for event in events["hooked"]:
                await (await call(event))

    async def tried(self, count: int) -> Any:
        """Wait until the page tells of so many lines of each way, and return it."""
        return await self.bank.until_answer(
            "/hub",
            lambda page: {one["terminal"]: one["tried"] for one in page["terminals"]} == dict.fromkeys(WAYS, count),
        )

    def in_files(self) -> list[tuple[str, float]]:
        files = sorted((self.bank.directory / "hub" / "warehouse").glob("*.parquet"))
        return sorted(pl.read_parquet(files).select("terminal", "ts").rows()) if files else []

    async def in_database(self) -> list[tuple[str, float]]:
        async with await psycopg.AsyncConnection.connect(self.database) as connection:
            rows = await connection.execute("SELECT terminal, ts FROM terminals ORDER BY terminal, ts")
            return await rows.fetchall()


@pytest.fixture
def hub(broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto())
        database, _ = stack.enter_context(postgres())
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE terminals (terminal text, ts double precision, amount double precision, "
                "approved boolean, PRIMARY KEY (terminal, ts))"
            )
        port = free_port()
        monkeypatch.setenv("HUB_WEBHOOK_SECRET", SECRET)
        monkeypatch.setenv("HUB_MQTT_URL", f"mqtt://127.0.0.1:{broker.port}")
        monkeypatch.setenv("HUB_SYSLOG_PORT", str(port))
        monkeypatch.setenv("HUB_POSTGRES_URL", database)
        (tmp_path / "hub" / "in").mkdir(parents=True)
        yield Hub(stack.enter_context(Bank(tmp_path, broker_url)), broker, database, port)


def lines(first: int, count: int) -> dict[str, list[TerminalEvent]]:
    return {way: [TerminalEvent(way, 1000.0 + first + n, 5.0, n % 10 != 0) for n in range(count)] for way in WAYS}


async def test_what_comes_in_by_any_way_goes_out_by_all_once(hub: Hub) -> None:
    hub.bank.start()
    await hub.bank.until_answer("/readyz", lambda told: told["ready"])
    async with asyncio.timeout(PATIENCE_S):
        while "1 terminals/#" not in hub.broker.output.read_text():  # noqa: ASYNC110 - it keeps nothing before
            await asyncio.sleep(0.05)
    await hub.send(lines(0, 20))
    page = await hub.tried(20)
    assert set(page["sources"]) == {"terminal-files", "terminal-hooks", "terminal-mqtt", "terminal-syslog"}
    assert {"warehouse", "terminals-postgres"} <= set(page["sinks"])
    hub.bank.kill()
    hub.bank.start()
    await hub.send(lines(20, 10))
    await hub.tried(30)
    expected = sorted((way, 1000.0 + n) for way in WAYS for n in range(30))
    async with asyncio.timeout(PATIENCE_S):
        while len(hub.in_files()) < len(expected) or len(await hub.in_database()) < len(expected):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert hub.in_files() == expected
    assert await hub.in_database() == expected
    assert (await hub.bank.get("/api/console/home"))[1]["dead_lettered"] == 0


async def test_who_signs_is_let_in_and_nobody_else(hub: Hub) -> None:
    hub.bank.start()
    await hub.bank.until_answer("/readyz", lambda told: told["ready"])
    status, told = await hub.bank.post("/hooks/terminals", lines(0, 1)["hooked"][0].line().encode())
    assert (status, told) == (401, {"error": "the signature is missing, wrong, or too old"})
    done = hub.bank.command(
        "simulate-terminals",
        "--via",
        "webhook",
        "--url",
        f"http://127.0.0.1:{hub.bank.port}",
        "--rate",
        "0",
        "--count",
        "3",
    )
    assert "sent 3 lines" in done
    page = await hub.bank.until_answer("/hub", lambda told: sum(one["tried"] for one in told["terminals"]) >= 3)
    assert sum(one["tried"] for one in page["terminals"]) == 3
