"""Query 6: average selling price by seller. The mean of what the last ten auctions of each seller were won with.

Last are those whose winning bids came last. A better bid may still take the place of one that is among them, or put
another auction among them, so all of a seller's auctions are kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import msgspec

import pelton
from bench.nexmark.events import LONGEST_AUCTION, Auction, Bid, named

LAST = 10


class Won(msgspec.Struct, order=True):
    """When, in which auction, and with what price a bid won. In this order, the last ones come last."""

    date_time: datetime
    auction: int
    price: int


class AveragePrice(msgspec.Struct):
    """The mean of a seller so far, in whole cents."""

    seller: int
    avg_price: int


app = pelton.App(named("q6"))
auctions = app.topic(named("auctions"), key_type=int, value_type=Auction, timestamp=Auction.date_time)
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
winners = app.topic(named("q6-winners"), key_type=int, value_type=Won)
results = app.topic(named("q6-results"), key_type=int, value_type=AveragePrice)
best = app.Table("best", key_type=int, value_type=Bid)
sold = app.Table("sold", key_type=int, value_type=dict[int, Won], default=dict)


@app.agent(auctions)
async def win(stream: pelton.Stream[Auction]) -> None:
    """Keep each auction's best bid, and tell the seller when it changes."""
    offers = stream.join(bids, within=(0, LONGEST_AUCTION), grace=4)
    async for auction, bid in offers:
        before = best.get(auction.id)
        if bid.date_time <= auction.expires and (before is None or bid.beats(before)):
            best[auction.id] = bid
            await winners.send(key=auction.seller, value=Won(bid.date_time, auction.id, bid.price))


@app.agent(winners, sink=[results])
async def average(stream: pelton.Stream[Won]) -> AsyncIterator[AveragePrice]:
    """Keep the mean of each seller's last auctions."""
    async for seller, won in stream.items():
        every = sold[seller]
        every[won.auction] = won
        sold[seller] = every
        last = sorted(every.values())[-LAST:]
        yield AveragePrice(seller, sum(one.price for one in last) // len(last))
