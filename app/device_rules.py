"""What is remembered of a device after a reading, and what is worth an alert: pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
from msgspec.structs import replace

from app.models import Device, DeviceAlert, DeviceMinute, MetricSummary, Reading
from pelton import ConfigurationError, WindowResult

__all__ = [
    "AHEAD_MAX_S",
    "GRACE_S",
    "HEARTBEAT_S",
    "Metrics",
    "after_late",
    "after_reading",
    "anomaly",
    "drift",
    "is_late",
    "minute_of",
    "missing",
]

#: A device that was not heard of for so long is missing.
HEARTBEAT_S = 60.0
#: How late a reading may come and still be in its minute.
GRACE_S = 120.0
#: How far a device's clock may be ahead of the time at which its reading came.
AHEAD_MAX_S = 300.0


def is_late(device: Device, reading: Reading, came: float) -> bool:
    """Return whether a reading is not later than one before, by the device's clock; the same one again, too.

    So is one of the future: nothing would be later than it. came: when it did, seconds since the epoch.
    """
    return reading.ts <= device.ts or reading.ts > came + AHEAD_MAX_S


def after_late(device: Device) -> Device:
    """Return what is known of a device after a late reading: that it lives."""
    return replace(device, readings=device.readings + 1, late=device.late + 1, missing=False)


def after_reading(device: Device, reading: Reading, score: float, anomalous: bool) -> Device:
    """Return what is known of a device after a reading."""
    return Device(
        ts=reading.ts,
        values=reading.values,
        readings=device.readings + 1,
        late=device.late,
        score=round(score, 6),
        anomalous=anomalous,
    )


def anomaly(device: Device, reading: Reading, score: float, anomalous: bool) -> DeviceAlert | None:
    """Alert on the first of a row of unusual readings. device: before this reading."""
    if not anomalous or device.anomalous:
        return None
    name = f"anomaly:{reading.device}:{reading.ts:.3f}"
    return DeviceAlert(name, "anomaly", reading.device, reading.ts, round(score, 6), reading.values)


def drift(reading: Reading, drifting: list[str]) -> DeviceAlert | None:
    """Alert when what is usual has changed for some metrics."""
    if not drifting:
        return None
    metrics = {metric: reading.values[metric] for metric in drifting}
    return DeviceAlert(f"drift:{reading.device}:{reading.ts:.3f}", "drift", reading.device, reading.ts, metrics=metrics)


def missing(name: str, device: Device) -> DeviceAlert:
    """Return the alert for a device that is not heard of."""
    return DeviceAlert(f"missing:{name}:{device.ts:.3f}", "missing", name, device.ts, metrics=device.values)


class Metrics:
    """An aggregate of our own: each metric's count, least, greatest and mean, in the order of the log."""

    def initial(self) -> dict[str, list[float]]:
        """Return no metrics."""
        return {}

    def add(self, state: dict[str, list[float]], value: Reading) -> dict[str, list[float]]:
        """Take in one reading."""
        for metric, number in value.values.items():
            count, low, high, total = state.get(metric, (0, number, number, 0.0))
            state[metric] = [count + 1, min(low, number), max(high, number), total + number]
        return state

    def merge(self, earlier: dict[str, list[float]], later: dict[str, list[float]]) -> dict[str, list[float]]:
        """Return the metrics of both."""
        for metric, (count, low, high, total) in later.items():
            n, least, greatest, total_before = earlier.get(metric, (0, low, high, 0.0))
            earlier[metric] = [n + count, min(least, low), max(greatest, high), total_before + total]
        return earlier

    def result(self, state: Mapping[str, list[float]]) -> dict[str, MetricSummary]:
        """Return what each metric came to."""
        return {
            metric: MetricSummary(int(count), low, high, round(total / count, 6))
            for metric, (count, low, high, total) in sorted(state.items())
        }

    def expression(self) -> pl.Expr:
        """Raise ConfigurationError: metrics have names of their own in each reading, and a frame has columns."""
        raise ConfigurationError("metrics are no columns", hint="iterate the windows one by one")


def minute_of(result: WindowResult) -> DeviceMinute:
    """Return a minute that is closed."""
    values: Mapping[str, Any] = result.values
    return DeviceMinute(result.key, result.start_ms / 1000, values["readings"], values["metrics"])
