"""Query 12: processing time windows. How many bids of a bidder were processed in each 10 seconds of the clock?

The result depends on when it is worked out; that is what the query is about.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

import pelton
from bench.nexmark.events import Bid, named
from pelton.aggregate import Count


class Processed(msgspec.Struct):
    """What was processed for a bidder in one window so far."""

    bidder: int
    bid_count: int
    starttime: datetime
    endtime: datetime


app = pelton.App(named("q12"))
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
results = app.topic(named("q12-results"), key_type=tuple[int, datetime], value_type=Processed)


@app.agent(bids)
async def count(stream: pelton.Stream[Bid]) -> None:
    """Count the bids of each window of the clock."""
    windows = stream.group_by(Bid.bidder).window(pelton.tumbling(10), time=pelton.PROCESSING_TIME, grace=10)
    async for window in windows.agg(bids=Count()):
        start, end = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (window.start_ms, window.end_ms))
        await results.send(key=(window.key, start), value=Processed(window.key, window["bids"], start, end))
