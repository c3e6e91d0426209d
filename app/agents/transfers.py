"""A transfer between two accounts: a saga, in which each event asks for the next step.

    sender     Transfer ─▶ TransferSent ─┐                     ┌─▶ Settle ─▶ TransferSettled
                                         ▼                     │
    receiver                           Receive ─▶ TransferReceived
                                               └▶ TransferRefused ─▶ Return ─▶ TransferReturned     (to the sender)

The sender's account is debited first, so the money is in one account, in the other, or under way, and never in both. A
step is an effect of the event before it, and committed with it, once, whatever dies; its id makes sure of that also
where the worker's guarantee is but at least once.
"""

from __future__ import annotations

from app.bank import accounts, app
from app.models.ledger import (
    AccountEvent,
    Receive,
    Return,
    Settle,
    TransferReceived,
    TransferRefused,
    TransferSent,
)
from pelton import Stream

__all__ = ["transfers"]


@app.agent(accounts.events)
async def transfers(stream: Stream[AccountEvent]) -> None:
    """Ask for the next step of each transfer."""
    async for account, event in stream.items():
        match event:
            case TransferSent(number, to, cents, note):
                receive = Receive(account, number, cents, note)
                await accounts.send(to, receive, command_id=f"receive:{account}/{number}")
            case TransferReceived(sender, number):
                await accounts.send(sender, Settle(number), command_id=f"settle:{number}")
            case TransferRefused(sender, number, _, reason):
                await accounts.send(sender, Return(number, reason), command_id=f"return:{number}")
            case _:
                pass
