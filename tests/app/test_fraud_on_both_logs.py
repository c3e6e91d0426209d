"""Fraud detection as a process, stopped and killed, on both logs: alerts, windows and profiles are the oracle's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.models import Transaction
from app.oracle import Expected, replay
from app.simulation import block
from pelton.log.contract import Log
from pelton.window import window_key_suffix, window_start_of
from tests.app.bank_process import PLAN, Bank, as_transactions, opened, read_table, read_topic

#: How long a window is, and is kept behind its end, in seconds of event time.
MINUTE, TEN_MINUTES = (60, 86_400), (600, 3_600)


@pytest.fixture
def bank(broker_url: str, tmp_path: Path) -> Iterator[Bank]:
    with Bank(tmp_path, broker_url) as bank:
        yield bank


async def test_alerts_and_tables_equal_the_oracle_over_a_restart_and_a_crash(bank: Bank) -> None:
    bank.start()
    bank.simulate(2_000)
    await bank.until_idle(2_000)
    assert bank.stop() == 0

    bank.simulate(3_000)
    bank.start()
    await bank.until(lambda overview: overview["committed_records"] > 100)
    bank.kill()
    bank.simulate(1_000)
    bank.start()
    await bank.until_idle()
    assert bank.stop() == 0

    async with opened(bank) as log:
        payments = as_transactions(await read_topic(log, f"{bank.name}-transactions"))
        sent = [labelled.transaction.id for number in range(6) for labelled in block(PLAN, number)]
        assert sorted(tx.id for partition in payments for tx in partition) == sorted(sent)
        expected = [replay([partition]) for partition in payments]
        assert sum(len(one.alerts) for one in expected) > 10
        for number, partition in enumerate(payments):
            await _check(log, bank.name, number, partition, expected[number])


async def _check(log: Log, bank: str, number: int, payments: list[Transaction], expected: Expected) -> None:
    """Compare what a partition number of the bank has told, and has in its tables, with the oracle's."""
    alerts = (await read_topic(log, f"{bank}-alerts"))[number]
    assert alerts == [msgspec.json.encode(alert) for alert in expected.alerts]
    profiles = (await read_table(log, f"{bank}-profiles-changelog"))[number]
    assert {key.decode(): msgspec.json.decode(value) for key, value in profiles.items()} == expected.profiles
    latest = max(tx.ts for tx in payments)
    for name, (size, kept), windows in (
        ("minutes", MINUTE, expected.minutes),
        ("ten_minutes", TEN_MINUTES, expected.ten_minutes),
    ):
        rows = (await read_table(log, f"{bank}-{name}-changelog"))[number]
        held: dict[tuple[str, float], Any] = {
            (window_key_suffix(key).decode(), window_start_of(key) / 1000): msgspec.json.decode(value)
            for key, value in rows.items()
        }
        assert held, name
        assert held == {address: windows[address] for address in held}
        expired = {start for account, start in windows if (account, start) not in held}
        assert all(start + size + kept <= latest for start in expired), name
