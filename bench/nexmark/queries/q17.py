"""Query 17: auction statistics report. How many bids an auction had each day, and their prices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

import pelton
from bench.nexmark.events import Bid, named
from pelton.aggregate import Count, Max, Min, Sum


class Report(msgspec.Struct):
    """The figures of an auction's day so far; prices in whole cents."""

    auction: int
    day: str
    total_bids: int
    rank1_bids: int
    rank2_bids: int
    rank3_bids: int
    min_price: int
    max_price: int
    avg_price: int
    sum_price: int


app = pelton.App(named("q17"))
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
results = app.topic(named("q17-results"), key_type=tuple[int, str], value_type=Report)


@app.agent(bids)
async def report(stream: pelton.Stream[Bid]) -> None:
    """Work out the figures of each auction and day, anew with each bid."""
    days = stream.window(pelton.tumbling(timedelta(days=1)), grace=4).agg(
        total=Count(),
        rank1=Sum(lambda bid: bid.price < 10_000),
        rank2=Sum(lambda bid: 10_000 <= bid.price < 1_000_000),
        rank3=Sum(lambda bid: bid.price >= 1_000_000),
        least=Min(Bid.price),
        most=Max(Bid.price),
        price=Sum(Bid.price),
    )
    async for window in days:
        total, rank1, rank2, rank3, least, most, price = window.values.values()
        day = datetime.fromtimestamp(window.start_ms / 1000, UTC).strftime("%Y-%m-%d")
        report = Report(window.key, day, total, rank1, rank2, rank3, least, most, price // total, price)
        await results.send(key=(window.key, day), value=report)
