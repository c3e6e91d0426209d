"""Analytics and judgement as a process, on both logs: what the page tells is what was sent."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from app.simulation import transactions_from
from tests.app.bank_process import PLAN, Bank

COUNT = 2_000


@pytest.fixture
def bank(broker_url: str, tmp_path: Path) -> Iterator[Bank]:
    with Bank(tmp_path, broker_url) as bank:
        yield bank


async def test_the_page_tells_what_was_sent(bank: Bank) -> None:
    bank.start()
    bank.simulate(COUNT)
    sent = list(islice(transactions_from(PLAN), COUNT))
    end = int(max(one.transaction.ts for one in sent) // 60) + 1
    spent = [round(one.transaction.amount * 100) for one in sent if one.transaction.ts // 60 >= end - 60]
    crimes = len({one.label for one in sent if one.label})

    def complete(answer: dict[str, Any]) -> bool:
        traffic = answer["traffic"]
        heard = sum(one["crimes"] for one in answer["quality"])
        return (traffic.get("count"), traffic.get("cents"), heard) == (len(spent), sum(spent), crimes)

    answer = await bank.until_answer("/api/analytics", complete)
    assert answer["traffic"]["to"] == end * 60

    def judged(answer: dict[str, Any]) -> bool:
        return bool(answer["cases"]) and any(one["recall"] for one in answer["quality"])

    await bank.until_answer("/api/analytics", judged)
