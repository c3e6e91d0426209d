"""What is remembered about each device, keyed by device."""

from __future__ import annotations

from app.bank import app
from app.models import DetectorState, Device
from pelton import Table

__all__ = ["detectors", "devices"]

devices = app.Table(
    "devices", default=Device, key_type=str, value_type=Device, partitions=4, help="The last reading of the device."
)

#: Bytes in bytes, so not JSON: about 2 KB a device, and 1 KB a metric.
detectors: Table[str, DetectorState] = app.Table(
    "detectors",
    key_type=str,
    value_type=DetectorState,
    value_serializer="msgpack",
    partitions=4,
    help="What the device's detector is made of again.",
)
