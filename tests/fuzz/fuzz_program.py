"""A program with an agent of every sort, each of which leaves a receipt for every event that it has processed.

Started as a real worker, with its name (FUZZ_APP), the log (BROKER_URL) and the data directory (APP_DATADIR) in the
environment.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import faust
import msgspec

import pelton
from tests.fuzz.fuzz_records import UNLUCKY

RUN = os.environ.get("FUZZ_APP", "fuzz")
PARTITIONS = 2


class Payment(msgspec.Struct):
    """What most records claim to be. ts: seconds since the epoch."""

    id: int
    account: str
    amount: float
    ts: float


class Order(faust.Record):
    """The same as Faust's own kind of model."""

    id: int
    account: str
    amount: float
    ts: float


class Unspeakable(Exception):
    """An error that cannot even be told."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


app = pelton.App(RUN, topic_partitions=PARTITIONS)


def topic(name: str, **types: Any) -> pelton.Topic[Any, Any]:
    """Declare a topic that takes any timestamp and any size, and keeps everything."""
    config = {"message.timestamp.after.max.ms": 2**63 - 1, "max.message.bytes": 16 * 1024 * 1024}
    retention = timedelta(days=36_500)
    return app.topic(f"{RUN}-{name}", partitions=PARTITIONS, retention=retention, config=config, **types)


structs, orders, dicts = topic("structs", value_type=Payment), topic("records", value_type=Order), topic("dicts")
raw, many = topic("raw", value_serializer="raw"), topic("many", key_type=str, value_type=Payment)
shared, shared_too = topic("shared", value_type=Payment), topic("shared", value_type=dict)
receipts, copies = topic("receipts", value_serializer="raw"), topic("copies", value_serializer="raw")
windows = app.Table("windows", default=float, partitions=PARTITIONS).tumbling(60, expires=600).relative_to_field("ts")
hops = app.Table("hops", default=int, key_type=str, partitions=PARTITIONS).hopping(10, 5, expires=60)
totals = app.Table("totals", default=float, partitions=PARTITIONS)


def receipt(agent: str, event: Any) -> bytes:
    """Return the proof that an agent has processed an event."""
    message = event.message
    return f"{agent} {message.topic} {message.partition} {message.offset}".encode()


@app.agent(structs, sink=[receipts])
async def of_structs(stream: pelton.Stream[Payment]) -> AsyncIterator[bytes]:
    """Sum up windows of the payment's time, and count those of the log's."""
    async for event in stream.events():
        payment = event.value
        windows[payment.account] = windows[payment.account].current() + payment.amount
        hops[payment.account] += 1
        yield receipt("structs", event)


@app.agent(orders, sink=[receipts])
async def of_records(stream: pelton.Stream[Order]) -> AsyncIterator[bytes]:
    """Sum up accounts."""
    async for event in stream.events():
        totals[event.value.account] += event.value.amount
        yield receipt("records", event)


@app.agent(dicts)
async def of_dicts(stream: pelton.Stream[Any]) -> None:
    """Take many events at a time; one that cannot be borne fails them all."""
    async for events in stream.take_events(30, within=0.02):
        for event in events:
            payment = event.value
            if not isinstance(payment, dict) or payment["amount"] == UNLUCKY:
                raise ValueError(f"cannot bear {str(payment)[:50]}")
            _ = payment["account"], payment["id"], payment["ts"]
            await receipts.send(value=receipt("dicts", event))


@app.agent(raw, sink=[receipts])
async def of_bytes(stream: pelton.Stream[bytes]) -> AsyncIterator[bytes]:
    """Send everything on, byte for byte."""
    async for event in stream.events():
        await event.forward(copies)
        yield receipt("raw", event)


@app.agent(many, concurrency=4, sink=[receipts])
async def of_many(stream: pelton.Stream[Payment]) -> AsyncIterator[bytes]:
    """Work in several lanes, on keys that must be text."""
    async for event in stream.events():
        if event.value.amount == UNLUCKY:
            raise Unspeakable
        totals[event.key] += 1
        yield receipt("many", event)


@app.agent(shared, sink=[receipts])
async def of_shared(stream: pelton.Stream[Payment]) -> AsyncIterator[bytes]:
    """Read what another agent reads as something else."""
    async for event in stream.events():
        yield receipt("shared", event)


@app.agent(shared_too, sink=[receipts])
async def of_shared_too(stream: pelton.Stream[dict[str, Any]]) -> AsyncIterator[bytes]:
    """Read the same records as dicts of any kind."""
    async for event in stream.events():
        _ = event.value["account"], event.value["amount"]
        yield receipt("shared-too", event)
