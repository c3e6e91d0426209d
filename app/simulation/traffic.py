"""A stream of card payments as a bank sees it, with fraud mixed in and labelled.

The stream is a pure function of its plan: payments come in blocks, each drawn from its own random generator, so
that a run can resume at any sequence number, and an oracle can recompute what was sent. Simulated time runs as fast as
payments are sent: a customer makes six payments a day, so at 1,000 payments a second 10,000 customers live a day in a
minute. Customers sleep, travel, treat themselves and buy small things online; the rules must tell that from theft.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from app.models import Transaction
from app.simulation.fraud import Draft, Scene, Visit, episodes
from app.simulation.world import Merchant, account_holder, place_on_day

__all__ = ["DEFAULT_START", "Labelled", "Plan", "block", "event_time", "transactions_from"]

#: 2026-01-05 00:00 UTC, a Monday.
DEFAULT_START = 1_767_571_200.0
DAY_S = 86_400
PAYMENTS_PER_DAY = 6

#: How busy each hour of the day is, against the others.
_HOURS = (2, 1, 1, 1, 1, 2, 4, 7, 9, 9, 10, 12, 13, 11, 9, 9, 10, 12, 13, 11, 8, 6, 4, 3)
_CUMULATIVE = tuple(accumulate(_HOURS, initial=0))

_CASH_MACHINE = Merchant("Cash machine", "6011")
_APP_STORE = Merchant("App store", "5815")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a simulation is a function of. start: event time of its first day, seconds since the epoch."""

    seed: int = 7
    accounts: int = 10_000
    start: float = DEFAULT_START

    @property
    def block_size(self) -> int:
        """How many payments are drawn together: at least a quarter of an hour's, so that fraud fits in."""
        return max(1_000, self.accounts // 8)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A payment and the truth about it.

    label: "" for an honest one, else "<rule>:<episode>", where all payments of one crime share the episode.
    """

    sequence: int
    transaction: Transaction
    label: str = ""


def transactions_from(plan: Plan, sequence: int = 0) -> Iterator[Labelled]:
    """Yield all payments from a sequence number on, without end."""
    number, skip = divmod(sequence, plan.block_size)
    while True:
        yield from block(plan, number)[skip:]
        number, skip = number + 1, 0


def block(plan: Plan, number: int) -> list[Labelled]:
    """Return one block of payments, in the order in which they reach the bank."""
    rng = Random(f"{plan.seed}/block/{number}")  # noqa: S311 - it has to be reproducible, not secret
    first = number * plan.block_size
    span = event_time(plan, first), event_time(plan, first + plan.block_size)
    drafts = episodes(rng, plan.block_size, span, lambda arrival: _scene(plan, rng, arrival))
    honest = plan.block_size - len(drafts)
    drafts += [_honest(plan, rng, event_time(plan, first + rng.random() * plan.block_size)) for _ in range(honest)]
    drafts.sort(key=lambda draft: draft.arrival)
    return [_finished(plan, rng, first + index, draft) for index, draft in enumerate(drafts)]


def event_time(plan: Plan, position: float) -> float:
    """Return when the payment at this position of the stream happens: busy hours hold more of them."""
    day, rest = divmod(position, plan.accounts * PAYMENTS_PER_DAY)
    weight = rest / (plan.accounts * PAYMENTS_PER_DAY) * _CUMULATIVE[-1]
    hour = bisect_right(_CUMULATIVE, weight) - 1
    within = (weight - _CUMULATIVE[hour]) / _HOURS[hour]
    return plan.start + day * DAY_S + (hour + within) * 3600


def _scene(plan: Plan, rng: Random, arrival: float) -> Scene:
    """Choose a customer, some more often than others, and say where that customer is."""
    number = int(plan.accounts * rng.random() ** 1.5)
    day, second = divmod(arrival - plan.start, DAY_S)
    city = place_on_day(plan.seed, number, int(day))
    moved = city != place_on_day(plan.seed, number, int(day) - 1)
    return Scene(account_holder(plan.seed, number), city, in_transit=moved and second < DAY_S / 2)


def _honest(plan: Plan, rng: Random, arrival: float) -> Draft:
    scene = _scene(plan, rng, arrival)
    holder, kind = scene.holder, rng.random()
    amount = rng.lognormvariate(0, holder.spread) * holder.median
    if rng.random() < 0.002:
        amount *= rng.uniform(3, 6)  # a new sofa
    if scene.in_transit or kind < holder.online_share:
        if rng.random() < 0.08:
            return Draft(arrival, scene, Visit(_APP_STORE, "online"), rng.choice((0.49, 0.99, 1.99)))
        return Draft(arrival, scene, Visit(rng.choice(holder.online_shops), "online"), amount)
    if kind > 0.96:
        return Draft(arrival, scene, Visit(_CASH_MACHINE, "atm"), rng.choice((20.0, 50.0, 50.0, 100.0)))
    visit = Visit(rng.choice(holder.shops), "chip" if amount > 50 else "contactless")
    return Draft(arrival, scene, visit, amount)


def _finished(plan: Plan, rng: Random, sequence: int, draft: Draft) -> Labelled:
    """Turn a draft into a record; one in fifty reaches the bank some seconds late."""
    late = rng.uniform(0.2, 3.0) if rng.random() < 0.02 else 0.0
    visit, city, holder = draft.visit, draft.visit.city or draft.scene.city, draft.scene.holder
    present = visit.channel != "online"
    transaction = Transaction(
        id=f"tx-{plan.seed}-{sequence}",
        account=holder.account,
        card=holder.card,
        amount=max(0.01, round(draft.amount, 2)),
        merchant=f"{visit.merchant.name}, {city.name}" if present else visit.merchant.name,
        country=city.country,
        channel=visit.channel,
        ts=round(draft.arrival - late, 3),
        mcc=visit.merchant.mcc,
        lat=round(city.lat + rng.uniform(-0.05, 0.05), 4) if present else None,
        lon=round(city.lon + rng.uniform(-0.05, 0.05), 4) if present else None,
    )
    return Labelled(sequence, transaction, draft.label)
