"""What the pages show: plain values read from this worker's tables and counters.

A worker holds the tables of its own partitions only; asked for an account of another's, it says so (UnavailableError).
"""

from __future__ import annotations

import time
from heapq import nlargest
from itertools import islice
from typing import Any

from app.agents import latest_alerts
from app.bank import app
from app.models import AccountProfile, Alert, AlertHistory
from app.tables import alert_histories, minutes, profiles
from pelton import UnavailableError

__all__ = ["account_view", "alerts_of", "latest", "progress"]

#: Minutes shown of one account, newest last.
WINDOWS_SHOWN = 60


def progress() -> dict[str, Any]:
    """Return this worker's counters: records read and committed since it started, and the lag of its partitions.

    Raises: UnavailableError while the engine starts.
    """
    statistics = app.statistics()
    if statistics is None:
        raise UnavailableError("the worker is starting")
    return {
        "now": time.time(),
        "records_in": statistics.records_in,
        "committed_records": statistics.committed_records,
        "lag": {str(partition): lag for partition, lag in statistics.lag.items()},
        "partitions": len(statistics.partitions),
    }


def latest(limit: int) -> list[Alert]:
    """Return the alerts that this worker saw last, newest first; after a start, those of its tables."""
    if not latest_alerts:
        held = (alert for history in alert_histories.values() for alert in history.alerts)
        latest_alerts.extend(nlargest(limit, held, key=lambda alert: alert.ts))
    return list(islice(latest_alerts, limit))


def alerts_of(account: str) -> list[Alert]:
    """Return the latest alerts of an account, newest first. Raises: UnavailableError."""
    history: AlertHistory = alert_histories[account]
    return history.alerts


def account_view(account: str) -> dict[str, Any] | None:
    """Return profile, minutes and alerts of an account, or None when it never paid. Raises: UnavailableError."""
    profile: AccountProfile | None = profiles.get(account)
    if profile is None:
        return None
    return {
        "account": account,
        "payments": profile.payments,
        "typical_amount": round(profile.typical_amount, 2),
        "countries": profile.countries,
        "windows": _windows_of(account)[-WINDOWS_SHOWN:],
        "alerts": alerts_of(account),
    }


def _windows_of(account: str) -> list[dict[str, Any]]:
    """Return the minutes of an account that are still held, oldest first."""
    return [
        {"start": start_ms / 1000, "count": window.count, "total": window.total}
        for start_ms, window in minutes[account].windows()
    ]
