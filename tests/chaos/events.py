"""What is put in: a pure function of seed, partition and sequence number.

Every event carries its partition and its number, so whoever reads it can tell what it must be, byte for byte.
"""

from __future__ import annotations

import random
import re

from tests.kill.kill_oracle import payment_record

#: Of each partition; an account's events are all on one.
ACCOUNTS = 50
#: How many events there are to a second of event time.
EVENTS_PER_SECOND = 10

_NAME = re.compile(rb'"id":"(\d+)-(\d+)"')


def event(seed: int, partition: int, sequence: int) -> tuple[bytes, bytes]:
    """Return the key and the value of one event."""
    chance = random.Random(f"{seed}/{partition}/{sequence}")
    account = f"account-{partition}-{chance.randrange(ACCOUNTS)}"
    value = payment_record(chance, f"{partition}-{sequence}", account, sequence / EVENTS_PER_SECOND)
    return account.encode(), value


def identity(value: bytes) -> tuple[int, int] | None:
    """Return the partition and the sequence number that an event's value tells; None when it tells none."""
    found = _NAME.search(value)
    return (int(found[1]), int(found[2])) if found else None
