"""Prices and their past: a table with history, read by its own agent, by another one, and from outside."""

import os
from datetime import timedelta

import msgspec

import pelton

#: What the names of its topics begin with, so that several can be on one Kafka.
RUN = os.environ.get("HISTORIES_RUN", "histories")


class Price(msgspec.Struct):
    at: float
    amount: int | None


class Sale(msgspec.Struct):
    at: float


app = pelton.App(RUN, topic_partitions=2)
told = app.topic(f"{RUN}-told", key_type=str, value_type=Price)
sales = app.topic(f"{RUN}-sales", key_type=str, value_type=Sale)
prices = app.Table("prices", key_type=str, value_type=int, history=timedelta(hours=1), time=Price.at)
sold = app.topic(f"{RUN}-sold", key_type=str, value_type=tuple)
plain = app.Table("plain", default=int)
seen = []


@app.agent(told)
async def price(stream):
    async for key, one in stream.items():
        before = len(prices.versions(key))
        if one.amount is None:
            prices.pop(key, None)
        else:
            prices[key] = one.amount
        seen.append((key, before, len(prices.versions(key)), prices.at(one.at).get(key)))


@app.agent(sales, sink=[sold])
async def sell(stream):
    async for key, sale in stream.items():
        yield key, sale.at, prices.at(sale.at).get(key)
