"""Query 9: winning bids. The highest bid of each auction while it was open; of equal ones, the first."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

import pelton
from bench.nexmark.events import LONGEST_AUCTION, Auction, Bid, named


class Winning(msgspec.Struct):
    """An auction and the best bid so far."""

    auction: Auction
    bid: Bid


app = pelton.App(named("q9"))
auctions = app.topic(named("auctions"), key_type=int, value_type=Auction, timestamp=Auction.date_time)
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
results = app.topic(named("q9-results"), key_type=int, value_type=Winning)
best = app.Table("best", key_type=int, value_type=Bid)


@app.agent(auctions, sink=[results])
async def win(stream: pelton.Stream[Auction]) -> AsyncIterator[Winning]:
    """Keep each auction's best bid, and tell when there is a better one."""
    offers = stream.join(bids, within=(0, LONGEST_AUCTION), grace=4)
    async for auction, bid in offers:
        before = best.get(auction.id)
        if bid.date_time <= auction.expires and (before is None or bid.beats(before)):
            best[auction.id] = bid
            yield Winning(auction, bid)
