"""`faust -A app simulate-orders`: shoppers with accounts of their own order, and change their minds."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Any

from app.bank import accounts, app, order_events
from app.commands.pacing import send_paced
from app.simulation.orders import Purchase, purchases, shoppers
from pelton import AppCommand, option

__all__ = ["simulate_orders"]


@app.command(
    option("--rate", type=float, default=1, show_default=True, help="Orders a second; 0 for as fast as it goes."),
    option("--seed", type=int, default=7, show_default=True, help="What the whole stream follows from."),
    option("--count", type=int, default=0, help="Stop after so many orders; 0 for never."),
    option("--prefix", default="", help="What their ids begin with; the time of the start when there is none."),
)
async def simulate_orders(self: AppCommand, *, rate: float, seed: int, count: int, prefix: str) -> None:
    """Send orders of shoppers, who have accounts.

    Something comes of them if the three services run: faust -A app.services.orders worker, and so on. Page: /shop.
    """
    for number, (account, command) in enumerate(shoppers()):
        await (await accounts.send(account, command, command_id=f"shoppers:{number}"))
    await send_paced(purchases(seed, prefix or f"sim{time.time():.0f}"), _send, noun="orders", rate=rate, count=count)


async def _send(purchase: Purchase) -> Awaitable[Any]:
    order = purchase.order
    if purchase.deposit is not None:
        account, deposit = purchase.deposit
        await accounts.send(account, deposit, command_id=f"deposit:{order.order}")
    receipt = await order_events.send(key=order.order, value=order)
    if purchase.cancel is not None:
        receipt = await order_events.send(key=order.order, value=purchase.cancel)
    return receipt
