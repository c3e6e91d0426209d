# pyright: strict
"""What both type checkers know about a program without being told more than the types of its topics and tables.

This file is read by type checkers only (test_types.py); nothing of it runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, assert_type

import msgspec

import pelton
from pelton import Agent, Batch, Event, Stream, Table, Topic
from pelton.aggregate import Count, Mean, Sum
from pelton.shell.channel import Channel
from pelton.shell.sets import SetTable
from pelton.shell.windowed import WindowedTable, WindowSet
from pelton.testing import Driver, Record


class Payment(msgspec.Struct):
    account: str
    amount: float


class Refund(msgspec.Struct):
    payment: str
    cents: int


app = pelton.App("typed")
payments = app.topic("payments", key_type=str, value_type=Payment)
refunds = app.topic("refunds", key_type=str, value_type=Refund)
values_only = app.topic("values", value_type=Payment)
keys_only = app.topic("keys", key_type=str)
anything = app.topic("anything")
assert_type(payments, Topic[str, Payment])
assert_type(values_only, Topic[Any, Payment])
assert_type(keys_only, Topic[str, Any])
assert_type(anything, Topic[Any, Any])
assert_type(app.channel(value_type=Payment), Channel[Payment])

totals = app.Table("totals", default=float, key_type=str)
counts = app.Table("counts", default=int)
latest = app.Table("latest", key_type=str, value_type=Payment)
rates = app.GlobalTable("rates", default=float, key_type=str)
tags = app.SetTable("tags", key_type=str, value_type=int)
per_minute = app.Table("per_minute", default=int, key_type=str).tumbling(60).relative_to_stream()
assert_type(totals, Table[str, float])
assert_type(counts, Table[Any, int])
assert_type(latest, Table[str, Payment])
assert_type(rates, Table[str, float])
assert_type(tags, SetTable[str, int])
assert_type(per_minute, WindowedTable[str, int])


@app.agent(payments, sink=[totals.name])
async def one_by_one(stream: Stream[Payment]) -> AsyncIterator[float]:
    """An event at a time, and what tables give for it."""
    assert_type(stream, Stream[Payment])
    async for payment in stream:
        assert_type(payment, Payment)
        assert_type(payment.amount, float)
        totals[payment.account] += payment.amount
        assert_type(totals[payment.account], float)
        assert_type(latest[payment.account].amount, float)
        per_minute[payment.account] += 1
        assert_type(per_minute[payment.account], WindowSet[str, int])
        assert_type(per_minute[payment.account].current(), int)
        assert_type(per_minute[payment.account].delta(60), int)
        for key, value in totals.items():
            assert_type(key, str)
            assert_type(value, float)
        yield payment.amount


assert_type(one_by_one, Agent[Payment])


@app.agent(payments)
async def batches(stream: Stream[Payment]) -> None:
    """Whole batches."""
    async for batch in stream.batches():
        assert_type(batch, Batch[Payment])
        assert_type([payment.amount for payment in batch.values], list[float])


@app.agent(payments)
async def several(stream: Stream[Payment]) -> None:
    """Lists, events, items."""
    async for taken in stream.take(10, within=1):
        assert_type(taken, list[Payment])
    async for event in stream.events():
        assert_type(event, Event[Payment])
        assert_type(event.value.amount, float)
    async for _, payment in stream.items():
        assert_type(payment, Payment)
    async for number, payment in stream.enumerate():
        assert_type(number, int)
        assert_type(payment, Payment)


@app.agent(payments)
async def operators(stream: Stream[Payment]) -> None:
    """Operators keep the type of the values."""
    assert_type(stream.filter(lambda payment: payment.amount > 1), Stream[Payment])
    assert_type(stream.group_by("account"), Stream[Payment])
    assert_type(stream.through("elsewhere"), Stream[Payment])
    async for joined in stream.join(refunds, within=60):
        assert_type(joined[0], Payment)
        assert_type(joined[1], Refund)
    async for with_rate in stream.join(rates, on="account"):
        assert_type(with_rate, tuple[Payment, float])
    async for maybe in stream.left_join(rates, on="account"):
        assert_type(maybe, tuple[Payment, float | None])


@app.agent(payments)
async def windows(stream: Stream[Payment]) -> None:
    """A result, looked up by the aggregate itself, has the type that this gives; by name, nobody knows which."""
    count, mean, total = Count(), Mean(Payment.amount), Sum(Payment.amount)
    aggregated = stream.window(pelton.tumbling(60)).agg(count=count, mean=mean, total=total)
    async for result in aggregated.on_close():
        assert_type(result[count], int)
        assert_type(result[mean], float | None)
        assert_type(result[total], Any)
        assert_type(result["total"], Any)


async def questions() -> None:
    """An answer has the type that it is asked for as."""
    assert_type(await one_by_one.ask(Payment("ann", 5.0), answer_type=float), float)
    assert_type(await one_by_one.ask(Payment("ann", 5.0), answer_type=Refund, key="ann", timeout=5), Refund)
    assert_type(await one_by_one.ask(Payment("ann", 5.0)), Any)


@app.agent(totals.left_join(latest))
async def joined_tables(stream: Stream[tuple[float, Payment | None] | None]) -> None:
    """The changes of a join of tables, None where a row is gone."""
    async for row in stream:
        assert_type(row, tuple[float, Payment | None] | None)


@app.agent(app.topic("with_tombstones", value_type=Payment, allow_empty=True))
async def tombstones(stream: Stream[Payment | None]) -> None:
    """An agent that wants tombstones says so."""
    async for payment in stream:
        assert_type(payment, Payment | None)


@app.agent(value_type=Payment)
async def own_topic(stream: Stream[Payment]) -> None:
    """An agent with a topic of its own."""
    async for payment in stream:
        assert_type(payment, Payment)


@app.agent()
async def untyped(stream: Stream[Any]) -> None:
    """An agent of whatever comes."""
    async for value in stream:
        assert_type(value, Any)


assert_type(own_topic, Agent[Payment])


@app.page("/totals/{account}")
@app.table_route(table=totals, match_info="account")
async def total_of(self: pelton.View, request: pelton.Request, account: str) -> pelton.Response:
    """What is in braces in the path goes to the function; a table says which worker answers."""
    raise LookupError(f"{account} has {totals[account]}")


def driven(driver: Driver) -> None:
    """What a test reads has the type of the topic."""
    driver.send(payments, "ann", Payment("ann", 5.0))
    assert_type(driver.read(payments), list[Record[str, Payment]])
    assert_type(driver.read("payments"), list[Record[Any, Any]])
    assert_type(driver.table(totals), Table[str, float])
