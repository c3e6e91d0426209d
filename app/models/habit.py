"""What is usual: for an account, and how surprising a partition's payments have been so far."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from app.models.account import AccountProfile
from app.models.transaction import Transaction

__all__ = ["DAY_S", "SPAN_S", "Habit", "Usual"]

#: Names counted for each account, so that a flood of them cannot grow a value without bound.
NAMES_MAX = 32
#: How fast an account pays is judged over so many seconds, and by so many payments at most.
SPAN_S = 600.0
RECENT_MAX = 12
#: Customers in general pay so often; this knowledge is worth a day of the account's own.
PRIOR_PER_DAY = 6.0
DAY_S = 86_400.0
#: Buckets of surprise, half a bit each; the last one holds all above.
BUCKETS = 128


class Habit(msgspec.Struct, frozen=True):
    """What one account usually does.

    profile: amounts and the last place. kinds, countries, channels: how often each was used, 32 of them at most.
    first_ts: of the first payment; recent: of the latest ones, at most 12. Both event time, in seconds.
    """

    profile: AccountProfile = AccountProfile()
    payments: int = 0
    kinds: dict[str, int] = {}
    countries: dict[str, int] = {}
    channels: dict[str, int] = {}
    first_ts: float = 0.0
    recent: list[float] = []

    def after(self, tx: Transaction) -> Habit:
        """Return the habit once it has learned from a payment."""
        return Habit(
            profile=self.profile.after(tx),
            payments=self.payments + 1,
            kinds=_counted(self.kinds, tx.mcc),
            countries=_counted(self.countries, tx.country),
            channels=_counted(self.channels, tx.channel),
            first_ts=min(self.first_ts, tx.ts) if self.payments else tx.ts,
            recent=[*self.recent, tx.ts][-RECENT_MAX:],
        )

    def within_span(self, ts: float) -> int:
        """Return how many of the latest payments lie within ten minutes of a time."""
        return sum(abs(ts - one) < SPAN_S for one in self.recent)

    def per_day(self, ts: float) -> float:
        """Return how many payments a day usually holds, with what is known of customers in general."""
        return (self.payments + PRIOR_PER_DAY) / (max(0.0, ts - self.first_ts) / DAY_S + 1)


class Usual(msgspec.Struct, frozen=True):
    """How surprising the payments of a partition were so far. buckets: how many came to each half of a bit."""

    total: int = 0
    buckets: list[int] = []

    def share_below(self, bits: float) -> float:
        """Return the share of all so far that was less surprising, 0 to 1; of few, it is never near 1."""
        return sum(self.buckets[: _bucket(bits)]) / (self.total + 1)

    def after(self, bits: float) -> Usual:
        """Return the counts with one more."""
        buckets = [*self.buckets] or [0] * BUCKETS
        buckets[_bucket(bits)] += 1
        return Usual(self.total + 1, buckets)


def _counted(counts: Mapping[str, int], name: str) -> dict[str, int]:
    if name not in counts and len(counts) >= NAMES_MAX:
        return dict(counts)
    return {**counts, name: counts.get(name, 0) + 1}


def _bucket(bits: float) -> int:
    return min(BUCKETS - 1, int(2 * bits))
