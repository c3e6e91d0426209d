"""Query 11: user sessions. How many bids did a bidder make before a pause of 10 seconds?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec

import pelton
from bench.nexmark.events import Bid, named
from pelton.aggregate import Count


class Session(msgspec.Struct):
    """A session that is over."""

    bidder: int
    bid_count: int
    starttime: datetime
    endtime: datetime


app = pelton.App(named("q11"))
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
results = app.topic(named("q11-results"), key_type=int, value_type=Session)


@app.agent(bids, sink=[results])
async def sessions(stream: pelton.Stream[Bid]) -> AsyncIterator[Session]:
    """Count the bids of each session."""
    windows = stream.group_by(Bid.bidder).window(pelton.session(10), grace=timedelta(hours=1))
    async for window in windows.agg(bids=Count()).on_close():
        start, end = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (window.start_ms, window.end_ms))
        yield Session(window.key, window["bids"], start, end)
