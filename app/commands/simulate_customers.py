"""`faust -A app simulate-customers`: customers' master data without a database, as Debezium would send its changes.

Where a database fills the topic, by deploy/connect/customers.json, leave this alone: both would write the same rows.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from app.bank import app, customer_rows
from app.commands.pacing import send_paced
from app.models.customer import CustomerRow
from app.simulation.master_data import rows
from pelton import AppCommand, option

__all__ = ["send_customers", "simulate_customers"]


@app.command(
    option("--rate", type=float, default=1, show_default=True, help="Changes a second; 0 for as fast as it goes."),
    option("--customers", type=int, default=200, show_default=True, help="How many customers."),
    option("--seed", type=int, default=7, show_default=True, help="What all of it follows from."),
    option("--count", type=int, default=0, help="Stop after so many rows; 0 for never."),
)
async def simulate_customers(self: AppCommand, *, rate: float, customers: int, seed: int, count: int) -> None:
    """Send customers' master data, as Debezium would.

    All rows at first, then those that change; each run begins anew. Page: /customers.
    """
    await send_customers(rate, customers, seed, count)


async def send_customers(rate: float, customers: int, seed: int, count: int = 0) -> None:
    """Send all rows at once, then changes at a rate."""
    changes = rows(seed, customers)
    first = min(customers, count) if count else customers
    await send_paced(changes, _send, noun="rows of customers", rate=0, count=first)
    if count != first:
        await send_paced(changes, _send, noun="changes of customers", rate=rate, count=max(0, count - first))


async def _send(change: tuple[str, CustomerRow | None]) -> Awaitable[Any]:
    account, row = change
    return await customer_rows.send(key=account, value=row)
