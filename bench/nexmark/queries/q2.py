"""Query 2: selection. The bids for some of the auctions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

import pelton
from bench.nexmark.events import Bid, named


class Offer(msgspec.Struct):
    """What was bid for which auction."""

    auction: int
    price: int


app = pelton.App(named("q2"))
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
results = app.topic(named("q2-results"), key_type=int, value_type=Offer)


@app.agent(bids, sink=[results])
async def select(stream: pelton.Stream[Bid]) -> AsyncIterator[Offer]:
    """Select every 123rd auction."""
    async for bid in stream.filter(lambda bid: bid.auction % 123 == 0):
        yield Offer(bid.auction, bid.price)
