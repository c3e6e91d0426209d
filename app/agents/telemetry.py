"""Watch over devices: what each came to per minute, when one is missing, and when its readings are unusual.

Readings come late and out of order. `summarize` puts each into its minute by the device's own clock, and a minute is
final two minutes later. `watch_devices` learns what is usual from readings in the order of the device's clock; one that
comes late, or from the future, only tells that the device lives. Detectors are local variables, made again of their
table: they end with the agent's run, so they never know more than what is committed (see `app.detector`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

import pelton
from app.anomaly import of_reading
from app.bank import app, device_alerts, device_minutes, late_readings, readings, scored_readings, suspects
from app.device_rules import (
    AHEAD_MAX_S,
    GRACE_S,
    HEARTBEAT_S,
    Metrics,
    after_late,
    after_reading,
    anomaly,
    drift,
    is_late,
    minute_of,
    missing,
)
from app.loading import load
from app.models import DeviceMinute, Reading, ScoredReading
from app.tables import detectors, devices
from pelton import FiredTimer, Stream, current_event
from pelton.aggregate import Count

if TYPE_CHECKING:
    from app.detector import Detector

__all__ = ["summarize", "watch_devices"]

#: Detectors in memory for each partition; the others are in their table.
DETECTORS_MAX = 1_000


@app.agent(readings, sink=[device_minutes])
async def summarize(stream: Stream[Reading]) -> AsyncIterator[DeviceMinute]:
    """Send each minute of each device on, once, when it is final."""
    windows = stream.window(
        pelton.tumbling(60), time=Reading.ts, grace=GRACE_S, late=late_readings, max_future=AHEAD_MAX_S, retention=3600
    )
    async for minute in windows.agg(readings=Count(), metrics=Metrics()).on_close():
        yield minute_of(minute)


@app.agent(readings, sink=[scored_readings])
async def watch_devices(stream: Stream[Reading]) -> AsyncIterator[ScoredReading]:
    """Score each reading, and alert on anomalies, drift, and devices that are not heard of."""
    known: dict[str, Detector] = {}
    timers = stream.timers()
    async for one in timers:
        if isinstance(one, FiredTimer):
            device = devices[one.key]
            if not device.missing:  # of the two timers, the first one tells
                devices[one.key] = replace(device, missing=True)
                await device_alerts.send(key=one.key, value=missing(one.key, device))
            continue

        name, device = one.device, devices[one.device]
        timers.set("heartbeat", after=HEARTBEAT_S)  # by the readings of others
        timers.set("heartbeat by the clock", after=HEARTBEAT_S, clock="wall")  # where the partition has no others
        event = current_event()
        assert event is not None
        if is_late(device, one, event.message.timestamp):
            devices[name] = after_late(device)
            continue

        detector = known.pop(name, None) or await _detector(name, one)
        known[name] = detector
        if len(known) > DETECTORS_MAX:
            del known[next(iter(known))]  # the one that was not used for longest
        verdict = detector.judge(one.values)
        detectors[name] = state = detector.state()
        devices[name] = after_reading(device, one, verdict.score, verdict.anomalous)
        found = (anomaly(device, one, verdict.score, verdict.anomalous), drift(one, verdict.drifting))
        raised = [alert for alert in found if alert is not None]
        for alert in raised:
            await device_alerts.send(key=name, value=alert)
        suspect = of_reading(one, state, verdict.score, raised)
        if suspect is not None:
            await suspects.send(key=name, value=suspect)
        yield ScoredReading(name, one.ts, round(verdict.score, 6), verdict.anomalous)


async def _detector(name: str, reading: Reading) -> Detector:
    """Return the detector of a device, made of its table; the first one loads its library, which takes seconds."""
    module = await load("app.detector")
    detector: Detector = module.Detector(sorted(reading.values), detectors.get(name))
    return detector
