"""Follow orders for the gateway: it answers from this view, whichever of the services is up.

An order to which nothing has happened for a quarter of a year is forgotten.
"""

from __future__ import annotations

from app.bank import app, order_events
from app.models.order import OrderEvent
from app.retention import ORDERS
from app.tables.orders import order_views
from pelton import FiredTimer, Stream, current_event

__all__ = ["follow_orders"]


@app.agent(order_events)
async def follow_orders(stream: Stream[OrderEvent]) -> None:
    """Keep what each order has come to."""
    timers = stream.timers()
    async for one in timers:
        if isinstance(one, FiredTimer):
            order_views.pop(one.key, None)
            continue
        event = current_event()
        assert event is not None
        order_views[one.order] = order_views[one.order].after(one, event.message.timestamp)
        timers.set("forget", after=ORDERS)
