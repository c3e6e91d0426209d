"""Payments: takes an order's money from the customer's account, and gives it back when the order is cancelled.

Whether the account can pay, only the bank knows: it is asked, and its answer awaited, for as long as that takes. Each
command's id follows from the order, so one that is asked again, after a crash or where no answer came, is done once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.bank import BANK_ID
from app.models.ledger import AccountCommand, Deposit, Withdraw
from app.models.order import (
    OrderCancelled,
    OrderConfirmed,
    OrderEvent,
    OrderPlaced,
    PaymentRefused,
    PaymentReturned,
    PaymentTaken,
    ReturnRefused,
)
from app.retention import EVENTS
from app.services import order_events as events_of
from app.services import service
from pelton import Backoff, CommandRejectedError, Stream

__all__ = ["app", "settle"]

Outcome = PaymentTaken | PaymentRefused | PaymentReturned | ReturnRefused

#: How long the bank has before it is asked again; it is not given up, for the money may be on its way.
ANSWER_S = 10
UNTIL_ANSWERED = Backoff(retries=None)

app = service("payments")
order_events = events_of(app)
accounts = app.entity_client("accounts", of=BANK_ID, commands=AccountCommand, partitions=4, retention=EVENTS)
#: By order: what was taken, and may have to be given back.
taken = app.Table("taken", key_type=str, value_type=PaymentTaken, partitions=4)


@app.agent(order_events, sink=[order_events], retries=UNTIL_ANSWERED)
async def settle(stream: Stream[OrderEvent]) -> AsyncIterator[OrderEvent]:
    """Take and give back, an order's events one after the other, many orders' at once."""
    asked = stream.filter(_concerns_us).map_async(ask_bank, concurrency=16, order="key")
    async for event, outcome in asked.pairs():
        match outcome:
            case None:
                if isinstance(event, OrderConfirmed):
                    taken.pop(event.order, None)
                continue
            case PaymentTaken():
                taken[outcome.order] = outcome
            case PaymentReturned() | ReturnRefused():
                del taken[outcome.order]
            case PaymentRefused():
                pass
        yield outcome


async def ask_bank(event: OrderEvent) -> Outcome | None:
    """Return what comes of an event; None where nothing does. Raises: TimeoutError, and is called again then."""
    match event:
        case OrderPlaced(order, account, cents):
            refusal = await _refusal(account, Withdraw(cents, f"order {order}"), f"pay:{order}")
            return PaymentTaken(order, account, cents) if refusal is None else PaymentRefused(order, refusal)
        case OrderCancelled(order) if (paid := taken.get(order)) is not None:
            refusal = await _refusal(paid.account, Deposit(paid.cents, f"order {order} is off"), f"return:{order}")
            return PaymentReturned(order, paid.cents) if refusal is None else ReturnRefused(order, paid.cents, refusal)
        case _:
            return None


async def _refusal(account: str, command: AccountCommand, command_id: str) -> str | None:
    """Have the bank do it; return its reason when it refuses. Raises: TimeoutError."""
    try:
        await accounts.execute(account, command, command_id=command_id, timeout=ANSWER_S)
    except CommandRejectedError as error:
        return error.message
    return None


def _concerns_us(event: OrderEvent) -> bool:
    return isinstance(event, OrderPlaced | OrderCancelled | OrderConfirmed)
