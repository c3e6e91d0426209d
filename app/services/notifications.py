"""Notifications: tells the customer how an order ends, once.

What is told is an event of the order like any other, and an effect of the event that it tells of. Sending it by mail
would be a sink behind that (docs/connect.md).
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.models.order import CustomerTold, OrderCancelled, OrderConfirmed, OrderEvent, PaymentReturned, ReturnRefused
from app.services import order_events as events_of
from app.services import service
from pelton import Stream

__all__ = ["app", "tell"]

app = service("notifications")
order_events = events_of(app)


@app.agent(order_events, sink=[order_events])
async def tell(stream: Stream[OrderEvent]) -> AsyncIterator[OrderEvent]:
    """Put each end in words."""
    async for event in stream:
        match event:
            case OrderConfirmed():
                yield CustomerTold(event.order, "Your order is on its way.")
            case OrderCancelled():
                yield CustomerTold(event.order, f"Your order was cancelled: {event.reason}.")
            case PaymentReturned():
                yield CustomerTold(event.order, f"You have {event.cents / 100:,.2f} EUR back.")
            case ReturnRefused():
                yield CustomerTold(event.order, "We could not give your money back, and will call you.")
            case _:
                pass
