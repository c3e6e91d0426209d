"""How surprising a payment is for its account, in bits: what has a chance of one in 2ⁿ has n of them.

Every signal is worked out from the account's own habit, before the payment is learned from, and no label is looked at.
The bits are added up as if the signals had nothing to do with each other, which is not so; what the sum means is
therefore read off the sums of all payments before (`Usual.share_below`).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import erfc, lgamma, log, log2, sqrt

from app.models import Transaction, place_of
from app.models.habit import DAY_S, SPAN_S, Habit
from app.rules import DISTANCE_MIN_KM, HISTORY_MIN, distance_km

__all__ = ["count_bits", "rarity_bits", "signals_of", "tail_bits"]

#: What one signal may weigh, so that none drowns the others.
BITS_MAX = 24.0
#: Travellers are this fast; each time that twice as fast is two bits.
TRAVEL_KM_PER_H = 200.0
BITS_PER_DOUBLING = 2.0
#: Below half a bit there is nothing to tell.
BITS_MIN = 0.5


def signals_of(habit: Habit, tx: Transaction) -> dict[str, float]:
    """Return what is surprising in a payment: signal -> bits, 24 at most; those of no weight are left out.

    habit: the account's, before this payment.
    """
    known = habit.profile.payments >= HISTORY_MIN
    found = {
        "amount": tail_bits(habit.profile.z_score(tx.amount)) if known else 0.0,
        "merchant": rarity_bits(habit.kinds, tx.mcc),
        "country": rarity_bits(habit.countries, tx.country),
        "channel": rarity_bits(habit.channels, tx.channel),
        "pace": count_bits(habit.within_span(tx.ts) + 1, habit.per_day(tx.ts) * SPAN_S / DAY_S),
        "travel": _travel_bits(habit, tx),
    }
    return {name: round(bits, 1) for name, bits in found.items() if bits >= BITS_MIN}


def tail_bits(z: float) -> float:
    """Return how surprising it is that a normal value is so many standard deviations above the mean.

    >>> tail_bits(-1), round(tail_bits(3), 1)
    (0.0, 8.5)
    """
    return min(BITS_MAX, -log2(max(erfc(z / sqrt(2)), 1e-300))) if z > 0 else 0.0


def rarity_bits(counts: Mapping[str, int], name: str) -> float:
    """Return how much rarer a name is than the most frequent one, with half a count for what was never seen.

    >>> rarity_bits({"DE": 31}, "DE"), round(rarity_bits({"DE": 31}, "NG"), 1)
    (0.0, 6.0)
    """
    most = max(counts.values(), default=0)
    return log2((most + 0.5) / (counts.get(name, 0) + 0.5)) if most else 0.0


def count_bits(count: int, expected: float) -> float:
    """Return how surprising so many events are where fewer are expected: by the Poisson chance of that count.

    >>> count_bits(1, 2.0), round(count_bits(3, 0.04), 1)
    (0.0, 16.6)
    """
    if count <= expected:
        return 0.0
    return min(BITS_MAX, max(0.0, (expected - count * log(expected) + lgamma(count + 1)) / log(2)))


def _travel_bits(habit: Habit, tx: Transaction) -> float:
    before, here = habit.profile.last_place, place_of(tx)
    if before is None or here is None:
        return 0.0
    km = distance_km(before.lat, before.lon, here.lat, here.lon)
    km_per_h = km / (max(60.0, abs(here.ts - before.ts)) / 3600)
    if km < DISTANCE_MIN_KM or km_per_h <= TRAVEL_KM_PER_H:
        return 0.0
    return min(BITS_MAX, BITS_PER_DOUBLING * log2(km_per_h / TRAVEL_KM_PER_H))
