"""Follow orders for the gateway: it answers from this view, whichever of the services is up."""

from __future__ import annotations

from app.bank import app, order_events
from app.models.order import OrderEvent
from app.tables.orders import order_views
from pelton import Stream

__all__ = ["follow_orders"]


@app.agent(order_events)
async def follow_orders(stream: Stream[OrderEvent]) -> None:
    """Keep what each order has come to."""
    async for event in stream.events():
        order = event.value.order
        order_views[order] = order_views[order].after(event.value, event.message.timestamp)
