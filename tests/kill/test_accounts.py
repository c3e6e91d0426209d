"""`kill -9` of the bank's worker while customers send money about, on both logs: no cent is made or lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.bank_process import Bank
from tests.kill.accounts_scene import opened

KILLS = 2
LOT = 300


@pytest.fixture
def bank(broker_url: str, tmp_path: Path) -> Iterator[Bank]:
    with Bank(tmp_path, broker_url) as bank:
        yield bank


async def test_kills_make_and_lose_no_money(bank: Bank) -> None:
    async with opened(bank) as scene:
        for _ in range(KILLS):
            await scene.send(LOT)
            bank.start()
            await scene.until_grown()
            await asyncio.sleep(scene.chance.uniform(0, 0.2))  # the moment, not a wait
            bank.kill()
        await scene.send(LOT)
        bank.start()
        ledger = await scene.until_settled()
        assert ledger.events["TransferReturned"] > 0
