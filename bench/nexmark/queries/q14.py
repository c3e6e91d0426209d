"""Query 14: calculation. Large bids in euros, with the time of the day, and how often their text has the letter c."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal

import msgspec

import pelton
from bench.nexmark.events import Bid, named

EUROS_PER_DOLLAR = Decimal("0.908")


class Calculated(msgspec.Struct):
    """A bid, and what was worked out of it."""

    auction: int
    bidder: int
    price: Decimal
    bid_time_type: str
    date_time: datetime
    extra: str
    c_counts: int


app = pelton.App(named("q14"))
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
results = app.topic(named("q14-results"), key_type=int, value_type=Calculated)


def time_of_day(hour: int) -> str:
    """Return what kind of time an hour belongs to."""
    if 8 <= hour <= 18:
        return "dayTime"
    return "nightTime" if hour <= 6 or hour >= 20 else "otherTime"


@app.agent(bids, sink=[results])
async def calculate(stream: pelton.Stream[Bid]) -> AsyncIterator[Calculated]:
    """Work it out for the bids in the range."""
    async for bid in stream:
        euros = bid.price * EUROS_PER_DOLLAR
        if 1_000_000 < euros < 50_000_000:
            kind, letters = time_of_day(bid.date_time.hour), bid.extra.count("c")
            yield Calculated(bid.auction, bid.bidder, euros, kind, bid.date_time, bid.extra, letters)
