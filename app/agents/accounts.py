"""Bank accounts that are the sum of their events: what may be asked of one, and what each event does to it.

`decide` looks at the state and says what happens, or refuses; `apply` works the state out. Neither reads a clock or
another account, so the same commands lead to the same accounts, whatever crashes. What takes two accounts, a
transfer, is in `app.agents.transfers`.
"""

from __future__ import annotations

from app.bank import accounts
from app.models.ledger import (
    Account,
    AccountCommand,
    AccountEvent,
    Close,
    Closed,
    Deposit,
    Deposited,
    Freeze,
    Frozen,
    Open,
    Opened,
    Pending,
    Receive,
    Return,
    Settle,
    Transfer,
    TransferReceived,
    TransferRefused,
    TransferReturned,
    TransferSent,
    TransferSettled,
    Unfreeze,
    Unfrozen,
    Withdraw,
    Withdrawn,
)
from pelton import CommandRejectedError

__all__ = ["apply", "decide"]


@accounts.decide
def decide(account: Account, command: AccountCommand) -> AccountEvent | None:
    """Return what comes of a command. Raises: CommandRejectedError with the reason."""
    match command:
        case Open(owner):
            _require(account, "unopened")
            event: AccountEvent | None = Opened(owner)
        case Deposit(cents, note):
            _require(account, "open")
            event = Deposited(cents, note)
        case Withdraw(cents, note):
            _require_funds(account, cents)
            event = Withdrawn(cents, note)
        case Transfer(to, cents, note):
            _require_funds(account, cents)
            event = TransferSent(account.transfers + 1, to, cents, note)
        case Freeze(reason):
            _require(account, "open")
            event = Frozen(reason)
        case Unfreeze():
            _require(account, "frozen")
            event = Unfrozen()
        case Close():
            _require_empty(account)
            event = Closed()
        case Receive() | Settle() | Return():
            event = _next_step(account, command)
    return event


def _next_step(account: Account, command: Receive | Settle | Return) -> AccountEvent | None:
    """Return what comes of a transfer's step; never a rejection, for a refusal has to be on record to lead back."""
    if isinstance(command, Receive):
        sender, number, cents = command.sender, command.number, command.amount_cents
        if account.status != "open":
            return TransferRefused(sender, number, cents, f"the account is {account.status}")
        return TransferReceived(sender, number, cents, command.note)
    pending = account.pending.get(command.number)
    if pending is None:
        return None  # a step that comes again
    if isinstance(command, Settle):
        return TransferSettled(command.number, pending.to, pending.amount_cents)
    return TransferReturned(command.number, pending.to, pending.amount_cents, command.reason)


@accounts.apply
def apply(account: Account, event: AccountEvent) -> Account:
    """Return an account with one more event."""
    match event:
        case Opened(owner):
            account.status, account.owner = "open", owner
        case Deposited(cents) | TransferReceived(amount_cents=cents):
            account.balance_cents += cents
        case Withdrawn(cents):
            account.balance_cents -= cents
        case TransferSent(number, to, cents):
            account.balance_cents -= cents
            account.transfers = number
            account.pending[number] = Pending(to, cents)
        case TransferSettled(number):
            del account.pending[number]
        case TransferReturned(number, _, cents):
            account.balance_cents += cents
            del account.pending[number]
        case Frozen():
            account.status = "frozen"
        case Unfrozen():
            account.status = "open"
        case Closed():
            account.status = "closed"
        case TransferRefused():
            pass  # nothing came in
    return account


def euros(cents: int) -> str:
    """Return an amount as people write it.

    >>> euros(123456)
    '1,234.56 EUR'
    """
    return f"{cents / 100:,.2f} EUR"


def _require(account: Account, status: str) -> None:
    if account.status != status:
        raise CommandRejectedError(f"the account is {account.status}")


def _require_funds(account: Account, cents: int) -> None:
    _require(account, "open")
    if cents > account.balance_cents:
        raise CommandRejectedError(
            f"insufficient funds: {euros(cents)} asked, {euros(account.balance_cents)} available"
        )


def _require_empty(account: Account) -> None:
    _require(account, "open")
    if account.balance_cents or account.pending:
        raise CommandRejectedError(
            f"only an empty account can be closed: it holds {euros(account.balance_cents)}, "
            f"and {len(account.pending)} of its transfers are under way"
        )
