"""Query 15: bidding statistics report. How many bids, bidders and auctions a day, at different levels of price?

Different ones are counted exactly: a table holds each that was seen, a row each, whatever their number. Results are
told once a batch, not once a bid.
"""

from __future__ import annotations

import msgspec

import pelton
from bench.nexmark.events import Bid, named
from bench.nexmark.queries.levels import Levels


class Report(msgspec.Struct):
    """The figures of a day so far."""

    day: str
    levels: Levels


app = pelton.App(named("q15"))
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
results = app.topic(named("q15-results"), key_type=str, value_type=Report)
days = app.Table("days", key_type=str, default=Levels)
seen = app.Table("seen", key_type=tuple[str, str, str, int], value_type=bool)


def day_of(bid: Bid) -> str:
    """Return the day of a bid."""
    return bid.date_time.strftime("%Y-%m-%d")


@app.agent(bids)
async def report(stream: pelton.Stream[Bid]) -> None:
    """Count the bids of each day."""
    async for batch in stream.group_by(day_of, name="day").batches():
        fresh: dict[str, Levels] = {}
        for day, bid in zip(batch.keys, batch.values, strict=True):
            if day not in fresh:
                fresh[day] = days[day]
            fresh[day].add(bid, seen, day)
        for day, levels in fresh.items():
            days[day] = levels
            await results.send(key=day, value=Report(day, levels))
