"""`faust -A app simulate-models`: versions are trained, tried, promoted, and taken back."""

from __future__ import annotations

import asyncio
import time

from msgspec.structs import replace

from app.bank import app
from app.commands.models import ordered, publication, registries, trained_from_reviews
from app.deployment import SENTIMENT
from app.models import ModelOrder, Promote, Rollback
from pelton import AppCommand, option

__all__ = ["simulate_models"]

TEXTS_MIN = 20
#: A version in so many has been damaged on its way; so many are rolled back at last.
DAMAGED_EVERY = 4
BACK_EVERY = 6


@app.command(
    option("--every", type=float, default=60, show_default=True, help="Seconds between two steps of a deployment."),
    option("--count", type=int, default=0, help="Stop after so many versions; 0 for never."),
    option("--last", type=int, default=500, show_default=True, help="Train on so many reviews of each partition."),
)
async def simulate_models(self: AppCommand, *, every: float, count: int, last: int) -> None:
    """Train and deploy a model of reviews, again and again.

    Each version is a shadow, then a canary, then in production; some are damaged, some are taken back. It waits for
    reviews with stars, and for a worker. Page: /models.
    """
    published = 0
    while not count or published < count:
        made = await trained_from_reviews(last)
        if made.metrics["texts"] < TEXTS_MIN:
            await asyncio.sleep(max(every, 1) / 4)
            continue
        version = await _next_version()
        number = int(version.removeprefix("v"))
        order = publication(SENTIMENT, version, made)
        if number % DAMAGED_EVERY == 0:
            order = replace(order, artifact=order.artifact[: len(order.artifact) // 2])
        published += 1
        if await _tell(order):
            await _promote(version, number, every)
        await asyncio.sleep(every)


async def _promote(version: str, number: int, every: float) -> None:
    steps: list[ModelOrder] = [
        Promote(SENTIMENT, version, "shadow", time.time()),
        Promote(SENTIMENT, version, "canary", time.time(), 0.2),
        Promote(SENTIMENT, version, "production", time.time()),
    ]
    if number % BACK_EVERY == 0:
        steps.append(Rollback(SENTIMENT, time.time(), "customers complained"))
    for step in steps:
        await _tell(step)
        await asyncio.sleep(every)


async def _tell(order: ModelOrder) -> bool:
    """Order it, and say what became of it. Returns: whether it was done."""
    try:
        outcome = await ordered(replace(order, ts=time.time()))
    except TimeoutError as error:
        print(f"no answer: {error}", flush=True)  # there may be no worker at present; the next step asks again
        return False
    print(f"{outcome.version}: {outcome.told}", flush=True)
    return outcome.done


async def _next_version() -> str:
    """Return the name of a version that the registry does not have."""
    registry = (await registries()).get(SENTIMENT)
    known = {one.version for one in registry.versions} if registry is not None else set[str]()
    numbers = [int(version[1:]) for version in known if version[0] == "v" and version[1:].isdigit()]
    return f"v{max(numbers, default=0) + 1}"
