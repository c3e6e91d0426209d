"""Payments for the tests to judge."""

from __future__ import annotations

from typing import Any

from app.models import Transaction


def payment(**changes: Any) -> Transaction:
    """Return a payment by chip in Berlin, with some fields changed."""
    fields: dict[str, Any] = {
        "id": "tx-1",
        "account": "acc-1",
        "card": "card-1",
        "amount": 20.0,
        "merchant": "Bakery",
        "country": "DE",
        "channel": "chip",
        "ts": 1_230.0,
        "lat": 52.52,
        "lon": 13.405,
    }
    return Transaction(**(fields | changes))
