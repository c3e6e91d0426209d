"""Keep the latest payments and alerts of each account where a page, and a conversation, can find them."""

from __future__ import annotations

from collections import deque

from app.bank import alerts, app, transactions
from app.models import Alert, Transaction
from app.tables import ALERTS_KEPT, alert_histories, latest_payments
from pelton import Stream

__all__ = ["latest_alerts", "remember", "remember_payments"]

#: The alerts that this worker saw last, newest first: for its page only, so memory will do. The table has them all.
latest_alerts: deque[Alert] = deque(maxlen=100)


@app.agent(alerts)
async def remember(stream: Stream[Alert]) -> None:
    """Put each alert in front of its account's history."""
    async for alert in stream:
        alert_histories[alert.account] = alert_histories[alert.account].with_alert(alert, ALERTS_KEPT)
        if alert not in latest_alerts:  # an event may be handled again before it is committed
            latest_alerts.appendleft(alert)


@app.agent(transactions)
async def remember_payments(stream: Stream[Transaction]) -> None:
    """Put each payment among its account's latest."""
    async for tx in stream:
        latest_payments[tx.account] = latest_payments[tx.account].after(tx)
