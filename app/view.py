"""What the pages show: plain values of tables, whichever worker has them; and what this worker counts and saw last."""

from __future__ import annotations

import time
from heapq import nlargest
from itertools import islice
from typing import Any

from app.agents import latest_alerts
from app.bank import app
from app.everywhere import value_of
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


async def alerts_of(account: str) -> list[Alert]:
    """Return the latest alerts of an account, newest first. Raises: UnavailableError."""
    history: AlertHistory = await value_of(alert_histories, account, AlertHistory())
    return history.alerts


async def account_view(account: str) -> dict[str, Any] | None:
    """Return profile, minutes and alerts of an account, or None when it never paid. Raises: UnavailableError."""
    profile: AccountProfile | None = await value_of(profiles, account)
    if profile is None:
        return None
    return {
        "account": account,
        "payments": profile.payments,
        "typical_amount": round(profile.typical_amount, 2),
        "countries": profile.countries,
        "windows": (await _windows_of(account))[-WINDOWS_SHOWN:],
        "alerts": await alerts_of(account),
    }


async def _windows_of(account: str) -> list[dict[str, Any]]:
    """Return the minutes of an account that are still held, oldest first."""
    return [
        {"start": one.start_ms / 1000, "count": one.value.count, "total": one.value.total}
        for one in await value_of(minutes, account, [])
    ]
