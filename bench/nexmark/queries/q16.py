"""Query 16: channel statistics report. Query 15 for each channel, and the last minute of the day that had a bid."""

from __future__ import annotations

import msgspec

import pelton
from bench.nexmark.events import Bid, named
from bench.nexmark.queries.levels import Levels


class Report(msgspec.Struct):
    """The figures of a channel's day so far. minute: the last one with a bid, as 23:59."""

    channel: str
    day: str
    minute: str = ""
    levels: Levels = msgspec.field(default_factory=Levels)


app = pelton.App(named("q16"))
bids = app.topic(named("bids"), key_type=int, value_type=Bid, timestamp=Bid.date_time)
results = app.topic(named("q16-results"), key_type=tuple[str, str], value_type=Report)
reports = app.Table("reports", key_type=tuple[str, str], value_type=Report)
seen = app.Table("seen", key_type=tuple[str, str, str, int], value_type=bool)


@app.agent(bids)
async def report(stream: pelton.Stream[Bid]) -> None:
    """Count the bids of each channel and day."""
    async for batch in stream.group_by(Bid.channel).batches():
        fresh: dict[tuple[str, str], Report] = {}
        for bid in batch.values:
            day, minute = bid.date_time.strftime("%Y-%m-%d %H:%M").split()
            key = (bid.channel, day)
            if key not in fresh:
                fresh[key] = reports.get(key) or Report(*key)
            fresh[key].minute = max(fresh[key].minute, minute)
            fresh[key].levels.add(bid, seen, f"{bid.channel} {day}")
        for key, known in fresh.items():
            reports[key] = known
            await results.send(key=key, value=known)
