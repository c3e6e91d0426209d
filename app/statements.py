"""What the pages tell of an account: its state, its events, and statements. Amounts are in cents, times in seconds.

A worker holds the accounts of its own partitions only; asked for another one's, it says so (UnavailableError).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from heapq import nlargest
from typing import Any

import msgspec

from app.agents.accounts import apply
from app.bank import accounts
from app.everywhere import rows_of
from app.models.balance import totals_of
from app.models.ledger import (
    Account,
    Deposited,
    TransferReceived,
    TransferReturned,
    TransferSent,
    Withdrawn,
)
from app.tables.balances import balances
from pelton import RecordedEvent

__all__ = ["account_state", "all_accounts", "events_of", "moment", "statement"]

#: Events shown of one account, and accounts shown of all.
EVENTS_SHOWN = 500
ACCOUNTS_SHOWN = 100


def moment(text: str) -> datetime:
    """Return the time that a text stands for: seconds since the epoch, or ISO 8601 (in UTC unless it says otherwise).

    Raises: ValueError.
    """
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(f"no such time: {text}") from error
    except ValueError:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)


def account_state(account: str, *, version: int | None = None, at: datetime | None = None) -> dict[str, Any] | None:
    """Return an account as it is, or was at a version or a time; None when it was not open by then."""
    state = accounts.state(account, version=version, at=at)
    if state is None or state.status == "unopened":
        return None
    return {
        "account": account,
        "status": state.status,
        "owner": state.owner,
        "balance_cents": state.balance_cents,
        "under_way": [{"number": number, **msgspec.to_builtins(one)} for number, one in state.pending.items()],
        "last_version": accounts.version(account),
    }


def events_of(account: str, limit: int = EVENTS_SHOWN) -> list[dict[str, Any]]:
    """Return the last events of an account, oldest first, each with the balance after it."""
    after = max(0, accounts.version(account) - limit)
    before = accounts.state(account, version=after) or Account()
    return _told(before, accounts.recorded(account, after=after))


def statement(account: str, begin: datetime | None, end: datetime | None) -> dict[str, Any] | None:
    """Return what changed an account's balance in [begin, end), and the balance before and after.

    Returns: None when it was never opened.
    """
    if account_state(account) is None:
        return None
    told = _told(Account(), accounts.recorded(account))
    earlier = [line for line in told if begin is not None and line["time"] < begin.timestamp()]
    until = [line for line in told if end is None or line["time"] < end.timestamp()]
    opening = earlier[-1]["balance_cents"] if earlier else 0
    lines = [line for line in until[len(earlier) :] if line["change_cents"]]
    return {
        "account": account,
        "opening_cents": opening,
        "lines": lines,
        "closing_cents": lines[-1]["balance_cents"] if lines else opening,
    }


async def all_accounts() -> dict[str, Any]:
    """Return the sums over all accounts, and the accounts with most events. Raises: UnavailableError."""
    rows = await rows_of(balances)
    busiest = nlargest(ACCOUNTS_SHOWN, ((key, row) for key, row in rows if row.owner), key=lambda one: one[1].version)
    return {
        "totals": totals_of(row for _, row in rows),
        "accounts": [
            {"account": key, "owner": row.owner, "status": row.status, "balance_cents": row.balance_cents}
            | {"version": row.version}
            for key, row in sorted(busiest, key=lambda one: one[0])
        ],
    }


def _told(state: Account, recorded: Iterable[RecordedEvent]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    for one in recorded:
        state = apply(state, one.event)
        told.append(
            {
                "version": one.version,
                "time": one.timestamp_ms / 1000,
                "event": one.event,
                "change_cents": _change(one.event),
                "balance_cents": state.balance_cents,
                "command_id": one.command_id,
            }
        )
    return told


def _change(event: object) -> int:
    match event:
        case Deposited(cents) | TransferReceived(amount_cents=cents) | TransferReturned(amount_cents=cents):
            return cents
        case Withdrawn(cents) | TransferSent(amount_cents=cents):
            return -cents
        case _:
            return 0
