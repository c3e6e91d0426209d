"""Orders: whether one can be had, what becomes of it when it is paid for or not, and the warehouse.

    OrderRequested ─▶ OrderPlaced · · · PaymentTaken ─▶ Reserve ─▶ StockReserved ─▶ OrderConfirmed
                 │              │                              └─▶ StockRefused ─▶ OrderCancelled
                 │              └ · · · PaymentRefused, CancelRequested, or nothing in time ─▶ OrderCancelled
                 └─▶ OrderCancelled

A dotted step is another service's, or the customer's: this one waits for its event, and calls nobody. What comes twice,
or too late, finds the order in another status and changes nothing. An order to which nothing has happened for a quarter
of a year is forgotten.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec

from app.models.order import (
    PRICES_CENTS,
    CancelRequested,
    OrderCancelled,
    OrderConfirmed,
    OrderEvent,
    OrderPlaced,
    OrderRequested,
    OrderStatus,
    PaymentRefused,
    PaymentTaken,
    StockRefused,
    StockReserved,
)
from app.retention import DERIVED, ORDERS
from app.services import order_events as events_of
from app.services import service
from pelton import FiredTimer, Stream

__all__ = ["app", "follow", "reserve"]

#: How long an order waits for its payment.
PAYMENT_TIME = timedelta(minutes=15)
#: What the warehouse has of each product at first, and gets when less than half of it is left; and when it comes.
DELIVERY = 200
DELIVERY_TIME = timedelta(minutes=1)


class Order(msgspec.Struct, frozen=True):
    """What this service has to know of an order."""

    status: OrderStatus = "unknown"
    product: str = ""
    quantity: int = 0


class Reserve(msgspec.Struct, frozen=True):
    """To the warehouse, by product: put so many aside."""

    order: str
    product: str
    quantity: int


app = service("orders")
order_events = events_of(app)
reservations = app.topic(
    f"{app.conf.id}-reservations", key_type=str, value_type=Reserve, partitions=4, retention=DERIVED
)
orders = app.Table("orders", default=Order, key_type=str, value_type=Order, partitions=4)
stock = app.Table("stock", default=lambda: DELIVERY, key_type=str, value_type=int, partitions=4)


@app.agent(order_events, sink=[order_events])
async def follow(stream: Stream[OrderEvent]) -> AsyncIterator[OrderEvent]:
    """Take each order a step further."""
    timers = stream.timers()
    async for one in timers:
        if isinstance(one, FiredTimer) and one.name == "forget":
            orders.pop(one.key, None)
            continue
        timers.set("forget", after=ORDERS)
        # No payment in time is as good as a refusal; one that comes all the same is given back.
        event = PaymentRefused(one.key, "it was not paid for in time") if isinstance(one, FiredTimer) else one
        order = orders[event.order]
        match event, order.status:
            case OrderRequested(account=account, product=product, quantity=quantity), "unknown":
                if product in PRICES_CENTS:
                    orders[event.order] = Order("placed", product, quantity)
                    timers.set("payment", after=PAYMENT_TIME, clock="wall")
                    yield OrderPlaced(event.order, account, quantity * PRICES_CENTS[product])
                else:
                    orders[event.order] = Order("cancelled", product, quantity)
                    yield OrderCancelled(event.order, "there is no such product")
            case PaymentTaken(), "placed":
                timers.cancel("payment")
                orders[event.order] = msgspec.structs.replace(order, status="paid")
                await reservations.send(key=order.product, value=Reserve(event.order, order.product, order.quantity))
            case StockReserved(), "paid":
                orders[event.order] = msgspec.structs.replace(order, status="confirmed")
                yield OrderConfirmed(event.order)
            case (PaymentRefused() | CancelRequested(), "placed") | (StockRefused(), "paid"):
                timers.cancel("payment")
                orders[event.order] = msgspec.structs.replace(order, status="cancelled")
                yield OrderCancelled(event.order, getattr(event, "reason", "the customer changed their mind"))
            case _:
                pass  # somebody else's event, or one that comes again or too late


@app.agent(reservations)
async def reserve(stream: Stream[Reserve]) -> None:
    """Put aside what there is, one order of a product after the other, and have more delivered."""
    timers = stream.timers()
    async for one in timers:
        if isinstance(one, FiredTimer):
            stock[one.key] += DELIVERY
            continue
        left = stock[one.product]
        if one.quantity <= left:
            stock[one.product] = left = left - one.quantity
            answer: OrderEvent = StockReserved(one.order)
        else:
            answer = StockRefused(one.order, f"only {left} left of {one.product}")
        if left < DELIVERY / 2 and timers.get("delivery") is None:
            timers.set("delivery", after=DELIVERY_TIME, clock="wall")
        await order_events.send(key=one.order, value=answer)
