"""What shoppers do: order, now and then too much, what nobody sells, or what they do not want after all."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from app.models.ledger import AccountCommand, Deposit, Open
from app.models.order import PRICES_CENTS, CancelRequested, OrderRequested

__all__ = ["Purchase", "purchases", "shoppers"]

SHOPPERS = 20
#: Paid in for every so many orders of all shoppers together; nothing is for the first shopper, who cannot pay.
DEPOSIT_CENTS, DEPOSIT_EVERY = 8_000_00, 20


class Purchase(NamedTuple):
    """An order, what is paid in before it, by account, and whether it is cancelled right behind."""

    order: OrderRequested
    deposit: tuple[str, Deposit] | None
    cancel: CancelRequested | None


def shoppers() -> Iterator[tuple[str, AccountCommand]]:
    """Yield what opens the shoppers' accounts."""
    for number in range(SHOPPERS):
        yield _name(number), Open(f"Shopper {number}")
        if number:
            yield _name(number), Deposit(DEPOSIT_CENTS, "first deposit")


def purchases(seed: int, prefix: str) -> Iterator[Purchase]:
    """Yield what shoppers do, without end. prefix: begins each order's id."""
    rng, number = Random(f"{seed}/orders"), 0  # noqa: S311 - it has to be reproducible, not secret
    while True:
        kind = rng.random()
        product = "the moon" if kind < 0.02 else rng.choice(list(PRICES_CENTS))
        quantity = 250 if 0.02 <= kind < 0.05 else rng.randint(1, 3)
        order = OrderRequested(f"{prefix}-{number}", _name(rng.randrange(SHOPPERS)), product, quantity)
        payee = _name(rng.randrange(1, SHOPPERS))
        deposit = (payee, Deposit(DEPOSIT_CENTS, "salary")) if number % DEPOSIT_EVERY == 0 else None
        yield Purchase(order, deposit, CancelRequested(order.order) if kind > 0.95 else None)
        number += 1


def _name(number: int) -> str:
    return f"shopper-{number:02d}"
