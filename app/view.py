"""What the pages show: rows and alerts, whichever worker has them; and what this worker counts and saw last."""

from __future__ import annotations

import time
from collections.abc import Sequence
from heapq import nlargest
from itertools import islice
from typing import Any

import msgspec

from app.agents import latest_alerts
from app.bank import alerts, app
from app.everywhere import value_of
from app.logbook import entries
from app.models import AccountProfile, Alert, AlertHistory
from app.tables import alert_histories, minutes, profiles
from pelton import UnavailableError

__all__ = ["account_view", "alerts_of", "latest", "latest_of_all", "progress"]

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


async def latest_of_all(limit: int) -> Sequence[Alert]:
    """Return the latest alerts of all accounts, newest first, whichever workers gave them."""
    topic = alerts.get_topic_name()
    found = [msgspec.json.decode(entry.value, type=Alert) async for entry in entries(topic, last=limit)]
    return nlargest(limit, found, key=lambda alert: alert.ts)


async def alerts_of(account: str) -> list[Alert]:
    """Return the latest alerts of an account, newest first. Raises: UnavailableError."""
    history: AlertHistory = await value_of(alert_histories, account, AlertHistory())
    return history.alerts


async def account_view(account: str) -> dict[str, Any]:
    """Return profile, minutes and alerts of an account; no payments of one that never paid.

    Raises: UnavailableError.
    """
    profile: AccountProfile | None = await value_of(profiles, account)
    if profile is None:
        return {"account": account, "payments": 0, "typical_amount": 0, "countries": [], "windows": [], "alerts": []}
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
