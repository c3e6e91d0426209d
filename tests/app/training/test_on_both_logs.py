"""Conversations with a worker that is killed, on both logs: each exchange is in the files once, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from app.simulation.questions import asked
from tests.app.bank_process import Bank

EXCHANGES = 8


@pytest.fixture
def bank(broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bank]:
    monkeypatch.setenv("TRAINING_WITHIN_S", "1")
    with Bank(tmp_path, broker_url) as bank:
        yield bank


async def test_each_exchange_is_in_the_files_once(bank: Bank) -> None:
    async def post(path: str, **body: Any) -> Any:
        status, answer = await bank.post(path, msgspec.json.encode(body))
        assert status in (200, 202), answer
        return answer

    bank.start()
    await bank.until(lambda overview: overview["partitions"] == 4)
    for number in range(EXCHANGES):
        account, text, helpful = asked(7, number)
        await post("/chat/consent", account=account, given=True)
        question = (await post("/chat", account=account, text=text))["id"]
        await post("/chat/rating", account=account, question=question, helpful=bool(helpful))
        if number == EXCHANGES // 2:
            bank.kill()
            bank.start()
            await bank.until(lambda overview: overview["partitions"] == 4)

    told = await bank.until_answer("/api/training", _all_settled)
    rows = told["counts"]["taken in"]
    assert f", {rows} rows, 0 faults" in bank.command("check-training")
    training = bank.directory / "hub" / "training"
    lines = [line for path in (training / "chat").rglob("*.jsonl") for line in path.read_bytes().splitlines()]
    found = pl.read_parquet(training / "parquet" / "*.parquet")
    assert len(found) == len(set(found["question"])) == rows
    assert len(lines) == found["helpful"].sum()
    assert found["redacted"].sum() > 0


def _all_settled(told: Any) -> bool:
    """Return whether it is decided of each exchange what becomes of it, and the files have what was taken in."""
    counts = told["counts"]
    settled = sum(counts.get(what, 0) for what in ("taken in", "near-duplicate", "a person went on"))
    totals = [versions[0]["totals"]["rows"] for versions in told["data"].values() if versions]
    return settled == EXCHANGES and totals == [counts.get("taken in", 0)]
