"""What the application must arrive at, recomputed in plain Python from the payments of each partition.

It shares no code with the engine, the tables or the values they hold: windows are cut and sums are made here once more,
on dicts. Only the rules are the application's own (tests/app/test_rules.py checks those by hand). Results are compared
byte for byte, so arithmetic on floats is done in the order that the log has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from app.models import AccountProfile, AccountWindow, Alert, Transaction
from app.rules import Span, examine

__all__ = ["Expected", "replay"]

#: A window's address: the account and the window's first second.
Address = tuple[str, float]


@dataclass(slots=True)
class Expected:
    """The final state of a run, and everything it put out.

    minutes: every 60 s window that ever held a payment; ten_minutes: every 600 s window (one starts every 120 s).
    Windows are kept for ever here; those that the engine has expired by event time must be left out of a comparison.
    alerts: in the order of the payments, partition after partition.
    """

    minutes: dict[Address, dict[str, Any]] = field(default_factory=dict[Address, dict[str, Any]])
    ten_minutes: dict[Address, dict[str, Any]] = field(default_factory=dict[Address, dict[str, Any]])
    profiles: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    alerts: list[Alert] = field(default_factory=list[Alert])

    @property
    def payments(self) -> int:
        """How many payments all minutes hold together."""
        return sum(window["count"] for window in self.minutes.values())

    def histories(self, kept: int) -> dict[str, list[Alert]]:
        """Return the latest alerts of each account, newest first."""
        by_account: dict[str, list[Alert]] = {}
        for alert in self.alerts:
            by_account.setdefault(alert.account, []).insert(0, alert)
        return {account: alerts[:kept] for account, alerts in by_account.items()}


def replay(partitions: Iterable[Iterable[Transaction]]) -> Expected:
    """Recompute a run.

    partitions: the payments of each partition in the order of their offsets; an account's are all in one.
    """
    expected = Expected()
    for payments in partitions:
        for tx in payments:
            _judge(expected, tx)
    return expected


def _judge(expected: Expected, tx: Transaction) -> None:
    ms = round(tx.ts * 1000)
    minute = (ms - ms % 60_000) / 1000
    newest = (ms - ms % 120_000) / 1000
    _add(expected.minutes, (tx.account, minute), tx)
    for age in range(5):
        _add(expected.ten_minutes, (tx.account, newest - 120.0 * age), tx)
    oldest = newest - 480.0
    profile = expected.profiles.setdefault(tx.account, _blank_profile())
    found = examine(
        tx,
        msgspec.convert(profile, AccountProfile),
        (msgspec.convert(expected.minutes[tx.account, minute], AccountWindow), Span(minute, minute + 60)),
        (msgspec.convert(expected.ten_minutes[tx.account, oldest], AccountWindow), Span(oldest, oldest + 600)),
    )
    expected.alerts += found
    _learn(profile, tx, trust_place=all(alert.rule != "impossible_travel" for alert in found))


def _add(windows: dict[Address, dict[str, Any]], address: Address, tx: Transaction) -> None:
    window = windows.setdefault(address, _blank_window())
    window["count"] += 1
    window["total"] = round(window["total"] + tx.amount, 2)
    _note(window["countries"], tx.country)
    _note(window["merchants"], tx.merchant)
    if tx.channel == "online" and tx.amount <= 2:
        window["tiny"] += 1
        _note(window["tiny_merchants"], tx.merchant)


def _note(names: list[str], name: str) -> None:
    if name not in names and len(names) < 32:
        names.append(name)


def _blank_window() -> dict[str, Any]:
    return {"count": 0, "total": 0.0, "countries": [], "merchants": [], "tiny": 0, "tiny_merchants": []}


def _blank_profile() -> dict[str, Any]:
    return {"payments": 0, "mean_log": 0.0, "m2_log": 0.0, "countries": [], "last_place": None}


def _learn(profile: dict[str, Any], tx: Transaction, *, trust_place: bool) -> None:
    _note(profile["countries"], tx.country)
    if tx.amount > 2:
        x = math.log(tx.amount)
        profile["payments"] += 1
        before = x - profile["mean_log"]
        profile["mean_log"] += before / profile["payments"]
        profile["m2_log"] += before * (x - profile["mean_log"])
    if not trust_place or tx.channel == "online" or tx.lat is None or tx.lon is None:
        return
    last = profile["last_place"]
    if last is None or tx.ts >= last["ts"]:
        place = {"transaction": tx.id, "country": tx.country, "lat": tx.lat, "lon": tx.lon, "ts": tx.ts}
        profile["last_place"] = place
