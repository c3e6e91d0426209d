"""What devices tell: readings, what is known of each device, and what a person should look at."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "DetectorState",
    "Device",
    "DeviceAlert",
    "DeviceAlertKind",
    "DeviceMinute",
    "MetricSummary",
    "Reading",
    "ScoredReading",
]

DeviceAlertKind = Literal["anomaly", "drift", "missing"]

Name = Annotated[str, Meta(min_length=1, max_length=64)]
#: JSON knows no NaN; a sensor that has no value leaves it out.
Value = Annotated[float, Meta(ge=-1e12, le=1e12)]


class Reading(msgspec.Struct, frozen=True):
    """What a device measured at one moment. The record's own time is when it reached us.

    ts: when it was measured, by the device's clock, seconds since the epoch.
    values: by metric, in the metric's unit; at most 32.
    """

    device: Name
    ts: Annotated[float, Meta(ge=0, lt=4_102_444_800)]
    values: Annotated[dict[Name, Value], Meta(min_length=1, max_length=32)]


class MetricSummary(msgspec.Struct, frozen=True):
    """What one metric of a device came to in a window: how many values, the least, the greatest, and their mean."""

    count: int
    low: float
    high: float
    mean: float


class DeviceMinute(msgspec.Struct, frozen=True):
    """One minute of a device, final. start: its first moment, event time in seconds since the epoch."""

    device: str
    start: float
    readings: int
    metrics: dict[str, MetricSummary]


class Device(msgspec.Struct, frozen=True):
    """What is known of one device.

    ts, values: of its last reading by the device's clock; one that comes late does not replace it.
    readings: how many came; late: how many of them were not later than one before, or came twice.
    score: the last one, 0 (usual) to 1; anomalous, missing: whether an alert stands.
    """

    ts: float = -1.0
    values: dict[str, float] = {}
    readings: int = 0
    late: int = 0
    score: float = 0.0
    anomalous: bool = False
    missing: bool = False


class DetectorState(msgspec.Struct, frozen=True):
    """What a device's detector is made of again; see `app.detector`.

    metrics: those of the first reading, sorted. readings, means, squares: their running count, means, and sums of
        squared deviations.
    counter: readings in this window of the trees; masses: of the leaves of all trees, in this window; before: in
        the one before, None in the first one.
    windows: by metric, ADWIN's own bytes.
    scores: count, mean and sum of squared deviations of the scores so far.
    """

    metrics: list[str]
    readings: int
    means: list[float]
    squares: list[float]
    counter: int
    masses: bytes
    before: bytes | None
    windows: dict[str, bytes]
    scores: tuple[int, float, float] = (0, 0.0, 0.0)


class ScoredReading(msgspec.Struct, frozen=True):
    """How unusual a reading was. score: 0 (usual) to 1, given before the reading was learned from."""

    device: str
    ts: float
    score: float
    alert: bool


class DeviceAlert(msgspec.Struct, frozen=True):
    """Something about a device that a person should look at.

    id: "<kind>:<device>:…", so that a replay raises the same alert, not another one.
    ts: of the reading; of the last one before a device went missing. metrics: the values, or those that drift.
    """

    id: str
    kind: DeviceAlertKind
    device: str
    ts: float
    score: float = 0.0
    metrics: dict[str, float] = {}
