"""`faust -A app simulate-telemetry`: readings of cash machines, or real ones that `river` ships.

The truth about a reading travels in its header "label", where `evaluate-telemetry` finds it and the detectors never
look. A record's timestamp is when its reading reaches us.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterable, Iterator
from importlib import import_module
from typing import Any

from app.bank import app, readings
from app.commands.pacing import send_paced
from app.models import Reading
from app.simulation.devices import ArrivingReading, DevicesPlan, arrivals
from pelton import AppCommand, option

__all__ = ["shuttle", "simulate_telemetry", "water_flow"]


@app.command(
    option("--devices", type=int, default=50, show_default=True, help="How many cash machines."),
    option("--period", type=float, default=5, show_default=True, help="Seconds between two readings of a machine."),
    option("--speed", type=float, default=1, show_default=True, help="Seconds of event time a second; 0: at once."),
    option("--seed", type=int, default=7, show_default=True, help="What the readings follow from."),
    option("--count", type=int, default=0, help="Stop after so many readings; 0 for never, or the end of the data."),
    option("--start", type=float, default=0, help="Event time of the first one, seconds since the epoch; 0 for now."),
    option("--data", default="simulated", show_default=True, help="simulated, or real: shuttle, water-flow."),
)
async def simulate_telemetry(
    self: AppCommand, *, devices: int, period: float, speed: float, seed: int, count: int, start: float, data: str
) -> None:
    """Send devices' readings, late and with faults.

    Readings come out of order, some late, some never; what is wrong with one is its label. Page: /devices/page.
    """
    begin = start or float(int(time.time()))
    known: dict[str, Iterable[ArrivingReading]] = {
        "simulated": arrivals(DevicesPlan(seed, devices, period, begin)),
        "shuttle": shuttle(begin, period),
        "water-flow": water_flow(begin, period),
    }
    if data not in known:
        raise self.UsageError(f"--data: expected one of {', '.join(known)}, got {data!r}")
    rate = speed * (devices if data == "simulated" else 1) / period
    await send_paced(known[data], _send, noun="readings", rate=rate, count=count)


def shuttle(start: float, period: float) -> Iterator[ArrivingReading]:
    """Yield the readings of nine sensors of a space shuttle (UCI Statlog), labelled, as one device's."""
    for number, (values, label) in enumerate(import_module("river.datasets").Shuttle()):
        ts = start + number * period
        reading = Reading("shuttle", ts, {name: float(value) for name, value in values.items()})
        yield ArrivingReading(ts, number, reading, "anomaly" if label else "")


def water_flow(start: float, period: float) -> Iterator[ArrivingReading]:
    """Yield the hourly flow through a branch of a water main (litres a second), two months of it; not labelled."""
    for number, (_, flow) in enumerate(import_module("river.datasets").WaterFlow()):
        ts = start + number * period
        yield ArrivingReading(ts, number, Reading("water-flow", ts, {"flow_l_s": flow}), "")


async def _send(one: ArrivingReading) -> Awaitable[Any]:
    headers = {"label": one.label.encode()}
    return await readings.send(key=one.reading.device, value=one.reading, timestamp=one.arrival, headers=headers)
