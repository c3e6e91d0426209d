"""Query 8: monitor new users. Who has entered, and put something up in the same 10 seconds?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec

import pelton
from bench.nexmark.events import Auction, Person, named

PERIOD_S = 10


class NewSeller(msgspec.Struct):
    """Who sells already, and when the period began in which that person came."""

    id: int
    name: str
    starttime: datetime


app = pelton.App(named("q8"))
persons = app.topic(named("persons"), key_type=int, value_type=Person, timestamp=Person.date_time)
auctions = app.topic(named("auctions"), key_type=int, value_type=Auction, timestamp=Auction.date_time)
results = app.topic(named("q8-results"), key_type=int, value_type=NewSeller)
told = app.Table("told", key_type=int, default=bool)


def period(time: datetime) -> datetime:
    """Return when the period began that a time is in."""
    return datetime.fromtimestamp(time.timestamp() // PERIOD_S * PERIOD_S, UTC)


@app.agent(persons, sink=[results])
async def monitor(stream: pelton.Stream[Person]) -> AsyncIterator[NewSeller]:
    """Pair people with what they put up, and tell of each person once."""
    joined = stream.join(
        auctions,
        on=(Person.id, Auction.seller),
        within=PERIOD_S,
        grace=timedelta(hours=1),
    )
    async for person, auction in joined:
        came = period(person.date_time)
        if period(auction.date_time) == came and not told[person.id]:
            told[person.id] = True
            yield NewSeller(person.id, person.name, came)
