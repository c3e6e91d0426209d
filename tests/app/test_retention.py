"""How long the bank keeps what: every topic of it says so, and one variable shortens all that is not kept for ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from app.retention import kept, remembered
from tests.patience import PATIENCE_S

DAY_S = 86_400

#: Prints topic -> retention in seconds, None where the log decides, of the bank and its services.
DECLARED = """
import json
from app import app
from app.services.notifications import app as notifications
from app.services.orders import app as orders
from app.services.payments import app as payments
found = {}
for one in (app, orders, payments, notifications):
    for topic in (topic for topic in one.declared_topics if not topic.options.internal):
        for spec in topic.specs():
            found.setdefault(spec.name, set()).add((spec.cleanup_policy, spec.retention_ms))
found["commands"] = {("delete", app.entities["accounts"].commands.specs()[0].retention_ms)}
print(json.dumps({name: sorted(map(list, ways)) for name, ways in found.items()}))
"""


def declared(most: str | None) -> dict[str, list[list[str | int | None]]]:
    environment = {name: value for name, value in os.environ.items() if name != "BANK_RETENTION_S"}
    if most is not None:
        environment["BANK_RETENTION_S"] = most
    done = subprocess.run(
        [sys.executable, "-c", DECLARED], env=environment, capture_output=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, list[list[str | int | None]]] = json.loads(done.stdout)
    return found


def test_every_topic_says_how_long_and_all_programs_say_the_same() -> None:
    topics = declared(None)
    assert {name: ways for name, ways in topics.items() if len(ways) > 1} == {}
    policies = {name: ways[0] for name, ways in topics.items()}
    assert policies.pop("customers") == ["compact", None]
    assert [name for name, (policy, ms) in policies.items() if policy != "delete" or ms is None] == []
    assert {name for name, (_, ms) in policies.items() if ms == -1} == {"models", "dataset"}
    days = {name: int(ms) / DAY_S / 1000 for name, (_, ms) in policies.items() if isinstance(ms, int) and ms > 0}
    assert (days["transactions"], days["commands"], days["logs"]) == (7, 7, 7)
    assert (days["alerts"], days["cases"], days["scored-readings"]) == (90, 90, 2)


def test_one_variable_shortens_what_is_not_kept_for_ever() -> None:
    policies = {name: ways[0] for name, ways in declared("600").items()}
    assert {name for name, (_, ms) in policies.items() if ms != 600_000} == {"customers", "models", "dataset"}


@pytest.mark.parametrize(
    ("most_s", "topic_s", "table_s"),
    [(float("inf"), 7 * DAY_S, 7 * DAY_S), (600, 600, 600), (30 * DAY_S, 7 * DAY_S, 7 * DAY_S), (-1, -1, 7 * DAY_S)],
)
def test_what_the_variable_makes_of_a_week(most_s: float, topic_s: float, table_s: float) -> None:
    week = timedelta(days=7)
    assert (kept(week, most_s), remembered(week, most_s)) == (topic_s, table_s)


@pytest.mark.parametrize("program", ["app", "app.services.orders", "app.services.payments"])
def test_changelogs_say_for_as_long_that_a_key_is_gone(program: str, tmp_path: Path) -> None:
    environment = os.environ | {"BANK_RETENTION_S": "600", "APP_DATADIR": str(tmp_path)}
    command = [sys.executable, "-m", "faust", "-A", program, "topics", "diff"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE_S, check=False)
    made = [line for line in done.stdout.decode().splitlines() if "-changelog: " in line]
    assert made, done.stderr.decode()
    assert [line for line in made if not line.endswith("cleanup.policy=compact, delete.retention.ms=600000")] == []
