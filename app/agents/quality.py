"""Compare alerts with the truth as both come in, whichever is first. No rule ever sees a label."""

from __future__ import annotations

from app.bank import alerts, app, transactions
from app.models import Alert, Transaction
from app.tables.cases import judged, rule_quality
from pelton import Stream

__all__ = ["hear_alerts", "hear_labels"]


@app.agent(transactions)
async def hear_labels(stream: Stream[Transaction]) -> None:
    """Take in the simulator's labels, which travel in a header."""
    async for event in stream.events():
        label = event.headers.get("fraud")
        if label is None:
            continue
        tx, known = event.value, judged[event.value.account]
        for rule, more in known.label(tx.id, label.decode()).items():
            _count(rule, alerts=0, right=more.right, crimes=more.crimes, found=more.found)
        judged[tx.account] = known


@app.agent(alerts)
async def hear_alerts(stream: Stream[Alert]) -> None:
    """Take in the alerts."""
    async for alert in stream:
        known = judged[alert.account]
        more = known.alert(alert.transaction, alert.rule)
        judged[alert.account] = known
        _count(alert.rule, alerts=more.alerts, right=more.right, crimes=0, found=more.found)


def _count(rule: str, *, alerts: int, right: int, crimes: int, found: int) -> None:
    rule_quality[rule] = rule_quality[rule].plus(alerts=alerts, right=right, crimes=crimes, found=found)
