"""Query 13: bounded side input join. Each bid with what a fixed list says about it.

The list is a global table: every worker holds all of it, so that it can be looked up by anything. It is loaded before
the bids begin.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import msgspec

import pelton
from bench.nexmark.events import Bid, named

SIDE_INPUT_ROWS = 10_000


class Enriched(msgspec.Struct):
    """A bid, and the list's text for it."""

    auction: int
    bidder: int
    price: int
    date_time: datetime
    value: str


app = pelton.App(named("q13"))
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
side_inputs = app.topic(named("side-inputs"), key_type=int, value_type=str)
results = app.topic(named("q13-results"), key_type=int, value_type=Enriched)
side_input = app.GlobalTable("side_input", key_type=int, value_type=str)


@app.agent(side_inputs)
async def load(stream: pelton.Stream[str]) -> None:
    """Load the list."""
    async for key, value in stream.items():
        side_input[key] = value


@app.agent(bids, sink=[results])
async def enrich(stream: pelton.Stream[Bid]) -> AsyncIterator[Enriched]:
    """Look each bid up."""
    async for bid, value in stream.join(side_input, on=lambda bid: bid.auction % SIDE_INPUT_ROWS):
        yield Enriched(bid.auction, bid.bidder, bid.price, bid.date_time, value)
