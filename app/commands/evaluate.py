"""`faust -A app evaluate`: precision and recall of each rule, from what the log holds."""

from __future__ import annotations

import msgspec

from app.bank import alerts as alerts_topic
from app.bank import app, transactions
from app.evaluation import Quality, quality_by_rule
from app.logbook import entries
from app.models import Alert, Transaction
from app.rules import HISTORY_MIN
from pelton import AppCommand

__all__ = ["evaluate"]


@app.command()
async def evaluate(self: AppCommand) -> None:
    """Compare the alerts with the simulator's labels."""
    labels: dict[str, str] = {}
    payments = 0
    async for entry in entries(transactions.get_topic_name()):
        payments += 1
        if "fraud" in entry.headers:
            labels[msgspec.json.decode(entry.value, type=Transaction).id] = entry.headers["fraud"].decode()
    alerts = [msgspec.json.decode(entry.value, type=Alert) async for entry in entries(alerts_topic.get_topic_name())]
    print(f"{payments:,} payments, {len(labels):,} of them by thieves; {len(alerts):,} alerts\n")
    print(f"{'rule':<18}{'alerts':>8}{'right':>8}{'precision':>11}{'crimes':>8}{'found':>8}{'recall':>8}")
    for quality in quality_by_rule(alerts, labels):
        print(_row(quality))
    print("\nright: the alert points at a thief's payment. found: one of the crime's payments at least did.")
    print(f"amount judges an account after {HISTORY_MIN} payments, so it misses crimes on the first simulated days.")


def _row(quality: Quality) -> str:
    precision, recall = _percent(quality.precision), _percent(quality.recall)
    counts = f"{quality.rule:<18}{quality.alerts:>8,}{quality.right:>8,}{precision:>11}"
    return f"{counts}{quality.crimes:>8,}{quality.found:>8,}{recall:>8}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
