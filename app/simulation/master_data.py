"""Customers' master data as their database would change: all rows first, then limits, segments, leavings and returns.

A pure function of the seed, without end.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random

from app.models.customer import CustomerRow
from app.models.ledger import Open
from app.simulation.customers import requests
from app.simulation.traffic import DEFAULT_START

__all__ = ["rows"]

_SEGMENTS = ("private", "private", "private", "business", "student")


def rows(seed: int, customers: int) -> Iterator[tuple[str, CustomerRow | None]]:
    """Yield an account and its row after each change, None when it was deleted."""
    rng = Random(f"{seed}/master-data")  # noqa: S311 - it has to be reproducible, not secret
    names = _names(seed, customers)
    current: dict[str, CustomerRow] = {}
    for number, account in enumerate(names):
        current[account] = _row(rng, account, names[account], number)
        yield account, current[account]
    accounts, number = list(names), customers
    while True:
        account, number = rng.choice(accounts), number + 1
        row = current.pop(account, None)
        if row is not None and rng.random() < 0.1:
            yield account, None
            continue
        changed = {"credit_limit": f"{rng.randrange(1, 100) * 100}.00", "updated": _time(number)}
        current[account] = _row(rng, account, names[account], number) if row is None else row | changed
        yield account, current[account]


def _names(seed: int, customers: int) -> dict[str, str]:
    """Return account -> owner, as those who open accounts are called."""
    found: dict[str, str] = {}
    for request in requests(seed, customers):
        if isinstance(request.command, Open):
            found[request.account] = request.command.owner
        if len(found) == customers:
            return found
    raise AssertionError("unreachable: there are requests without end")


def _row(rng: Random, account: str, name: str, number: int) -> CustomerRow:
    return {
        "account": account,
        "name": name,
        "email": f"{name.lower().replace(' ', '.')}@example.org",
        "segment": rng.choice(_SEGMENTS),
        "credit_limit": f"{rng.randrange(1, 100) * 100}.00",
        "born": f"{rng.randrange(1940, 2008)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}Z",
        "notes": None,
        "updated": _time(number),
    }


def _time(number: int) -> str:
    return datetime.fromtimestamp(DEFAULT_START + number, UTC).isoformat().replace("+00:00", "Z")
