"""How a simulator sends: in chunks, at a pace, each chunk durable before the next one; and what it says meanwhile."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

__all__ = ["send_paced"]

T = TypeVar("T")

#: Sent before acknowledgements are awaited.
CHUNK_MAX = 2_000
CHUNKS_PER_S = 10


async def send_paced(
    things: Iterable[T], send: Callable[[T], Awaitable[Awaitable[Any]]], *, noun: str, rate: float, count: int = 0
) -> int:
    """Send things, and return how many there were when all are durable.

    send: sends one and returns its receipt. rate: things a second of real time, 0 for as fast as it goes.
    count: stop after so many; 0 for when there are no more.
    """
    remaining = iter(things)
    chunk = min(CHUNK_MAX, max(1, round(rate / CHUNKS_PER_S))) if rate else CHUNK_MAX
    begin = told = time.monotonic()
    sent = 0
    while not count or sent < count:
        pending = [await send(one) for one in islice(remaining, min(chunk, count - sent) if count else chunk)]
        if not pending:
            break
        await asyncio.gather(*pending)
        sent += len(pending)
        if (now := time.monotonic()) - told >= (1 if sys.stdout.isatty() else 10):
            told = now
            print(f"sent {sent:,} {noun}", end="\r" if sys.stdout.isatty() else "\n", flush=True)
        if rate:
            await asyncio.sleep(max(0.0, begin + sent / rate - time.monotonic()))
    print(f"sent {sent:,} {noun}", flush=True)
    return sent
