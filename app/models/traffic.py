"""What a minute of payments held: sums by dimension, distinct customers, and how the amounts were spread.

All of it can be merged, and none hangs on how payments came in batches: money is in whole cents, customers are counted
by a HyperLogLog sketch, amounts by a histogram whose buckets are 4 % apart.
Source of the histogram: Masson et al., DDSketch, VLDB 2019.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, log
from operator import attrgetter

import msgspec

from app.models.transaction import Transaction
from pelton.aggregate import ApproxDistinct

__all__ = ["DIMENSIONS", "Sums", "Traffic", "quantile", "whole"]

DIMENSIONS = ("country", "channel", "merchant")

_CUSTOMERS = ApproxDistinct("account")
_NOBODY = _CUSTOMERS.initial()
_DIMENSION_OF = {name: attrgetter(name) for name in DIMENSIONS}

#: Each bucket's upper end is so many times the one's before it, so a quantile is at most 2 % off.
_GROWTH = 1.04


class Sums(msgspec.Struct, array_like=True):
    """How many payments, and what they came to."""

    count: int = 0
    cents: int = 0

    def add(self, count: int, cents: int) -> None:
        """Add so many payments."""
        self.count += count
        self.cents += cents


class Traffic(msgspec.Struct):
    """The payments of a minute, or of longer. by: dimension -> name -> sums. amounts: bucket -> payments."""

    total: Sums = msgspec.field(default_factory=Sums)
    by: dict[str, dict[str, Sums]] = {}
    customers: bytes = _NOBODY
    amounts: dict[int, int] = {}

    def add(self, payments: Iterable[Transaction]) -> None:
        """Add payments."""
        for tx in payments:
            cents = round(tx.amount * 100)
            self.total.add(1, cents)
            for dimension, name_of in _DIMENSION_OF.items():
                self.by.setdefault(dimension, {}).setdefault(name_of(tx), Sums()).add(1, cents)
            self.customers = _CUSTOMERS.add(self.customers, tx)
            bucket = ceil(log(max(1, cents), _GROWTH))
            self.amounts[bucket] = self.amounts.get(bucket, 0) + 1

    @property
    def distinct_customers(self) -> int:
        """About how many customers paid."""
        return round(_CUSTOMERS.result(self.customers))


def whole(parts: Iterable[Traffic]) -> Traffic:
    """Return the traffic of several minutes, or of parts of one, as one."""
    found = Traffic()
    for part in parts:
        found.total.add(part.total.count, part.total.cents)
        for dimension, names in part.by.items():
            sums = found.by.setdefault(dimension, {})
            for name, one in names.items():
                sums.setdefault(name, Sums()).add(one.count, one.cents)
        found.customers = _CUSTOMERS.merge(found.customers, part.customers)
        for bucket, count in part.amounts.items():
            found.amounts[bucket] = found.amounts.get(bucket, 0) + count
    return found


def quantile(amounts: dict[int, int], share: float) -> float | None:
    """Return the amount that a share of the payments does not exceed, in units of the currency; None without payments.

    >>> traffic = Traffic()
    >>> quantile(traffic.amounts, 0.5) is None
    True
    """
    left = share * sum(amounts.values())
    for bucket in sorted(amounts):
        left -= amounts[bucket]
        if left <= 0:
            return round(2 * _GROWTH**bucket / (1 + _GROWTH) / 100, 2)
    return None
