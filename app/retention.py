"""How long the bank's topics keep what they are told, by what it is for; docs/operations.md says why.

BANK_RETENTION_S: seconds that nothing is kept longer than, but for what is kept for ever: `make demo` shows in an hour
what otherwise takes weeks. -1 keeps all: Kafka counts from a record's own time, and old records that are replayed would
be gone at once.
"""

from __future__ import annotations

import os
from datetime import timedelta

__all__ = [
    "DECISIONS",
    "DELETIONS",
    "DERIVED",
    "EVENTS",
    "FOR_EVER",
    "MASTER_DATA",
    "ORDERS",
    "PIECES",
    "REPLIES",
    "WAREHOUSE",
    "kept",
    "remembered",
]

_MOST_S = float(os.environ.get("BANK_RETENTION_S") or "inf")


def kept(period: timedelta, most_s: float = _MOST_S) -> float:
    """Return how many seconds something is kept, that by itself would be for a period; -1 for ever."""
    return -1 if most_s < 0 else min(period.total_seconds(), most_s)


def remembered(period: timedelta, most_s: float = _MOST_S) -> float:
    """Return how many seconds a table remembers something: the period, or as long as topics keep anything at most."""
    return period.total_seconds() if most_s < 0 else kept(period, most_s)


#: What happened, as it was told: long enough to replay a week, and to mend what a bad release did.
EVENTS = kept(timedelta(days=7))
#: What is made of it, and can be made again: long enough to look into what went wrong since yesterday.
DERIVED = kept(timedelta(days=2))
#: What people are told, and what they decide: few records, asked for months later.
DECISIONS = kept(timedelta(days=90))
#: What is worthless once it is read.
PIECES = kept(timedelta(hours=1))
FOR_EVER = -1

#: How long an order is remembered after the last that happened to it.
ORDERS = remembered(timedelta(days=90))
#: How long it is known what master data were.
MASTER_DATA = remembered(timedelta(days=7))
#: How long analysts find files in the warehouse of the hub.
WAREHOUSE = remembered(timedelta(days=90))
#: How long changelogs say that a key was deleted, for stores that come back late.
DELETIONS = timedelta(seconds=remembered(timedelta(days=1)))
#: How long answers to requests wait for who asked.
REPLIES = remembered(timedelta(days=1))
