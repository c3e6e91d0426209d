"""What is remembered about each account. All tables are keyed by account, like the topics that feed them."""

from __future__ import annotations

from datetime import timedelta

from app.bank import app
from app.models import AccountProfile, AccountWindow, AlertHistory, LatestPayments, Transaction
from app.rules import Span

__all__ = [
    "ALERTS_KEPT",
    "alert_histories",
    "latest_payments",
    "minute_of",
    "minutes",
    "profiles",
    "ten_minutes",
    "ten_minutes_before",
]

MINUTE_S = 60
TEN_MINUTES_S = 600
STEP_S = 120

#: Alerts kept for each account.
ALERTS_KEPT = 20

minutes = (
    app.Table(
        "minutes",
        default=AccountWindow,
        key_type=str,
        value_type=AccountWindow,
        partitions=4,
        help="Payments per minute.",
    )
    .tumbling(MINUTE_S, expires=timedelta(days=1))
    .relative_to_field(Transaction.ts)
)

ten_minutes = (
    app.Table(
        "ten_minutes",
        default=AccountWindow,
        key_type=str,
        value_type=AccountWindow,
        partitions=4,
        help="Payments per ten minutes, a window every two.",
    )
    .hopping(TEN_MINUTES_S, STEP_S, expires=timedelta(hours=1))
    .relative_to_field(Transaction.ts)
)

profiles = app.Table(
    "profiles",
    default=AccountProfile,
    key_type=str,
    value_type=AccountProfile,
    partitions=4,
    help="What is normal for the account.",
)

latest_payments = app.Table(
    "latest_payments",
    default=LatestPayments,
    key_type=str,
    value_type=LatestPayments,
    partitions=4,
    help="The latest payments of the account, one by one.",
)

alert_histories = app.Table(
    "alert_histories",
    default=AlertHistory,
    key_type=str,
    value_type=AlertHistory,
    partitions=4,
    help="The latest alerts of the account.",
)


def minute_of(account: str, tx: Transaction) -> tuple[AccountWindow, Span]:
    """Return the minute that a transaction falls into: what it holds, and where it lies."""
    start = _begin(tx.ts, MINUTE_S)
    return minutes[account].current(), Span(start, start + MINUTE_S)


def ten_minutes_before(account: str, tx: Transaction) -> tuple[AccountWindow, Span]:
    """Return the oldest of the five windows that hold a transaction: it has seen eight to ten minutes before it.

    `.current()` of a hopping table is the newest window, which has only just begun.
    """
    start = _begin(tx.ts, STEP_S) - (TEN_MINUTES_S - STEP_S)
    return ten_minutes[account].delta(TEN_MINUTES_S - STEP_S), Span(start, start + TEN_MINUTES_S)


def _begin(ts: float, step_s: int) -> float:
    """Return the latest multiple of a step at or before a time; windows are cut by whole milliseconds."""
    ms = round(ts * 1000)
    return (ms - ms % (step_s * 1000)) / 1000
