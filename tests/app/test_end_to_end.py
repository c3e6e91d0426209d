"""The bank as a process on the embedded log: its ways in and out, its commands, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from app.run import STOP_TIMEOUT_S
from tests.app.bank_process import Bank, as_transactions, opened, read_topic
from tests.app.payments import payment


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    with Bank(tmp_path) as bank:
        yield bank


async def test_ways_in_and_out(bank: Bank) -> None:
    bank.start()
    await bank.until(lambda overview: overview["partitions"] == 4)
    spree = [payment(id=f"t{number}", ts=1_767_571_200.0 + number) for number in range(6)]
    lines = b"\n".join(msgspec.json.encode(tx) for tx in spree)
    assert await bank.post("/transactions", lines, "application/x-ndjson") == (
        202,
        {"accepted": 6, "ids": ["t0", "t1", "t2", "t3", "t4", "t5"]},
    )
    await bank.until(lambda overview: len(overview["alerts"]) == 1)

    answer = await bank.until_answer("/alerts?account=acc-1&limit=5", lambda told: told["alerts"])
    assert [alert["id"] for alert in answer["alerts"]] == ["velocity:t4"]
    assert answer["alerts"][0]["evidence"]["total"] == 100.0

    account = await bank.until_answer("/api/account?id=acc-1", lambda told: told["payments"] == 6)
    assert account["countries"] == ["DE"]
    assert account["windows"] == [{"start": 1_767_571_200.0, "count": 6, "total": 120.0}]
    assert (await bank.get("/api/account?id=nobody"))[1]["payments"] == 0


async def test_evaluate_prints_precision_and_recall(bank: Bank) -> None:
    bank.start()
    bank.simulate(6_000)
    await bank.until_idle(6_000)
    printed = bank.command("evaluate")
    assert "6,000 payments" in printed
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if line.endswith("%")}
    assert set(rows) == {"velocity", "amount", "impossible_travel", "card_testing"}
    assert rows["card_testing"][-1] == "100.0%"


async def test_run_ends_within_five_seconds_and_goes_on_where_it_stopped(bank: Bank) -> None:
    for _ in range(2):
        bank.run(rate=500)
        await bank.until(lambda overview: overview["committed_records"] >= 1_000)
        assert bank.stop() == 0
    assert STOP_TIMEOUT_S < 5  # then what has not ended is killed
    assert "killed" not in (bank.directory / "worker.txt").read_text()

    async with opened(bank) as log:
        payments = as_transactions(await read_topic(log, "transactions"))
    sent = [tx.id for partition in payments for tx in partition]
    assert sorted(sent) == sorted(f"tx-7-{number}" for number in range(len(sent)))
