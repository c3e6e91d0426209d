"""What events of accounts say about money, in plain Python: no code is shared with the application."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec


@dataclass
class Ledger:
    """balances: of each account, in cents. cash: what came in, less what went out. steps: of each transfer."""

    balances: Counter[str] = field(default_factory=Counter[str])
    cash: int = 0
    steps: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    under_way: int = 0
    events: Counter[str] = field(default_factory=Counter[str])

    def add(self, account: str, event: dict[str, Any]) -> None:
        kind, cents = event["type"], event.get("amount_cents", 0)
        self.events[kind] += 1
        change = {
            "Deposited": cents,
            "Withdrawn": -cents,
            "TransferSent": -cents,
            "TransferReceived": cents,
            "TransferReturned": cents,
        }.get(kind, 0)
        self.balances[account] += change
        assert self.balances[account] >= 0, f"{account} is overdrawn by {event}"
        if kind in ("Deposited", "Withdrawn"):
            self.cash += change
        elif change:
            self.under_way -= change
        if "number" in event:
            self.steps.setdefault(f"{event.get('sender', account)}/{event['number']}", []).append(kind)


def ledger_of(events: Iterable[tuple[str, Any]]) -> Ledger:
    """Add up events, (account, event or its JSON) in the order of the log, and check that no money was made or lost."""
    ledger = Ledger()
    for account, event in events:
        told = msgspec.json.decode(event) if isinstance(event, bytes) else msgspec.to_builtins(event)
        ledger.add(account, told)
    assert ledger.balances.total() + ledger.under_way == ledger.cash
    for transfer, steps in ledger.steps.items():
        assert len(set(steps)) == len(steps), f"{transfer} took a step twice: {steps}"
        assert not {"TransferReceived", "TransferRefused"} <= set(steps), f"{transfer}: {steps}"
        assert not {"TransferReceived", "TransferReturned"} <= set(steps), f"{transfer}: {steps}"
    return ledger


def check_settled(ledger: Ledger) -> None:
    """Make sure that no transfer is half: each has arrived, or has come back."""
    assert ledger.under_way == 0
    for transfer, steps in ledger.steps.items():
        assert set(steps) in (
            {"TransferSent", "TransferReceived", "TransferSettled"},
            {"TransferSent", "TransferRefused", "TransferReturned"},
        ), f"{transfer}: {steps}"
