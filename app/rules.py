"""The rules that a payment is judged by: pure functions of the transaction and what is known of its account.

Each returns an alert or None, and touches no table and no clock; `examine` asks all of them. Times are event times in
seconds since the epoch.
"""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt
from typing import NamedTuple

from app.models import (
    AccountProfile,
    AccountWindow,
    Alert,
    AmountEvidence,
    CardTestingEvidence,
    Evidence,
    Rule,
    Transaction,
    TravelEvidence,
    VelocityEvidence,
    is_tiny_online,
    place_of,
)

__all__ = [
    "HISTORY_MIN",
    "Span",
    "amount_against_history",
    "card_testing",
    "distance_km",
    "examine",
    "impossible_travel",
    "velocity",
]

#: Payments of one account within one minute before it looks like a machine or a spree.
VELOCITY_LIMIT = 5
#: Standard deviations above the account's usual payment, how many payments make a history, what is too small to matter.
Z_LIMIT = 4.5
HISTORY_MIN = 3
AMOUNT_MIN = 50.0
#: An airliner's speed; and a distance below which two places are the same city and its suburbs.
SPEED_LIMIT_KM_PER_H = 900.0
DISTANCE_MIN_KM = 100.0
#: Different merchants that saw a tiny online payment within ten minutes.
TESTED_MERCHANTS_LIMIT = 4

EARTH_RADIUS_KM = 6371.0


class Span(NamedTuple):
    """A half-open stretch of event time [start, end), in seconds since the epoch."""

    start: float
    end: float


def examine(
    tx: Transaction,
    profile: AccountProfile,
    minute: tuple[AccountWindow, Span],
    ten_minutes: tuple[AccountWindow, Span],
) -> list[Alert]:
    """Return the alerts that a transaction raises, in the order of the rules.

    profile: the account's, before this transaction.
    minute, ten_minutes: what these windows hold, with this transaction, and where they lie.
    """
    found = (
        velocity(tx, *minute),
        amount_against_history(tx, profile),
        impossible_travel(tx, profile),
        card_testing(tx, *ten_minutes),
    )
    return [alert for alert in found if alert is not None]


def velocity(tx: Transaction, window: AccountWindow, span: Span) -> Alert | None:
    """Alert once a window, on the payment that reaches the limit."""
    if window.count != VELOCITY_LIMIT:
        return None
    evidence = VelocityEvidence(window.count, window.total, window.merchants)
    return _alert("velocity", tx, window.count / VELOCITY_LIMIT, span, evidence)


def amount_against_history(tx: Transaction, profile: AccountProfile) -> Alert | None:
    """Alert on a payment far above what this account usually pays, once it has a history."""
    if profile.payments < HISTORY_MIN or tx.amount < AMOUNT_MIN:
        return None
    z = profile.z_score(tx.amount)
    if z < Z_LIMIT:
        return None
    evidence = AmountEvidence(tx.amount, round(profile.typical_amount, 2), round(z, 2), profile.payments)
    return _alert("amount", tx, z / Z_LIMIT, Span(tx.ts, tx.ts), evidence)


def impossible_travel(tx: Transaction, profile: AccountProfile) -> Alert | None:
    """Alert when the card was used in person at two places that nobody can travel between in that time.

    Records may arrive out of order, so it is the time between the two that counts, not its sign.
    """
    before, here = profile.last_place, place_of(tx)
    if before is None or here is None:
        return None
    km = distance_km(before.lat, before.lon, here.lat, here.lon)
    seconds = max(1.0, abs(here.ts - before.ts))
    speed = km / (seconds / 3600)
    if km < DISTANCE_MIN_KM or speed <= SPEED_LIMIT_KM_PER_H:
        return None
    evidence = TravelEvidence(
        previous=before.transaction,
        from_country=before.country,
        to_country=here.country,
        km=round(km, 1),
        minutes=round(seconds / 60, 1),
        km_per_h=round(speed, 0),
        new_country=tx.country not in profile.countries,
    )
    span = Span(min(before.ts, tx.ts), max(before.ts, tx.ts))
    return _alert("impossible_travel", tx, speed / SPEED_LIMIT_KM_PER_H, span, evidence)


def card_testing(tx: Transaction, window: AccountWindow, span: Span) -> Alert | None:
    """Alert on the tiny online payment that reaches the limit of merchants, and on each online purchase after that."""
    tested = len(window.tiny_merchants)
    if tx.channel != "online" or tested < TESTED_MERCHANTS_LIMIT:
        return None
    reached_now = tested == TESTED_MERCHANTS_LIMIT and tx.merchant == window.tiny_merchants[-1]
    if is_tiny_online(tx) and not reached_now:
        return None
    evidence = CardTestingEvidence(window.tiny_merchants, window.tiny, tx.amount)
    return _alert("card_testing", tx, tested / TESTED_MERCHANTS_LIMIT, span, evidence)


def distance_km(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Return the great-circle distance between two points in degrees, by the haversine formula.

    >>> round(distance_km(52.52, 13.405, 48.857, 2.352))  # Berlin to Paris
    878
    """
    north, east = radians(lat2 - lat1), radians(lon2 - lon1)
    h = sin(north / 2) ** 2 + cos(radians(lat1)) * cos(radians(lat2)) * sin(east / 2) ** 2
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(h)))


def _alert(rule: Rule, tx: Transaction, score: float, span: Span, evidence: Evidence) -> Alert:
    return Alert(
        id=f"{rule}:{tx.id}",
        account=tx.account,
        rule=rule,
        transaction=tx.id,
        score=round(score, 2),
        window_start=span.start,
        window_end=span.end,
        ts=tx.ts,
        evidence=evidence,
    )
