"""`faust -A app simulate-reviews`: send reviews of the bank's products, going on where the last run stopped."""

from __future__ import annotations

import asyncio
import time
from itertools import count as counted

import msgspec

from app.bank import app, reviews
from app.logbook import entries
from app.models import Review
from app.simulation import DEFAULT_START
from app.simulation.reviews import review
from pelton import AppCommand, option

__all__ = ["send_reviews", "simulate_reviews"]


@app.command(
    option("--rate", type=float, default=5, show_default=True, help="Reviews a second; 0 for as fast as it goes."),
    option("--seed", type=int, default=7, show_default=True, help="What the whole stream follows from."),
    option("--count", type=int, default=0, help="Stop after so many reviews; 0 for never."),
)
async def simulate_reviews(self: AppCommand, *, rate: float, seed: int, count: int) -> None:
    """Send reviews of products, which have bad hours.

    A minute of event time passes from one review to the next, and windows close by the hour. Page: /reviews.
    """
    sent = await send_reviews(rate, seed, count)
    print(f"sent {sent:,} reviews")


async def send_reviews(rate: float, seed: int, count: int = 0) -> int:
    """Send so many reviews, or without end; return how many. rate: a second; 0 for as fast as it goes."""
    first, begin = await _next_number(seed), time.monotonic()
    for sent in counted():
        if count and sent >= count:
            return sent
        one = review(seed, first + sent, DEFAULT_START)
        receipt = await reviews.send(key=one.product, value=one)
        if rate:
            await receipt
            await asyncio.sleep(max(0.0, begin + (sent + 1) / rate - time.monotonic()))
        elif sent == count - 1 or sent % 1_000 == 999:
            await receipt
    raise AssertionError("unreachable")


async def _next_number(seed: int) -> int:
    """Return the number behind the last review that the log holds."""
    prefix, last = f"review-{seed}-", -1
    async for entry in entries(reviews.get_topic_name(), last=1):
        identity = msgspec.json.decode(entry.value, type=Review).id
        if identity.startswith(prefix):
            last = max(last, int(identity.removeprefix(prefix)))
    return last + 1
