"""Fill the read model of balances: from the first event on, and anew when its version is raised."""

from __future__ import annotations

from app.models.ledger import AccountEvent
from app.tables.balances import balances
from pelton import Stream

__all__ = ["fill"]


@balances.project
async def fill(stream: Stream[AccountEvent]) -> None:
    """Add each event to its account's sums."""
    async for account, event in stream.items():
        balances[account] = balances[account].after(event)
