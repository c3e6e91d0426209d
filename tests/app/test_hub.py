"""The data hub: terminals' log files in, what is known of them, and Parquet out, each line once."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from app import app
from app.bank import hub_directory
from app.models.terminal import TerminalEvent
from app.simulation import Plan, transactions_from
from app.simulation.terminals import TerminalLog
from app.tables.terminals import terminals
from pelton.testing import Driver
from tests.app.bank_process import Bank
from tests.patience import PATIENCE_S


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


async def _until_tried(bank: Bank, count: int) -> None:
    """Wait until the worker's page tells of so many lines."""
    await bank.until_answer("/hub", lambda page: sum(state["tried"] for state in page["terminals"]) >= count)
