"""Query 7: highest bid. The highest bids of every 10 seconds, of all auctions together.

Each partition passes on only what is its highest so far, which is little; the partition that a window's key leads to
compares these.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pelton
from bench.nexmark.events import Bid, named

PERIOD = pelton.tumbling(10)

app = pelton.App(named("q7"))
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
candidates = app.topic(named("q7-candidates"), key_type=int, value_type=Bid)
results = app.topic(named("q7-results"), key_type=int, value_type=list[Bid])
here = app.Table("here", key_type=str, default=int).tumbling(10, timedelta(minutes=1))
highest = app.Table("highest", key_type=int, value_type=list[Bid], default=list)


@app.agent(bids)
async def preselect(stream: pelton.Stream[Bid]) -> None:
    """Pass on the bids that are as high as any in this partition's window so far."""
    async for bid in stream:
        if bid.price >= here["highest"].current():
            here["highest"] = bid.price
            await candidates.send(key=PERIOD.start(round(bid.date_time.timestamp() * 1000)), value=bid)


@app.agent(candidates, sink=[results])
async def compare(stream: pelton.Stream[Bid]) -> AsyncIterator[list[Bid]]:
    """Keep the highest bids of each window, and tell when there is another."""
    async for window, bid in stream.items():
        known = highest[window]
        if not known or bid.price >= known[0].price:
            highest[window] = known = [*(one for one in known if one.price == bid.price), bid]
            yield known
