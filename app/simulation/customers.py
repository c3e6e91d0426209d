"""What account holders ask of their accounts: salaries, cash, transfers, and now and then a freeze.

A pure function of the seed. Nobody spends what may not be there: a customer counts on cash that was paid in, not on
transfers, which may come back or not at all. So accounts take every command, unless somebody else has a hand in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from app.models.ledger import AccountCommand, Deposit, Freeze, Open, Transfer, Unfreeze, Withdraw

__all__ = ["Request", "requests"]

_FIRST = (
    "Ada",
    "Ben",
    "Cem",
    "Dora",
    "Eva",
    "Finn",
    "Gül",
    "Hugo",
    "Ines",
    "Jan",
    "Kira",
    "Leo",
    "Mia",
    "Noor",
    "Otto",
)
_LAST = ("Aydin", "Berg", "Costa", "Dubois", "Ek", "Fischer", "Greco", "Haas", "Ivanov", "Jansen", "Keller", "Lund")
_WHAT_FOR = ("rent", "dinner", "tickets", "groceries", "a present", "the bike", "electricity", "school trip")

#: One request in so many freezes an account, which is unfrozen after so many others.
_FREEZE_EVERY, _FROZEN_FOR = 97, 40


class Request(NamedTuple):
    """A command, its number in the stream, and the account it goes to."""

    number: int
    account: str
    command: AccountCommand


def requests(seed: int, accounts: int) -> Iterator[Request]:
    """Yield all requests of so many customers, without end: first each opens an account and pays something in."""
    for number, (account, command) in enumerate(_opening(seed, accounts)):
        yield Request(number, account, command)
    rng = Random(f"{seed}/customers")  # noqa: S311 - it has to be reproducible, not secret
    sure_cents = dict.fromkeys(range(accounts), _FIRST_DEPOSIT_CENTS)
    number, frozen, unfrozen_at = 2 * accounts, -1, -1
    while True:
        if number == unfrozen_at:
            yield Request(number, _name(frozen), Unfreeze())
            frozen = -1
        elif frozen < 0 and number % _FREEZE_EVERY == 0:
            frozen, unfrozen_at = rng.randrange(accounts), number + _FROZEN_FOR
            yield Request(number, _name(frozen), Freeze("card reported stolen"))
        else:
            customer = _other_than(rng, accounts, frozen)
            yield Request(number, _name(customer), _everyday(rng, accounts, customer, sure_cents))
        number += 1


_FIRST_DEPOSIT_CENTS = 50_000


def _opening(seed: int, accounts: int) -> Iterator[tuple[str, AccountCommand]]:
    rng = Random(f"{seed}/owners")  # noqa: S311
    for customer in range(accounts):
        yield _name(customer), Open(f"{rng.choice(_FIRST)} {rng.choice(_LAST)}")
        yield _name(customer), Deposit(_FIRST_DEPOSIT_CENTS, "first deposit")


def _everyday(rng: Random, accounts: int, customer: int, sure_cents: dict[int, int]) -> AccountCommand:
    kind, cents = rng.random(), rng.randrange(500, 30_000)
    if kind < 0.25 or cents > sure_cents[customer]:
        salary = rng.randrange(150_000, 400_000)
        sure_cents[customer] += salary
        return Deposit(salary, "salary")
    sure_cents[customer] -= cents
    if kind < 0.45:
        return Withdraw(cents, "cash")
    return Transfer(_name(_other_than(rng, accounts, customer)), cents, rng.choice(_WHAT_FOR))


def _other_than(rng: Random, accounts: int, customer: int) -> int:
    """Return a customer, but not that one, where there are others."""
    found = rng.randrange(accounts)
    return found if found != customer else (found + 1) % accounts


def _name(customer: int) -> str:
    return f"acc-{customer:05d}"
