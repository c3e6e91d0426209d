"""Query 1: currency conversion. Each bid's price in euros."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal

import msgspec

import pelton
from bench.nexmark.events import Bid, named

EUROS_PER_DOLLAR = Decimal("0.908")


class Converted(msgspec.Struct):
    """A bid with its price in euros, exactly."""

    auction: int
    bidder: int
    price: Decimal
    date_time: datetime
    extra: str


app = pelton.App(named("q1"))
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
results = app.topic(named("q1-results"), key_type=int, value_type=Converted)


@app.agent(bids, sink=[results])
async def convert(stream: pelton.Stream[Bid]) -> AsyncIterator[Converted]:
    """Convert each bid's price."""
    async for bid in stream:
        yield Converted(bid.auction, bid.bidder, bid.price * EUROS_PER_DOLLAR, bid.date_time, bid.extra)
