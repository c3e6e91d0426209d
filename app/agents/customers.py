"""Customers' master data: a table that follows one in PostgreSQL, row by row, as Debezium reads its log.

The connector (deploy/connect/customers.json) sends a row as it is after each change, under its account, and nothing
for one that was deleted; what it has read and where it goes on are one transaction, as are the rows here and their
positions. So each change is applied once, in the database's order.
"""

from __future__ import annotations

from app.bank import app, customer_rows
from app.models.customer import CustomerRow
from app.tables.customers import customers
from pelton import Stream

__all__ = ["follow"]


@app.agent(customer_rows)
async def follow(stream: Stream[CustomerRow | None]) -> None:
    """Keep each row as it is, and none that is not."""
    async for account, row in stream.items():
        if row is None:
            customers.pop(account, None)
        else:
            customers[account] = row
