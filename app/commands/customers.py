"""The part of `faust -A app simulate` that sends account holders' requests, and resumes where the last run stopped.

Each request bears an id, so one that is sent again after a crash is not done again.
"""

from __future__ import annotations

import asyncio
import time
from itertools import dropwhile, islice

from app.bank import accounts
from app.logbook import entries
from app.simulation import requests

__all__ = ["send_requests"]

#: Requests sent before their acknowledgements are awaited; a crash leaves gaps only among so many.
CHUNK_MAX = 100
#: Commands looked at in each partition for where the last run stopped; those of transfers are among them.
LOOKED_AT = 2_000

_PREFIX = "simulated:"


async def send_requests(seed: int, customers: int, rate: float) -> None:
    """Send requests at a rate (a second), without end; with a rate of 0, none."""
    if not rate:
        return
    first = await _resume(seed)
    coming = dropwhile(lambda request: request.number < first, requests(seed, customers))
    begin, sent = time.monotonic(), 0
    while True:
        chunk = min(CHUNK_MAX, max(1, round(rate)))
        receipts = [
            await accounts.send(one.account, one.command, command_id=f"{_PREFIX}{seed}:{one.number}")
            for one in islice(coming, chunk)
        ]
        await asyncio.gather(*receipts)
        sent += chunk
        await asyncio.sleep(max(0.0, begin + sent / rate - time.monotonic()))


async def _resume(seed: int) -> int:
    """Return the number of the first request that may be missing from the log."""
    prefix, last = f"{_PREFIX}{seed}:".encode(), -1
    async for entry in entries(accounts.commands.get_topic_name(), last=LOOKED_AT):
        command_id = entry.headers.get("pelton-command-id", b"")
        if command_id.startswith(prefix):
            last = max(last, int(command_id.removeprefix(prefix)))
    return max(0, last + 1 - CHUNK_MAX)
