"""The gateway of the shop: orders over HTTP, whichever of the services behind it is up. `GET /shop`: the page.

    POST /orders                    202 with the order's id; with the header "Prefer: wait=5", 200 with how it ended
    GET  /orders/{id}               how far it is: whichever worker is asked, the one that has it answers
    POST /orders/{id}/cancel        202; it is cancelled if it was not paid for yet
    GET  /orders                    how many there are of each status, and the latest

With the header Idempotency-Key, which becomes the order's id, an order is there once, however often it is sent. As in
the chat, there is no login: the account is in the body.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from heapq import nlargest
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import msgspec

from app.bank import app, order_events
from app.everywhere import rows_of
from app.models.order import (
    CancelRequested,
    OrderCancelled,
    OrderConfirmed,
    OrderEvent,
    OrderRequested,
    OrderView,
)
from app.pages.answers import answer, refusal
from app.pages.navigation import page
from app.replies import Replies
from app.tables.orders import order_views
from pelton import Request, Response, UnavailableError, View

__all__ = ["CancelOrder", "Orders", "order_state", "shop_page"]

#: Orders shown, and the longest that a client may wait for the end of one.
ORDERS_SHOWN = 50
WAIT_MAX_S = 60

_WAIT = re.compile(r"\bwait=(\d{1,6})\b")

ends = Replies(
    order_events,
    OrderEvent,
    subject=lambda event: event.order,
    is_last=lambda event: isinstance(event, OrderConfirmed | OrderCancelled),
)


@app.page("/orders", name="orders")
class Orders(View):
    """Takes orders, and tells of them."""

    async def get(self, request: Request, **_: Any) -> Response:
        """Answer with how many orders have each status, and the latest; 503 when not all can be told now."""
        try:
            rows = [(order, view) for order, view in await rows_of(order_views) if view.ts]
        except UnavailableError as error:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
        latest = nlargest(ORDERS_SHOWN, rows, key=lambda row: row[1].ts)
        counts = Counter(view.status for _, view in rows)
        return answer({"counts": counts, "orders": [_told(order, view) for order, view in latest]})

    async def post(self, request: Request, **_: Any) -> Response:
        """Take an order: 202, or 200 when it has ended while the client waited; 400 says what is wrong with it."""
        try:
            given = msgspec.json.decode(await request.read(), type=dict[str, Any])
            given["order"] = request.headers.get("Idempotency-Key") or uuid4().hex
            order = msgspec.convert(given, OrderRequested)
            wait = _WAIT.search(request.headers.get("Prefer", ""))
            return await _ordered(order, min(int(wait[1]), WAIT_MAX_S) if wait else 0)
        except (msgspec.DecodeError, RecursionError) as error:
            return refusal(HTTPStatus.BAD_REQUEST, str(error) or "nested too deeply")
        except UnavailableError as error:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)


@app.page("/orders/{order}", name="order-state")
@app.table_route(table=order_views, match_info="order")
async def order_state(self: View, request: Request, order: str) -> Response:
    """Answer with an order as its customer sees it; 404 when nobody asked for it."""
    try:
        view = order_views[order]
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
    if not view.ts:
        return refusal(HTTPStatus.NOT_FOUND, f"there is no order {order[:64]!r}")
    return answer(_told(order, view))


@app.page("/orders/{order}/cancel", name="order-cancel")
class CancelOrder(View):
    """Takes what customers do not want any more."""

    async def post(self, request: Request, **named: Any) -> Response:
        """Answer 202: whether it is in time, the order tells."""
        try:
            order = msgspec.convert({"order": named["order"]}, CancelRequested)
            await (await order_events.send(key=order.order, value=order))
        except msgspec.ValidationError as error:
            return refusal(HTTPStatus.BAD_REQUEST, str(error))
        except UnavailableError as error:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
        return _accepted(order.order)


@app.page("/shop", name="shop-page")
async def shop_page(self: View, request: Request) -> Response:
    """Answer with the page."""
    return page(request, "shop", "Orders")


async def _ordered(order: OrderRequested, wait_s: int) -> Response:
    """Send a request; return what there is to say when it has ended, or when the client has waited enough."""
    if not wait_s:
        await (await order_events.send(key=order.order, value=order))
        return _accepted(order.order)
    async with ends.expecting(order.order) as events:
        await (await order_events.send(key=order.order, value=order))
        try:
            if (view := order_views[order.order]).ended:
                return answer(_told(order.order, view))  # it was sent before
        except UnavailableError:
            pass  # another worker has it
        view = OrderView().after(order, time.time())
        try:
            async with asyncio.timeout(wait_s):
                while not view.ended:
                    view = view.after(await events.get(), time.time())
        except TimeoutError:
            return _accepted(order.order)
    return answer(_told(order.order, view))


def _accepted(order: str) -> Response:
    body = {"order": order, "status": "requested"}
    return answer(body, HTTPStatus.ACCEPTED, headers={"Location": f"/orders/{order}"})


def _told(order: str, view: OrderView) -> dict[str, Any]:
    return {"order": order, **msgspec.structs.asdict(view)}
