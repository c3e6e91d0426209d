"""From an exchange to an example: pseudonymous, redacted, in one part of the data."""

from __future__ import annotations

import os
from hashlib import blake2b

from app.models.training import SPLITS, Example, Held, Rating, Split
from app.training.redaction import redacted

__all__ = ["SHARES", "example_of", "pseudonym", "split_of"]

#: How much of the customers goes where.
SHARES: dict[Split, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}
#: Who does not know it cannot tell which pseudonym an account has. The same one for as long as the data is to go on.
KEY = os.environ.get("TRAINING_KEY", "").encode()[:64]


def example_of(held: Held, rating: Rating | None) -> Example:
    """Return the example that an exchange is, with what the customer thought of it."""
    exchange = held.exchange
    better = rating.better if rating is not None else ""
    asked, found = redacted(exchange.asked)
    answered, more = redacted(better or exchange.answered)
    customer = pseudonym(exchange.account)
    return Example(
        customer=customer,
        question=exchange.question,
        asked=asked,
        answered=answered,
        by="person" if better else exchange.by,
        ts=exchange.ts,
        split=split_of(customer),
        partition=held.partition,
        offset=held.offset,
        helpful=True if better else rating.helpful if rating is not None else None,
        redacted=dict(sorted((found + more).items())),
    )


def pseudonym(account: str) -> str:
    """Return what a customer is called in the data: the same each time."""
    return blake2b(account.encode(), key=KEY, digest_size=8).hexdigest()


def split_of(customer: str) -> Split:
    """Return which part of the data a customer belongs to: it follows from the pseudonym, so it never changes."""
    place = int.from_bytes(blake2b(customer.encode(), digest_size=8).digest()) / 2**64
    for split in SPLITS:
        place -= SHARES[split]
        if place < 0:
            return split
    return SPLITS[-1]
