"""Keep the latest alerts of each account where a page can find them."""

from __future__ import annotations

from collections import deque

from app.bank import alerts, app
from app.models import Alert
from app.tables import ALERTS_KEPT, alert_histories
from pelton import Stream

__all__ = ["latest_alerts", "remember"]

#: The alerts that this worker saw last, newest first: for its page only, so memory will do. The table has them all.
latest_alerts: deque[Alert] = deque(maxlen=100)


@app.agent(alerts)
async def remember(stream: Stream[Alert]) -> None:
    """Put each alert in front of its account's history."""
    async for alert in stream:
        alert_histories[alert.account] = alert_histories[alert.account].with_alert(alert, ALERTS_KEPT)
        if alert not in latest_alerts:  # an event may be handled again before it is committed
            latest_alerts.appendleft(alert)
