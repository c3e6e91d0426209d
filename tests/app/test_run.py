"""What `make run` starts, with its defaults, feeds every use of the table in docs/use-cases.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.run import simulators
from tests.app.bank_process import ROOT, Bank

pytestmark = pytest.mark.timeout(600)

#: How a use is told by its page, when it lives: an address, and what its answer has then. By the use's name.
LIFE: dict[str, list[tuple[str, Callable[[Any], Any]]]] = {
    "fraud detection": [("/alerts", lambda told: told["alerts"])],
    "live analytics, cases": [
        ("/api/analytics", lambda told: told["traffic"]["count"] and told["cases"] and told["quality"])
    ],
    "event sourcing: accounts": [("/accounts", lambda told: told["totals"]["deposited_cents"])],
    "data integration": [("/hub", lambda told: told["terminals"] and told["files"])],
    "data integration: customers' master data": [("/customers", lambda told: told["customers"])],
    "log aggregation": [
        ("/logs?level=error", lambda told: told["lines"]),
        ("/logs/services", lambda told: len(told["services"]) == 6),
    ],
    "telemetry": [("/devices", lambda told: told["known"] == 50)],
    "microservices: orders": [("/orders", lambda told: told["counts"].get("confirmed"))],
    "customer conversations": [("/api/tables/conversations", lambda told: told["rows"])],
    "anomalies": [
        ("/api/anomalies", lambda told: told["alerts"] and sum(one["alerts_right"] for one in told["counts"]))
    ],
    "reviews and messages: sentiment": [("/api/moods", lambda told: told)],
    "deployment of models": [
        ("/api/models", lambda told: "production" in [one["stage"] for one in told["sentiment"]["versions"]])
    ],
    "data for training": [("/api/training", lambda told: told["counts"].get("no consent") and told["data"])],
}


@pytest.fixture
def bank(broker_url: str, tmp_path: Path) -> Iterator[Bank]:
    with Bank(tmp_path, broker_url) as bank:
        yield bank


def test_each_use_of_the_table_is_looked_at() -> None:
    rows = re.findall(r"^\| (?!use|---)([^|]+) \|", _table(), re.MULTILINE)
    assert [re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", row) for row in rows] == list(LIFE)


async def test_every_use_lives(bank: Bank) -> None:
    """The defaults, but for the pace: a deployment takes its steps in minutes, and ratings are waited for as long."""
    bank.run_all(MODELS="2", QUESTIONS="5", TRAINING_WITHIN_S="1")
    for looks in LIFE.values():
        for path, alive in looks:
            await bank.until_answer(path, alive)
    home = await bank.until_answer("/api/console/home", lambda told: told["workers"])
    assert home["dead_lettered"] == 0, home["errors"]
    assert bank.stop() == 0


@pytest.mark.parametrize(
    ("environment", "fed"),
    [
        ({}, True),
        ({"BROKER_URL": "kafka://broker:9092"}, True),
        ({"KAFKA_CONNECT_URL": "http://connect:8083"}, False),
        ({"KAFKA_CONNECT_URL": "http://connect:8083", "MASTER_DATA": "1"}, True),
        ({"MASTER_DATA": "0"}, False),
    ],
)
def test_master_data_is_simulated_unless_debezium_brings_it(environment: dict[str, str], fed: bool) -> None:
    words = simulators(environment)[0]
    assert (words[words.index("--master-data") + 1] != "0") == fed


def _table() -> str:
    text = (ROOT / "docs/use-cases.md").read_text()
    return text[: text.index("\n## ")]
