"""What goes wrong, and when: drawn from the seed before anything starts.

Four lanes run beside each other, so that faults meet; the faults of one lane follow one another.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["worker_kills", "zombies", "broker_kills", "broker_outages", "storms"]
KINDS: tuple[Kind, ...] = ("worker_kills", "zombies", "broker_kills", "broker_outages", "storms")

WORKERS = 3
BROKERS = 3
#: As short as brokers take it; a stopped worker must sleep longer to become a zombie.
SESSION_S = 6.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. Which numbers mean something depends on its kind.

    at_s: since the start; a lane that is behind goes on without a pause.
    target: a worker from 0, or a broker from 1; an outage leaves this broker alone, and takes the others.
    lasts_s: until the worker or the broker is back, or the storm is over.
    wipe: whether the worker's data directory is deleted meanwhile.
    steps: of a storm, the pauses between its joins and leaves, in seconds.
    """

    at_s: float
    kind: Kind
    target: int
    lasts_s: float
    wipe: bool = False
    steps: tuple[float, ...] = ()


def schedule(seed: int, seconds: float) -> list[list[Fault]]:
    """Return the faults of each lane, in order."""
    return [
        list(_lane(f"{seed}/{name}", seconds, every, draw))
        for name, every, draw in (
            ("kills", (11, 25), _kill),
            ("zombies", (65, 115), _zombie),
            ("brokers", (45, 90), _broker),
            ("storms", (70, 120), _storm),
        )
    ]


def _lane(
    seed: str, seconds: float, every: tuple[int, int], draw: Callable[[random.Random, float, int], Fault]
) -> Iterator[Fault]:
    chance = random.Random(seed)
    # The first comes early, so that a short run has some of each kind.
    at_s = 10 + chance.uniform(0, every[0])
    number = 0
    while at_s < seconds - 10:
        yield draw(chance, at_s, number)
        at_s += chance.uniform(*every)
        number += 1


def _kill(chance: random.Random, at_s: float, number: int) -> Fault:
    return Fault(at_s, "worker_kills", chance.randrange(WORKERS), chance.uniform(0, 2), wipe=chance.random() < 0.15)


def _zombie(chance: random.Random, at_s: float, number: int) -> Fault:
    return Fault(at_s, "zombies", chance.randrange(WORKERS), SESSION_S + chance.uniform(1.5, 6))


def _broker(chance: random.Random, at_s: float, number: int) -> Fault:
    broker = chance.randrange(BROKERS) + 1
    if number % 5 == 2:
        return Fault(at_s, "broker_outages", broker, chance.uniform(5, 15))
    return Fault(at_s, "broker_kills", broker, chance.uniform(0, 6))


def _storm(chance: random.Random, at_s: float, number: int) -> Fault:
    lasts_s = chance.uniform(10, 20)
    steps: list[float] = []
    while sum(steps) < lasts_s:
        steps.append(chance.uniform(1, 3))
    # A worker without state comes back in the middle of it, so that a restore meets the rebalances.
    return Fault(at_s, "storms", chance.randrange(WORKERS), sum(steps), wipe=True, steps=tuple(steps))
