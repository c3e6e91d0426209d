"""`faust -A app simulate-feedback`: people who look at judged payments, know the truth, and say so.

The truth about a simulated payment follows from its number, as the payment did.
"""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache
from itertools import count as counted

import msgspec

from app.bank import app, feedback, judgements
from app.logbook import entries
from app.models import Feedback, Judgement
from app.simulation import Plan, block
from pelton import AppCommand, option

__all__ = ["feedback_on", "send_feedback", "simulate_feedback"]

#: Judgements of each partition that people look at before there are newer ones.
LATEST = 50
PAUSE_S = 2.0


@app.command(
    option("--rate", type=float, default=1, show_default=True, help="Words a second."),
    option("--accounts", type=int, default=10_000, show_default=True, help="How many customers are simulated."),
    option("--seed", type=int, default=7, show_default=True, help="What the payments follow from."),
    option("--count", type=int, default=0, help="Stop after so many; 0 for never."),
)
async def simulate_feedback(self: AppCommand, *, rate: float, accounts: int, seed: int, count: int) -> None:
    """Say of judged payments whether that is right.

    It knows the truth about what `simulate` sends with the same seed and accounts. Page: /anomalies.
    """
    sent = await send_feedback(Plan(seed=seed, accounts=accounts), rate, count)
    print(f"sent {sent:,} words on judgements")


async def send_feedback(plan: Plan, rate: float, count: int = 0) -> int:
    """Say so many things, or without end; return how many."""
    begin, done = time.monotonic(), set[str]()
    for sent in counted():
        if count and sent >= count:
            return sent
        said = await _next(plan, done)
        await (await feedback.send(key=said.key, value=said))
        await asyncio.sleep(max(0.0, begin + (sent + 1) / rate - time.monotonic()))
    raise AssertionError("unreachable")


async def _next(plan: Plan, done: set[str]) -> Feedback:
    """Return what is said of a judgement that was not spoken of yet; wait for one."""
    while True:
        latest: set[str] = set()
        found: Feedback | None = None
        async for entry in entries(judgements.get_topic_name(), last=LATEST):
            judgement = msgspec.json.decode(entry.value, type=Judgement)
            latest.add(judgement.id)
            if found is None and judgement.id not in done:
                found = feedback_on(plan, judgement)
        done &= latest
        if found is not None:
            done.add(found.judgement)
            return found
        await asyncio.sleep(PAUSE_S)


def feedback_on(plan: Plan, judgement: Judgement) -> Feedback | None:
    """Return what somebody who knows the truth says of a judgement; None where it is of no payment of this plan."""
    prefix = f"payment:tx-{plan.seed}-"
    sequence = judgement.id.removeprefix(prefix)
    if sequence == judgement.id or not (sequence.isascii() and sequence.isdigit()):
        return None
    number, index = divmod(int(sequence), plan.block_size)
    right = judgement.anomalous == bool(_labels(plan, number)[index])
    return Feedback(judgement.id, judgement.key, right, time.time())


@lru_cache(maxsize=16)
def _labels(plan: Plan, number: int) -> list[str]:
    return [payment.label for payment in block(plan, number)]
