"""The read model of the accounts: worked out from all their events, and nothing that they would not give again."""

from __future__ import annotations

from app.bank import accounts
from app.models.balance import Balance
from pelton import ReadModel

__all__ = ["balances"]

#: To change what it holds, change `Balance` and raise the version: it is then worked out anew, from the first event on.
balances: ReadModel[str, Balance] = accounts.read_model(
    "balances",
    version=1,
    default=Balance,
    value_type=Balance,
    partitions=4,
    help="Sums over the account's events.",
)
