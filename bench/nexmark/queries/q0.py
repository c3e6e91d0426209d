"""Query 0: pass through. What it costs to read, decode, encode and write each bid."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import msgspec

import pelton
from bench.nexmark.events import Bid, named


class Passed(msgspec.Struct):
    """A bid without its channel."""

    auction: int
    bidder: int
    price: int
    date_time: datetime
    extra: str


app = pelton.App(named("q0"))
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
results = app.topic(named("q0-results"), key_type=int, value_type=Passed)


@app.agent(bids, sink=[results])
async def pass_through(stream: pelton.Stream[Bid]) -> AsyncIterator[Passed]:
    """Send each bid on."""
    async for bid in stream:
        yield Passed(bid.auction, bid.bidder, bid.price, bid.date_time, bid.extra)
