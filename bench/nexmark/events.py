"""What happens at the auction: people enter, put things up, and bid. All queries read these three topics."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

import msgspec

__all__ = ["LONGEST_AUCTION", "Auction", "Bid", "Person", "named"]

#: No auction is open for longer.
LONGEST_AUCTION = timedelta(minutes=1)


def named(name: str) -> str:
    """Return the name of a topic or application in this run, so that several runs can be on one log."""
    return f"{os.environ.get('NEXMARK_RUN', 'nexmark')}-{name}"


class Person(msgspec.Struct, frozen=True):
    """Somebody enters. The topic's key is the id."""

    id: int
    name: str
    email_address: str
    credit_card: str
    city: str
    state: str
    date_time: datetime
    extra: str


class Auction(msgspec.Struct, frozen=True):
    """A person puts something up. The topic's key is the id; prices are in cents."""

    id: int
    item_name: str
    description: str
    initial_bid: int
    reserve: int
    date_time: datetime
    expires: datetime
    seller: int
    category: int
    extra: str


class Bid(msgspec.Struct, frozen=True):
    """A person bids for something. The topic's key is the auction; the price is in cents."""

    auction: int
    bidder: int
    price: int
    channel: str
    url: str
    date_time: datetime
    extra: str

    def beats(self, other: Bid) -> bool:
        """Return whether this one wins against another one for the same auction: higher, or as high and earlier."""
        return (-self.price, self.date_time) < (-other.price, other.date_time)
