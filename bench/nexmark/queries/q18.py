"""Query 18: find last bid. The last bid of each bidder for each auction."""

from __future__ import annotations

import pelton
from bench.nexmark.events import Bid, named

app = pelton.App(named("q18"))
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
results = app.topic(named("q18-results"), key_type=tuple[int, int], value_type=Bid)
last = app.Table("last", key_type=tuple[int, int], value_type=Bid)


@app.agent(bids)
async def keep_last(stream: pelton.Stream[Bid]) -> None:
    """Keep the bid with the latest time; of equal times, the one that came last."""
    async for bid in stream:
        key = (bid.bidder, bid.auction)
        known = last.get(key)
        if known is None or bid.date_time >= known.date_time:
            last[key] = bid
            await results.send(key=key, value=bid)
