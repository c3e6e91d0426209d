"""Reminders: an order that is not paid in time, by its own time and by the wall clock."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import msgspec

import pelton


class Order(msgspec.Struct):
    """An order, or its payment."""

    id: str
    at: float
    paid: bool = False


app = pelton.App(os.environ.get("TIMERS_APP", "timers"), topic_partitions=1)
orders = app.topic(f"{app.conf.id}-orders", key_type=str, value_type=Order)
reminders = app.topic(f"{app.conf.id}-reminders", key_type=str, value_type=str)
#: How long to wait for a payment by the wall clock, in seconds.
PATIENCE_S = float(os.environ.get("TIMERS_PATIENCE_S", "3600"))


@app.agent(orders, sink=[reminders])
async def remind(stream: pelton.Stream[Order]) -> AsyncIterator[str]:
    """Remind of each order that is not paid a minute later."""
    timers = stream.timers(time=Order.at)
    async for one in timers:
        if isinstance(one, pelton.FiredTimer):
            yield f"{one.key} {one.name} {one.value}"
        elif one.paid:
            timers.cancel("unpaid")
        else:
            timers.set("unpaid", after=60, value=one.id)
            timers.set("by the clock", after=PATIENCE_S, clock="wall", value=one.id)
