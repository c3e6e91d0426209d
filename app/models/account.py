"""What we remember about an account: what a window of time held, and what is normal for it.

Values are immutable: each `after` returns the next one. Tables hand out fresh copies anyway, and a value that
cannot change cannot be changed by accident and then forgotten.
"""

from __future__ import annotations

from math import exp, log, sqrt
from operator import attrgetter

import msgspec

from app.models.transaction import Transaction

__all__ = ["PAYMENTS_KEPT", "TINY_AMOUNT", "AccountProfile", "AccountWindow", "LatestPayments", "Payment", "Place"]

#: Payments up to this amount are what card testers make; they say nothing about an account's usual spending.
TINY_AMOUNT = 2.0

#: Payments of an account that are kept one by one.
PAYMENTS_KEPT = 10

#: Names kept per window or profile, so that a flood of merchants cannot grow a value without bound.
NAMES_MAX = 32

#: The standard deviation of log(amount) among customers in general, and how many payments this knowledge is worth.
PRIOR_SPREAD = 0.5
PRIOR_WEIGHT = 10


class AccountWindow(msgspec.Struct, frozen=True):
    """What one account did within one window of event time.

    total: the sum of the amounts, rounded to cents after each payment.
    countries, merchants, tiny_merchants: distinct, in order of first use, at most 32 each.
    tiny: how many tiny online payments there were.
    """

    count: int = 0
    total: float = 0.0
    countries: list[str] = []
    merchants: list[str] = []
    tiny: int = 0
    tiny_merchants: list[str] = []

    def __add__(self, tx: Transaction) -> AccountWindow:
        """Return the window with one more transaction: `table[account] += tx` adds it to each window it is in."""
        tiny = is_tiny_online(tx)
        return AccountWindow(
            count=self.count + 1,
            total=round(self.total + tx.amount, 2),
            countries=_with(self.countries, tx.country),
            merchants=_with(self.merchants, tx.merchant),
            tiny=self.tiny + tiny,
            tiny_merchants=_with(self.tiny_merchants, tx.merchant) if tiny else self.tiny_merchants,
        )


class Payment(msgspec.Struct, frozen=True):
    """What a customer remembers of a payment. amount: in units of the currency. ts: seconds since the epoch."""

    id: str
    ts: float
    amount: float
    currency: str
    merchant: str


class LatestPayments(msgspec.Struct, frozen=True):
    """The latest payments of one account, oldest first, by the time of the payment."""

    payments: list[Payment] = []

    def after(self, tx: Transaction) -> LatestPayments:
        """Return these with one more, without the oldest of too many."""
        payment = Payment(tx.id, tx.ts, tx.amount, tx.currency, tx.merchant)
        return LatestPayments(sorted([*self.payments, payment], key=attrgetter("ts"))[-PAYMENTS_KEPT:])


class Place(msgspec.Struct, frozen=True):
    """Where and when a card was last seen in person."""

    transaction: str
    country: str
    lat: float
    lon: float
    ts: float


class AccountProfile(msgspec.Struct, frozen=True):
    """What is normal for one account.

    payments, mean_log, m2_log: running count, mean and sum of squared deviations of log(amount), by Welford's
        method; amounts of payments are close to log-normal, so their logarithm has a meaningful z-score.
    countries: where it has paid, in order of first use, at most 32.
    Source: B. P. Welford, Note on a method for calculating corrected sums of squares and products, 1962.
    """

    payments: int = 0
    mean_log: float = 0.0
    m2_log: float = 0.0
    countries: list[str] = []
    last_place: Place | None = None

    @property
    def typical_amount(self) -> float:
        """The geometric mean of the payments so far."""
        return exp(self.mean_log)

    def z_score(self, amount: float) -> float:
        """Return how many standard deviations log(amount) lies above the account's mean.

        The deviation starts as that of customers in general and is outweighed by the account's own as payments come in,
        so that five similar payments do not make a sixth, larger one suspicious. After few payments their mean is
        uncertain itself, which adds to it: the deviation is that of the next payment from what has been seen.
        Source: A. Gelman et al., Bayesian Data Analysis, 3rd ed., section 2.5 (the posterior predictive of a normal
            mean under a flat prior).
        """
        variance = (PRIOR_WEIGHT * PRIOR_SPREAD**2 + self.m2_log) / (PRIOR_WEIGHT + self.payments)
        return (log(amount) - self.mean_log) / sqrt(variance * (1 + 1 / max(1, self.payments)))

    def after(self, tx: Transaction, *, trust_place: bool = True) -> AccountProfile:
        """Return the profile once it has learned from a transaction.

        trust_place: False keeps the last place: a card used by a thief far away says nothing about where its owner is.
        """
        payments, mean, m2 = self.payments, self.mean_log, self.m2_log
        if tx.amount > TINY_AMOUNT:
            payments += 1
            delta = log(tx.amount) - mean
            mean += delta / payments
            m2 += delta * (log(tx.amount) - mean)
        return AccountProfile(
            payments=payments,
            mean_log=mean,
            m2_log=m2,
            countries=_with(self.countries, tx.country),
            last_place=_later(self.last_place, place_of(tx)) if trust_place else self.last_place,
        )


def is_tiny_online(tx: Transaction) -> bool:
    """Return whether this is the kind of payment that card testers make."""
    return tx.channel == "online" and tx.amount <= TINY_AMOUNT


def place_of(tx: Transaction) -> Place | None:
    """Return where the card was, or None when it was not there in person."""
    if tx.channel == "online" or tx.lat is None or tx.lon is None:
        return None
    return Place(tx.id, tx.country, tx.lat, tx.lon, tx.ts)


def _later(old: Place | None, new: Place | None) -> Place | None:
    if old is None or new is None:
        return new or old
    return new if new.ts >= old.ts else old


def _with(names: list[str], name: str) -> list[str]:
    if name in names or len(names) >= NAMES_MAX:
        return names
    return [*names, name]
