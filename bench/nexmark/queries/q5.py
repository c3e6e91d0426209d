"""Query 5: hot items. Which auctions had the most bids in the last 10 seconds, every 2 seconds?

The windows of an auction are counted where its bids are, and only a count for each goes on. What comes together for a
window comes from several partitions, of which none knows how far the others are, so the result is told as it is so
far; the last one for a window stands.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec

import pelton
from bench.nexmark.events import Bid, named
from pelton.aggregate import Count


class HotItem(msgspec.Struct):
    """An auction that had as many bids as any in a window."""

    window_start: datetime
    auction: int
    num: int


app = pelton.App(named("q5"))
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
counts = app.topic(named("q5-counts"), key_type=int, value_type=HotItem)
results = app.topic(named("q5-results"), key_type=int, value_type=list[HotItem])
hottest = app.Table("hottest", key_type=int, value_type=list[HotItem], default=list)


@app.agent(bids)
async def count(stream: pelton.Stream[Bid]) -> None:
    """Count each auction's bids in each window."""
    windows = stream.window(pelton.hopping(10, 2), grace=4)
    async for window in windows.agg(bids=Count()).on_close():
        start = datetime.fromtimestamp(window.start_ms / 1000, UTC)
        await counts.send(key=window.start_ms, value=HotItem(start, window.key, window["bids"]))


@app.agent(counts, sink=[results])
async def compare(stream: pelton.Stream[HotItem]) -> AsyncIterator[list[HotItem]]:
    """Keep, for each window, the auctions with the most bids."""
    async for window, item in stream.items():
        known = hottest[window]
        if not known or item.num >= known[0].num:
            hottest[window] = known = [*(one for one in known if one.num == item.num), item]
            yield known
