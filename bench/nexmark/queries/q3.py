"""Query 3: local item suggestion. Who sells in Oregon, Idaho or California in category 10, and which auctions?

A join of two streams by the seller, which is the key of neither topic's records alone: `on=` sends both through a topic
each, where they have it. An auction may come before its seller; it waits in the join's table.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec

import pelton
from bench.nexmark.events import Auction, Person, named

STATES = {"OR", "ID", "CA"}


class Suggestion(msgspec.Struct):
    """Who sells where, and which auction it is."""

    name: str
    city: str
    state: str
    id: int


app = pelton.App(named("q3"))
auctions = app.topic(named("auctions"), key_type=int, value_type=Auction, timestamp=Auction.date_time)
persons = app.topic(named("persons"), key_type=int, value_type=Person, timestamp=Person.date_time)
results = app.topic(named("q3-results"), key_type=int, value_type=Suggestion)


@app.agent(auctions, sink=[results])
async def suggest(stream: pelton.Stream[Auction]) -> AsyncIterator[Suggestion]:
    """Pair the auctions of the category with their sellers."""
    joined = stream.filter(lambda auction: auction.category == 10).join(
        persons,
        on=(Auction.seller, Person.id),
        within=timedelta(hours=12),
        grace=timedelta(hours=1),
    )
    async for auction, person in joined:
        if person.state in STATES:
            yield Suggestion(person.name, person.city, person.state, auction.id)
