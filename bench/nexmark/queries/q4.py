"""Query 4: average price for a category. The mean of what the auctions of each category were won with.

A join, the best of each auction, then a mean over auctions that are elsewhere. While an auction is open, a better bid
takes the place of the one before, so what goes on is a change: this price now, instead of that one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

import pelton
from bench.nexmark.events import LONGEST_AUCTION, Auction, Bid, named


class Change(msgspec.Struct):
    """An auction's best price, and the one it replaces; 0 when it is the first."""

    price: int
    instead_of: int


class Prices(msgspec.Struct):
    """How many auctions of a category have bids, and the sum of their best prices."""

    count: int = 0
    total: int = 0


class AveragePrice(msgspec.Struct):
    """The mean of a category so far, in whole cents."""

    category: int
    final: int


app = pelton.App(named("q4"))
auctions = app.topic(named("auctions"), key_type=int, value_type=Auction, timestamp=Auction.date_time)
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
changes = app.topic(named("q4-changes"), key_type=int, value_type=Change)
results = app.topic(named("q4-results"), key_type=int, value_type=AveragePrice)
best = app.Table("best", key_type=int, default=int)
prices = app.Table("prices", key_type=int, default=Prices)


@app.agent(auctions)
async def win(stream: pelton.Stream[Auction]) -> None:
    """Keep each auction's best price, and tell the category of every change."""
    offers = stream.join(bids, within=(0, LONGEST_AUCTION), grace=4)
    async for auction, bid in offers:
        before = best[auction.id]
        if bid.date_time <= auction.expires and bid.price > before:
            best[auction.id] = bid.price
            await changes.send(key=auction.category, value=Change(bid.price, before))


@app.agent(changes, sink=[results])
async def average(stream: pelton.Stream[Change]) -> AsyncIterator[AveragePrice]:
    """Keep the mean of each category."""
    async for category, change in stream.items():
        known = prices[category]
        known.count += change.instead_of == 0
        known.total += change.price - change.instead_of
        prices[category] = known
        yield AveragePrice(category, known.total // known.count)
