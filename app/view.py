"""What the pages show: plain values read from this worker's tables and counters.

A worker holds the tables of its own partitions only; asked for another's account, it says who has it.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from app.bank import app
from app.models import Alert
from app.tables import alert_histories, minutes, profiles

__all__ = ["Elsewhere", "account_view", "alerts_of", "progress"]

#: Minutes shown of one account, newest last.
WINDOWS_SHOWN = 60


class Elsewhere(Exception):
    """The account is in a partition that another worker holds. worker: its address, "" when unknown."""

    def __init__(self, account: str, worker: str) -> None:
        where = f"ask the worker at {worker}" if worker else "no worker holds it just now, try again"
        super().__init__(f"account {account[:64]!r} is not held by this worker: {where}")
        self.worker = worker


def progress() -> dict[str, Any]:
    """Return this worker's counters: records read and committed since it started, and the lag of its partitions."""
    statistics = app.statistics()
    return {
        "now": time.time(),
        "records_in": statistics.records_in,
        "committed_records": statistics.committed_records,
        "lag": {str(partition): lag for partition, lag in statistics.lag.items()},
        "partitions": len(statistics.partitions),
    }


def alerts_of(account: str) -> list[Alert]:
    """Return the latest alerts of an account, newest first. Raises: Elsewhere."""
    _require_here(account)
    return alert_histories[account].alerts


def account_view(account: str) -> dict[str, Any] | None:
    """Return profile, minutes and alerts of an account, or None when it never paid. Raises: Elsewhere."""
    _require_here(account)
    if account not in profiles:
        return None
    profile = profiles[account]
    return {
        "account": account,
        "payments": profile.payments,
        "typical_amount": round(profile.typical_amount, 2),
        "countries": profile.countries,
        "windows": _windows_of(account),
        "alerts": msgspec.to_builtins(alert_histories[account].alerts),
    }


def _windows_of(account: str) -> list[dict[str, Any]]:
    """Return the account's latest minutes, oldest first."""
    found = [
        {"start": start_ms / 1000, "count": window.count, "total": window.total}
        for start_ms, window in minutes[account].windows()
    ]
    return found[-WINDOWS_SHOWN:]


def _require_here(account: str) -> None:
    owner = app.owner_of(account)
    if not owner.here:
        raise Elsewhere(account, owner.address)
