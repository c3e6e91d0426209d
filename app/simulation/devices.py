"""Cash machines that tell how they are, with faults: a pure function of a plan.

Each tells its temperature, voltage and the delay of its line every few seconds. One reading in twenty reaches us late,
and machines lose their line and send what they kept when it is back. The label of a reading that is not as it should
be is the fault's name: a spike (one reading), a failing fan (warmer for good), or "" where all is well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from math import pi, sin
from random import Random

from app.models import Reading

__all__ = ["ArrivingReading", "DevicesPlan", "arrivals"]

DAY_S = 86_400.0
#: One of so many readings of a machine is a spike.
SPIKE_EVERY = 400
#: How long a machine is off its line, and how long a dead one says nothing.
OFFLINE_S = 45.0
DEAD_S = 180.0
CYCLE_S = 1_800.0


@dataclass(frozen=True, slots=True)
class DevicesPlan:
    """What the readings follow from. period: seconds between two readings of one machine; start: of the first."""

    seed: int
    devices: int
    period: float
    start: float


@dataclass(frozen=True, slots=True, order=True)
class ArrivingReading:
    """A reading, when it reaches us (seconds since the epoch), its number, and the truth about it."""

    arrival: float
    number: int
    reading: Reading
    label: str


def arrivals(plan: DevicesPlan) -> Iterator[ArrivingReading]:
    """Yield all readings in the order in which they reach us, without end."""
    waiting: list[ArrivingReading] = []
    for number in count():
        tick, machine = divmod(number, plan.devices)
        ts = plan.start + tick * plan.period + plan.period * machine / plan.devices
        while waiting and waiting[0].arrival <= ts:
            yield heappop(waiting)
        if (reading := _reading(plan, number, machine, tick, round(ts, 3))) is not None:
            heappush(waiting, reading)


def _reading(plan: DevicesPlan, number: int, machine: int, tick: int, ts: float) -> ArrivingReading | None:
    rng = Random(f"{plan.seed}/reading/{number}")  # noqa: S311 - it has to be reproducible, not secret
    second = (ts - plan.start) % CYCLE_S
    turn = machine % 10  # each fault has its machines
    if turn == 3 and CYCLE_S / 2 <= second < CYCLE_S / 2 + DEAD_S:
        return None
    arrival, label = ts + rng.uniform(0.01, 0.2), ""
    if rng.random() < 0.05:
        arrival = ts + rng.uniform(1, 30)
    if turn == 5 and CYCLE_S / 2 <= second < CYCLE_S / 2 + OFFLINE_S:
        arrival = plan.start + (ts - plan.start) // CYCLE_S * CYCLE_S + CYCLE_S / 2 + OFFLINE_S + rng.uniform(0, 1)
    temperature = 24 + machine % 7 + 4 * sin(2 * pi * ts / DAY_S) + rng.gauss(0, 0.4)
    voltage, delay = rng.gauss(230, 1.2), rng.lognormvariate(3, 0.2)
    if turn == 7 and ts - plan.start > CYCLE_S:
        temperature, label = temperature + 6, "fan"
    if (tick + 37 * machine) % SPIKE_EVERY == SPIKE_EVERY - 1:
        temperature, voltage, label = temperature + rng.uniform(10, 20), voltage - rng.uniform(15, 40), "spike"
    values = {"delay_ms": round(delay, 1), "temperature_c": round(temperature, 2), "voltage_v": round(voltage, 2)}
    return ArrivingReading(round(arrival, 3), number, Reading(f"atm-{machine:04d}", ts, values), label)
