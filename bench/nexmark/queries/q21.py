"""Query 21: add channel id. The number of each bid's channel: known by name, or else told by the address."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import msgspec

import pelton
from bench.nexmark.events import Bid, named

KNOWN = {"apple": "0", "google": "1", "facebook": "2", "baidu": "3"}
CHANNEL_ID = re.compile("(?:&|^)channel_id=([^&]*)")


class Channelled(msgspec.Struct):
    """A bid with the id of its channel."""

    auction: int
    bidder: int
    price: int
    channel: str
    channel_id: str


app = pelton.App(named("q21"))
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
results = app.topic(named("q21-results"), key_type=int, value_type=Channelled)


@app.agent(bids, sink=[results])
async def add_channel_id(stream: pelton.Stream[Bid]) -> AsyncIterator[Channelled]:
    """Add the id; bids that have none are left out."""
    async for bid in stream:
        told = CHANNEL_ID.search(bid.url)
        channel_id = KNOWN.get(bid.channel.lower(), told and told[1])
        if channel_id is not None:
            yield Channelled(bid.auction, bid.bidder, bid.price, bid.channel, channel_id)
