"""Query 20: expand bid with auction. The bids for auctions of category 10, with all about the auction.

Both topics are keyed by the auction, so nothing is repartitioned. A bid may come before its auction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec

import pelton
from bench.nexmark.events import Auction, Bid, named


class Expanded(msgspec.Struct):
    """A bid and its auction."""

    bid: Bid
    auction: Auction


app = pelton.App(named("q20"))
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
auctions = app.topic(named("auctions"), key_type=int, value_type=Auction, timestamp=Auction.date_time)
results = app.topic(named("q20-results"), key_type=int, value_type=Expanded)


@app.agent(auctions, sink=[results])
async def expand(stream: pelton.Stream[Auction]) -> AsyncIterator[Expanded]:
    """Pair the auctions of the category with their bids."""
    chosen = stream.filter(lambda auction: auction.category == 10)
    joined = chosen.join(bids, within=timedelta(hours=1), grace=4)
    async for auction, bid in joined:
        yield Expanded(bid, auction)
