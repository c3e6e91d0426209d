"""What customers see of their orders, by order: a view of what happened, filled by `app.agents.orders`."""

from __future__ import annotations

from app.bank import app
from app.models.order import OrderView

__all__ = ["order_views"]

order_views = app.Table(
    "order_views",
    default=OrderView,
    key_type=str,
    value_type=OrderView,
    partitions=4,
    help="Orders, as their customers see them.",
)
