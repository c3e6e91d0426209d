"""Models are published, swapped and taken back while a worker runs, and are there after it was killed; on both logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from app.deployment import SENTIMENT
from app.models import ModelOrder, Promote, Rollback
from tests.app.bank_process import Bank
from tests.app.deployment.test_agents import published

REVIEW = msgspec.json.encode({"product": "mobile app", "text": "I love it.", "stars": 5})


@pytest.fixture
def bank(broker_url: str, tmp_path: Path) -> Iterator[Bank]:
    with Bank(tmp_path, broker_url) as bank:
        yield bank


async def test_versions_are_swapped_without_a_restart(bank: Bank) -> None:
    async def order(one: ModelOrder) -> tuple[int, str]:
        status, outcome = await bank.post("/api/models", msgspec.json.encode(one))
        return status, outcome["told"]

    async def answered_by(version: str) -> None:
        """Make sure that the next review is labelled by a version."""
        before = _counts(await bank.until_answer("/api/models", lambda told: SENTIMENT in told))
        assert (await bank.post("/reviews", REVIEW))[0] == 202
        # A worker that was killed may have shown counts that were not committed yet: these come again.
        told = await bank.until_answer("/api/models", lambda told: _counts(told)[version] > before[version])
        assert _counts(told)["v3"] == 0, "it is damaged"

    bank.start()
    await bank.until(lambda overview: overview["partitions"] == 4)
    assert (await order(published("v1")))[0] == 200
    assert (await order(published("v2", 200)))[0] == 200
    status, told = await order(replace(published("v3"), sha256="0" * 64))
    assert (status, told[:24]) == (409, "refused, it is damaged: ")
    assert (await order(Promote(SENTIMENT, "v3", "production", 1.0)))[0] == 409
    assert "candidate to production" in bank.command("models", "promote", SENTIMENT, "v1")
    await answered_by("v1")
    await order(Promote(SENTIMENT, "v2", "production", 1.0))
    await answered_by("v2")
    bank.kill()
    bank.start()
    await bank.until(lambda overview: overview["partitions"] == 4)
    await answered_by("v2")
    assert await order(Rollback(SENTIMENT, 2.0)) == (200, "v2 back to v1")
    await answered_by("v1")


def _counts(told: Any) -> dict[str, int]:
    return {one["version"]: one["quality"]["predictions"] for one in told[SENTIMENT]["versions"]}
