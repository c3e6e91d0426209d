"""Query 19: auction top 10. The ten highest bids of each auction, ranked."""

from __future__ import annotations

from bisect import insort
from collections.abc import AsyncIterator

import msgspec

import pelton
from bench.nexmark.events import Bid, named

RANKS = 10


class Ranked(msgspec.Struct):
    """A bid, and its place among those of its auction; of equal prices, the earlier one comes first."""

    rank_number: int
    bid: Bid


app = pelton.App(named("q19"))
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
results = app.topic(named("q19-results"), key_type=int, value_type=list[Ranked])
top = app.Table("top", key_type=int, value_type=list[Bid], default=list)


@app.agent(bids, sink=[results])
async def rank(stream: pelton.Stream[Bid]) -> AsyncIterator[list[Ranked]]:
    """Keep the highest bids of each auction, and tell when they change."""
    async for bid in stream:
        known = top[bid.auction]
        if len(known) < RANKS or bid.price > known[-1].price:
            insort(known, bid, key=lambda one: -one.price)
            top[bid.auction] = known[:RANKS]
            yield [Ranked(number, one) for number, one in enumerate(known[:RANKS], 1)]
