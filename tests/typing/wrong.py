# pyright: strict
"""Mistakes that both type checkers must find, each on a line that says so; nothing of this runs."""

from __future__ import annotations

import msgspec

import pelton
from pelton import Stream
from pelton.testing import Driver


class Payment(msgspec.Struct):
    account: str
    amount: float


class Refund(msgspec.Struct):
    cents: int


app = pelton.App("mistaken")
payments = app.topic("payments", key_type=str, value_type=Payment)
totals = app.Table("totals", default=float, key_type=str)
per_minute = app.Table("per_minute", default=int, key_type=str).tumbling(60)


@app.agent(payments)
async def attributes(stream: Stream[Payment]) -> None:
    """Wrong attributes, keys and values."""
    async for payment in stream:
        print(payment.ammount)  # wrong
        totals[payment.amount] += 1.0  # wrong
        totals[payment.account] = "a lot"  # wrong
        per_minute[payment.account].current().upper()  # wrong
        totals[payment.account].append(1)  # wrong
    async for batch in stream.batches():
        print(batch.values[0].ammount)  # wrong
    async for event in stream.events():
        print(event.value.ammount)  # wrong
    async for taken in stream.take(10, within=1):
        print(taken[0].ammount)  # wrong


@app.agent(payments)  # wrong
async def another_type(stream: Stream[Refund]) -> None:
    """A stream of another type than its topic's."""
    async for refund in stream:
        print(refund.cents)


@app.agent(payments)
async def joined(stream: Stream[Payment]) -> None:
    """A wrong side of a join."""
    async for payment, total in stream.join(totals):
        print(payment.cents)  # wrong
        print(total.cents)  # wrong


def driven(driver: Driver) -> None:
    """A test that reads what cannot be there."""
    print(driver.read(payments)[0].value.ammount)  # wrong
    print(driver.table(totals)["ann"].ammount)  # wrong
