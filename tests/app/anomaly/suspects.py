"""Suspects for the tests to judge, and which ones there must be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.anomaly import of_payment, signals_of
from app.models import Suspect, Transaction
from app.models.habit import Habit, Usual


def suspect(**changes: Any) -> Suspect:
    """Return a payment that statistics find suspicious, with some fields changed."""
    fields: dict[str, Any] = {
        "id": "payment:tx-1",
        "source": "payment",
        "key": "acc-1",
        "ts": 1_767_571_200.0,
        "selected": True,
        "score": 0.997,
        "signals": {"amount": 12.5, "channel": 3.0},
        "record": {"amount": 950.0, "merchant": "Electronics online 4", "country": "DE"},
        "usual": {"payments": 40, "amount": 21.5},
    }
    return Suspect(**(fields | changes))


def suspects_in(partitions: Iterable[Iterable[Transaction]]) -> dict[str, Suspect]:
    """Return what is to be judged of the payments of each partition, by id, worked out one payment at a time."""
    found: dict[str, Suspect] = {}
    for payments in partitions:
        habits, usual = dict[str, Habit](), Usual()
        for tx in payments:
            habit = habits.get(tx.account, Habit())
            signals = signals_of(habit, tx)
            one = of_payment(tx, habit, signals, usual)
            if one is not None:
                found[one.id] = one
            habits[tx.account], usual = habit.after(tx), usual.after(sum(signals.values()))
    return found
