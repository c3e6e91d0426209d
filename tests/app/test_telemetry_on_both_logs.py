"""Real readings, labelled, through a worker process, on both logs; and the command that judges what came of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.bank_process import Bank


@pytest.fixture
def bank(broker_url: str, tmp_path: Path) -> Iterator[Bank]:
    with Bank(tmp_path, broker_url) as bank:
        yield bank


async def test_a_shuttle_is_judged(bank: Bank) -> None:
    bank.start()
    bank.command("simulate-telemetry", "--data", "shuttle", "--speed", "0", "--count", "1200")
    await bank.until_answer(
        "/devices",
        lambda answer: [(one["device"], one["readings"]) for one in answer["devices"]] == [("shuttle", 1_200)],
    )
    status, device = await bank.get("/devices/device?id=shuttle")
    assert status == 200
    assert 60 <= len(device["minutes"]) <= 62, "an hour's, and those that are open"
    assert all(minute["readings"] in range(1, 13) for minute in device["minutes"])
    row = next(line.split() for line in bank.command("evaluate-telemetry").splitlines() if line.startswith("shuttle"))
    assert row[1] == "1,200"
    assert float(row[3]) > 0.8
