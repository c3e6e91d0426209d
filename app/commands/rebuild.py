"""`faust -A app rebuild_balances`: work the read model out anew from the first event, and compare.

Nothing is written: a read model holds nothing that the events do not say. Rows are compared at their own versions, so
it may run beside workers under load.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from app.bank import accounts, app
from app.logbook import entries
from app.models.balance import Balance, totals_of
from app.models.ledger import (
    AccountEvent,
    TransferReceived,
    TransferRefused,
    TransferReturned,
    TransferSent,
    TransferSettled,
)
from app.tables.balances import balances
from pelton import AppCommand

__all__ = ["rebuild_balances"]

#: The two ways that a transfer may take to its end, and of which steps no two may be of one transfer.
_ARRIVED = {"TransferSent", "TransferReceived", "TransferSettled"}
_RETURNED = {"TransferSent", "TransferRefused", "TransferReturned"}


@dataclass
class _Ledger:
    """All that the events say.

    rows: each account's balances, by version from 1 on. transfers: what happened to each, by "<sender>/<number>".
    """

    rows: dict[str, list[Balance]] = field(default_factory=dict[str, list[Balance]])
    transfers: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def add(self, account: str, event: AccountEvent) -> None:
        rows = self.rows.setdefault(account, [])
        rows.append((rows[-1] if rows else Balance()).after(event))
        match event:
            case TransferSent(number) | TransferSettled(number) | TransferReturned(number):
                self.transfers.setdefault(f"{account}/{number}", []).append(type(event).__name__)
            case TransferReceived(sender, number) | TransferRefused(sender, number):
                self.transfers.setdefault(f"{sender}/{number}", []).append(type(event).__name__)
            case _:
                pass


@app.command()
async def rebuild_balances(self: AppCommand) -> None:
    """Work all balances out anew, and compare them.

    From the first event on, beside running workers; the read model should be the same.
    """
    held = {
        entry.key: msgspec.json.decode(entry.value, type=Balance)
        async for entry in entries(balances.changelog_topic_name)
    }
    ledger, decode = _Ledger(), accounts.event_codec.decode
    async for entry in entries(accounts.events.get_topic_name()):
        ledger.add(entry.key, decode(entry.value))
    wrong = [key for key, row in held.items() if not _agrees(row, ledger.rows.get(key, []))]
    behind = sum(len(rows) for rows in ledger.rows.values()) - sum(row.version for row in held.values())
    _tell_money(ledger)
    halves = _tell_transfers(ledger)
    print(f"{len(held):,} rows of the read model, {behind:,} events behind: {len(wrong):,} differ from the events")
    for key in wrong[:10]:
        print(f"  {key}: read model {held[key]}", file=sys.stderr)
    if wrong or halves:
        sys.exit(1)


def _agrees(row: Balance, rows: list[Balance]) -> bool:
    return 0 < row.version <= len(rows) and rows[row.version - 1] == row


def _tell_money(ledger: _Ledger) -> None:
    totals = totals_of(rows[-1] for rows in ledger.rows.values())
    print(f"{totals.events:,} events of {totals.accounts:,} accounts")
    for name in ("deposited", "withdrawn", "balance", "under_way"):
        print(f"{name.replace('_', ' '):>12} {getattr(totals, f'{name}_cents') / 100:>18,.2f} EUR")


def _tell_transfers(ledger: _Ledger) -> int:
    """Print how transfers ended; return how many took a step twice, or both ways.

    Partitions are read one after the other, so of those that are under way any step may be missing.
    """
    ends = Counter(_end(steps) for steps in ledger.transfers.values())
    told = ", ".join(f"{ends[end]:,} {end}" for end in ("arrived", "returned", "under way", "neither whole nor undone"))
    print(f"{ends.total():,} transfers: {told}")
    return ends["neither whole nor undone"]


def _end(steps: list[str]) -> str:
    taken = set(steps)
    if len(taken) < len(steps) or not (taken <= _ARRIVED or taken <= _RETURNED):
        return "neither whole nor undone"
    return {frozenset(_ARRIVED): "arrived", frozenset(_RETURNED): "returned"}.get(frozenset(taken), "under way")
