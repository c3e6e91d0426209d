"""Query 22: get URL directories. The first three parts of the path of each bid's address."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

import pelton
from bench.nexmark.events import Bid, named


class Directories(msgspec.Struct):
    """A bid, and the parts of its address; None where there is none."""

    auction: int
    bidder: int
    price: int
    channel: str
    dir1: str | None
    dir2: str | None
    dir3: str | None


app = pelton.App(named("q22"))
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
results = app.topic(named("q22-results"), key_type=int, value_type=Directories)


@app.agent(bids, sink=[results])
async def split(stream: pelton.Stream[Bid]) -> AsyncIterator[Directories]:
    """Split each address."""
    async for bid in stream:
        dir1, dir2, dir3 = (*bid.url.split("/")[3:6], None, None, None)[:3]
        yield Directories(bid.auction, bid.bidder, bid.price, bid.channel, dir1, dir2, dir3)
