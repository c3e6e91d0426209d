"""`GET /devices`: all devices; `/devices/{…}` by `?id=`; and the page `/devices/page` on top of both."""

from __future__ import annotations

from heapq import nlargest
from http import HTTPStatus
from typing import Any

import msgspec

from app.agents import summarize
from app.bank import app, device_alerts
from app.everywhere import rows_of
from app.logbook import entries
from app.models import DeviceAlert
from app.pages.answers import answer, refusal
from app.pages.navigation import page
from app.tables import devices
from pelton import Request, Response, UnavailableError, View

__all__ = ["device_page", "devices_page", "devices_state"]

ALERTS_SHOWN = 25
DEVICES_SHOWN = 500


@app.page("/devices", name="devices")
async def devices_state(self: View, request: Request) -> Response:
    """Answer with all devices, the most unusual first, and the latest alerts; 503 when not all can be told now."""
    try:
        known = [{"device": name, **msgspec.to_builtins(device)} for name, device in await rows_of(devices)]
        shown = nlargest(DEVICES_SHOWN, known, key=lambda one: (one["missing"], one["anomalous"], one["score"]))
        return answer({"devices": shown, "known": len(known), "alerts": await _alerts()})
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)


@app.page("/devices/device", name="device")
@app.table_route(table=devices, query_param="id")
async def device_page(self: View, request: Request) -> Response:
    """Answer with one device (?id=) and its minutes of the last hour; 404 for one that never told anything."""
    wanted = request.query.get("id", "")
    try:
        if wanted not in devices:
            return refusal(HTTPStatus.NOT_FOUND, f"nothing is known of device {wanted[:64]!r}")
        found = msgspec.to_builtins(devices[wanted])
        return answer({"device": wanted, **found, "minutes": _minutes(wanted)})
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)


@app.page("/devices/page", name="devices-page")
async def devices_page(self: View, request: Request) -> Response:
    """Answer with the page."""
    return page(request, "devices", "Devices")


def _minutes(name: str) -> list[dict[str, Any]]:
    """Return the minutes of a device that are open, or were closed within the hour, oldest first."""
    return [
        {
            "start": minute.start_ms / 1000,
            "readings": minute["readings"],
            "metrics": msgspec.to_builtins(minute["metrics"]),
            "final": minute.final,
        }
        for minute in summarize.windows().of(name)
    ]


async def _alerts() -> list[DeviceAlert]:
    """Return the latest alerts of all devices, latest first."""
    topic = device_alerts.get_topic_name()
    found = [msgspec.json.decode(entry.value, type=DeviceAlert) async for entry in entries(topic, last=ALERTS_SHOWN)]
    return nlargest(ALERTS_SHOWN, found, key=lambda alert: alert.ts)
