"""What the program that is killed must arrive at, recomputed in plain Python from the records of each partition.

It shares the records' types and the constants with the program, and nothing with the engine.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

PARTITIONS = 4
WINDOW_S = 60
RETENTION_S = 600
#: A window with so many payments is worth a warning at each further one.
ALERT_FROM = 5
#: The amount that `totals` cannot bear.
UNLUCKY = 13

_ACCOUNTS = 200
_START_S = 1_700_000_000
#: Later than any window that expires; a payment that is this old comes too late.
_LATE_S = 3 * RETENTION_S


class Payment(msgspec.Struct):
    """A payment at a time of its own, in seconds."""

    id: str
    account: str
    amount: int
    ts: float


class Warning_(msgspec.Struct):
    """A payment in a busy window, with what the window holds so far."""

    id: str
    account: str
    count: int
    sum: int


@dataclass(slots=True)
class Expected:
    """What one partition leads to. Values are as the program writes them; letters are (offset, agent)."""

    warnings: list[bytes] = field(default_factory=list[bytes])
    copies: list[bytes] = field(default_factory=list[bytes])
    windows: dict[tuple[int, str], bytes] = field(default_factory=dict[tuple[int, str], bytes])
    sums: dict[str, int] = field(default_factory=dict[str, int])
    letters: set[tuple[int, str]] = field(default_factory=set[tuple[int, str]])
    #: How many windows there were, also those that are past their retention.
    window_count: int = 0


def generate(seed: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) for ever: payments, some of them late, and now and then something that is none."""
    chance = random.Random(seed)
    number = 0
    while True:
        account = f"account-{chance.randrange(_ACCOUNTS)}"
        number += 1
        yield account.encode(), payment_record(chance, f"p{number}", account, number / 10)


def payment_record(chance: random.Random, name: str, account: str, after_s: float) -> bytes:
    """Draw the value of one record: a payment made some seconds after the start, late or not, or something broken."""
    if chance.random() < 0.001:
        return b'{"id":"%s"' % name.encode()
    late_s = _LATE_S if chance.random() < 0.002 else chance.randrange(30)
    payment = Payment(name, account, chance.randrange(12), _START_S + after_s - late_s)
    if chance.random() < 0.0007:
        payment.amount = UNLUCKY
    return msgspec.json.encode(payment)


def replay(records: Sequence[bytes], program: str, alert_from: int = ALERT_FROM) -> Expected:
    """Recompute what the agents make of one partition's values, in the order of their offsets, the first being 0.

    program: the module that the agents' names begin with. alert_from: from which count on a window warns.
    """
    expected = Expected()
    counts: dict[tuple[int, str], tuple[int, int]] = {}
    seen: set[tuple[int, str]] = set()
    latest = 0
    for offset, record in enumerate(records):
        try:
            payment = msgspec.json.decode(record, type=Payment)
        except msgspec.DecodeError:
            expected.letters.add((offset, f"{program}.spending"))
            continue
        expected.copies.append(record)
        if payment.amount == UNLUCKY:
            expected.letters.add((offset, f"{program}.totals"))
        else:
            expected.sums[payment.account] = expected.sums.get(payment.account, 0) + payment.amount
        start = int(payment.ts) // WINDOW_S * WINDOW_S
        count, total = counts.get((start, payment.account), (0, 0))
        count, total = count + 1, total + payment.amount
        seen.add((start, payment.account))
        if count >= alert_from:
            expected.warnings.append(msgspec.json.encode(Warning_(payment.id, payment.account, count, total)))
        if start + WINDOW_S + RETENTION_S > latest:
            counts[start, payment.account] = count, total
        if start > latest:
            latest = start
            counts = _kept(counts, latest)
    expected.window_count = len(seen)
    expected.windows = {
        (start, account): msgspec.json.encode({"count": count, "sum": total})
        for (start, account), (count, total) in _kept(counts, latest).items()
    }
    return expected


def _kept(counts: dict[tuple[int, str], tuple[int, int]], latest: int) -> dict[tuple[int, str], tuple[int, int]]:
    """Return the windows that are not a retention past their end; the same dict when all are kept."""
    gone = [window for window in counts if window[0] + WINDOW_S + RETENTION_S <= latest]
    for window in gone:
        del counts[window]
    return counts
