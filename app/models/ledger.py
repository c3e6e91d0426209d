"""A bank account as an event-sourced entity: what is asked of it, what happened to it, what it is.

Money is counted in cents, so that sums are exact. A transfer has a number, counted by its sender, so that
"<sender>/<number>" names it wherever it goes.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "Account",
    "AccountCommand",
    "AccountEvent",
    "AccountStatus",
    "Close",
    "Closed",
    "Deposit",
    "Deposited",
    "Freeze",
    "Frozen",
    "Open",
    "Opened",
    "Pending",
    "Receive",
    "Return",
    "Settle",
    "Transfer",
    "TransferReceived",
    "TransferRefused",
    "TransferReturned",
    "TransferSent",
    "TransferSettled",
    "Unfreeze",
    "Unfrozen",
    "Withdraw",
    "Withdrawn",
]

Cents = Annotated[int, Meta(gt=0, le=100_000_000_000)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Note = Annotated[str, Meta(max_length=140)]

AccountStatus = Literal["unopened", "open", "frozen", "closed"]


class Open(msgspec.Struct, frozen=True, tag=True):
    """Open the account for its owner."""

    owner: Name


class Deposit(msgspec.Struct, frozen=True, tag=True):
    """Pay cash in."""

    amount_cents: Cents
    note: Note = ""


class Withdraw(msgspec.Struct, frozen=True, tag=True):
    """Take cash out."""

    amount_cents: Cents
    note: Note = ""


class Transfer(msgspec.Struct, frozen=True, tag=True):
    """Send money to another account."""

    to: Name
    amount_cents: Cents
    note: Note = ""


class Freeze(msgspec.Struct, frozen=True, tag=True):
    """Let nobody pay from the account, nor to it."""

    reason: Note = ""


class Unfreeze(msgspec.Struct, frozen=True, tag=True):
    """Undo a freeze."""


class Close(msgspec.Struct, frozen=True, tag=True):
    """Close the account for ever."""


class Receive(msgspec.Struct, frozen=True, tag=True):
    """Of a transfer, to the receiver: take the money, or refuse it."""

    sender: str
    number: int
    amount_cents: int
    note: str = ""


class Settle(msgspec.Struct, frozen=True, tag=True):
    """Of a transfer, to the sender: the money has arrived."""

    number: int


class Return(msgspec.Struct, frozen=True, tag=True):
    """Of a transfer, to the sender: the receiver refused the money, take it back."""

    number: int
    reason: str


AccountCommand = Open | Deposit | Withdraw | Transfer | Freeze | Unfreeze | Close | Receive | Settle | Return


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The account was opened."""

    owner: str


class Deposited(msgspec.Struct, frozen=True, tag=True):
    """Cash came in."""

    amount_cents: int
    note: str = ""


class Withdrawn(msgspec.Struct, frozen=True, tag=True):
    """Cash went out."""

    amount_cents: int
    note: str = ""


class TransferSent(msgspec.Struct, frozen=True, tag=True):
    """Money left for another account; it is under way until the transfer is settled or returned."""

    number: int
    to: str
    amount_cents: int
    note: str = ""


class TransferReceived(msgspec.Struct, frozen=True, tag=True):
    """Money arrived from another account."""

    sender: str
    number: int
    amount_cents: int
    note: str = ""


class TransferRefused(msgspec.Struct, frozen=True, tag=True):
    """Money from another account was not taken: it goes back."""

    sender: str
    number: int
    amount_cents: int
    reason: str


class TransferSettled(msgspec.Struct, frozen=True, tag=True):
    """Money that left has arrived."""

    number: int
    to: str
    amount_cents: int


class TransferReturned(msgspec.Struct, frozen=True, tag=True):
    """Money that left has come back."""

    number: int
    to: str
    amount_cents: int
    reason: str


class Frozen(msgspec.Struct, frozen=True, tag=True):
    """The account was frozen."""

    reason: str = ""


class Unfrozen(msgspec.Struct, frozen=True, tag=True):
    """The freeze was undone."""


class Closed(msgspec.Struct, frozen=True, tag=True):
    """The account was closed."""


AccountEvent = (
    Opened
    | Deposited
    | Withdrawn
    | TransferSent
    | TransferReceived
    | TransferRefused
    | TransferSettled
    | TransferReturned
    | Frozen
    | Unfrozen
    | Closed
)


class Pending(msgspec.Struct, frozen=True):
    """Money that has left and neither arrived nor come back yet."""

    to: str
    amount_cents: int


class Account(msgspec.Struct):
    """The state of an account.

    transfers: the number of the last transfer that it sent. pending: those under way, by number.
    """

    status: AccountStatus = "unopened"
    owner: str = ""
    balance_cents: int = 0
    transfers: int = 0
    pending: dict[int, Pending] = {}
