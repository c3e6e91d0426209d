"""Customers' master data, equal to the table `customers` of their database; and what it was at any time of a week."""

from __future__ import annotations

from app.bank import app
from app.models.customer import CustomerRow
from app.retention import MASTER_DATA
from pelton import Table

__all__ = ["customers"]

#: Rows by account; what is not in it is not in the database.
customers: Table[str, CustomerRow] = app.Table(
    "customers",
    key_type=str,
    value_type=CustomerRow,
    partitions=4,
    history=MASTER_DATA,
    help="Customers' master data, as their database has it.",
)
