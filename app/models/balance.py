"""What the read model holds of an account: where its money came from, and where it went."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from app.models.ledger import (
    AccountEvent,
    AccountStatus,
    Closed,
    Deposited,
    Frozen,
    Opened,
    TransferReceived,
    TransferRefused,
    TransferReturned,
    TransferSent,
    TransferSettled,
    Unfrozen,
    Withdrawn,
)

__all__ = ["Balance", "Totals", "totals_of"]


_STATUS: dict[type, AccountStatus] = {Frozen: "frozen", Unfrozen: "open", Closed: "closed"}

#: Which sum an event adds to, and whether it adds to the balance, or takes away from it.
_MONEY: dict[type, tuple[str, int]] = {
    Deposited: ("deposited_cents", 1),
    Withdrawn: ("withdrawn_cents", -1),
    TransferSent: ("sent_cents", -1),
    TransferReceived: ("received_cents", 1),
    TransferReturned: ("returned_cents", 1),
}


class Balance(msgspec.Struct, frozen=True):
    """Sums over the events of an account, in cents. version: the number of the last one."""

    version: int = 0
    status: AccountStatus = "unopened"
    owner: str = ""
    balance_cents: int = 0
    deposited_cents: int = 0
    withdrawn_cents: int = 0
    sent_cents: int = 0
    received_cents: int = 0
    returned_cents: int = 0

    def after(self, event: AccountEvent) -> Balance:
        """Return the balance with one more event."""
        return msgspec.structs.replace(self, version=self.version + 1, **self._changes(event))

    def _changes(self, event: AccountEvent) -> dict[str, int | str]:
        match event:
            case Opened(owner):
                return {"status": "open", "owner": owner}
            case Frozen() | Unfrozen() | Closed():
                return {"status": _STATUS[type(event)]}
            case Deposited() | Withdrawn() | TransferSent() | TransferReceived() | TransferReturned():
                what, sign = _MONEY[type(event)]
                return self._paid(what, event.amount_cents, sign * event.amount_cents)
            case TransferSettled() | TransferRefused():
                return {}

    def _paid(self, what: str, cents: int, change_cents: int) -> dict[str, int | str]:
        return {what: getattr(self, what) + cents, "balance_cents": self.balance_cents + change_cents}


class Totals(msgspec.Struct, frozen=True):
    """Sums over accounts, in cents.

    under_way_cents: what has left its sender, and neither arrived nor come back. Whatever happens,
    deposited - withdrawn = balance + under way.
    """

    accounts: int
    frozen: int
    closed: int
    events: int
    balance_cents: int
    deposited_cents: int
    withdrawn_cents: int
    under_way_cents: int


def totals_of(balances: Iterable[Balance]) -> Totals:
    """Return the sums over accounts; those that were never opened do not count as accounts."""
    found = list(balances)
    return Totals(
        accounts=sum(one.status != "unopened" for one in found),
        frozen=sum(one.status == "frozen" for one in found),
        closed=sum(one.status == "closed" for one in found),
        events=sum(one.version for one in found),
        balance_cents=sum(one.balance_cents for one in found),
        deposited_cents=sum(one.deposited_cents for one in found),
        withdrawn_cents=sum(one.withdrawn_cents for one in found),
        under_way_cents=sum(one.sent_cents - one.received_cents - one.returned_cents for one in found),
    )
