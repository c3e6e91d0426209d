"""An application whose dead letters tests look at, replay and discard; its name (DLQ_APP) and log come from outside."""

from __future__ import annotations

import os

import msgspec

import pelton

RUN = os.environ.get("DLQ_APP", "dlq")


class Order(msgspec.Struct):
    """What the values are meant to be."""

    amount: int


app = pelton.App(RUN, topic_partitions=2)
orders = app.topic(f"{RUN}-orders", key_type=str, value_type=Order)


@app.agent(orders)
async def refuse(stream: pelton.Stream[Order]) -> None:
    """Fail on every order."""
    async for order in stream:
        raise ValueError(f"unlucky {order.amount}")
