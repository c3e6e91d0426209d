"""What the page about logs shows: plain values of tables, whichever worker has them, and the latest alerts."""

from __future__ import annotations

from heapq import nlargest
from typing import Any

import msgspec

from app.bank import app, log_alerts
from app.everywhere import rows_of
from app.logbook import entries
from app.models import LogAlert
from app.tables import log_minutes, log_services, templates

__all__ = ["latest_log_alerts", "service_view", "services_view"]

MINUTES_SHOWN = 30
TEMPLATES_SHOWN = 50


async def services_view() -> list[dict[str, Any]]:
    """Return all services, with their latest minutes. Raises: UnavailableError."""
    return [
        {
            "service": name,
            "lines": service.lines,
            "errors": service.errors,
            "templates": service.templates,
            "last_ts": service.last_ts,
            "silent": service.silent,
            "minutes": await _minutes(name, service.minute),
        }
        for name, service in await rows_of(log_services)
    ]


def service_view(name: str) -> dict[str, Any]:
    """Return the templates of a service of this worker, those with the most lines first, with their latest minutes.

    Raises: UnavailableError.
    """
    newest = log_services[name].minute
    by_template: dict[str, list[dict[str, Any]]] = {}
    for key, start_ms, minute in log_minutes.between(newest - 60 * MINUTES_SHOWN, newest + 60):
        by_template.setdefault(key, []).append(_minute(start_ms, minute.lines, minute.errors, minute.error_rate))
    known = [template for template in templates.values() if template.service == name]
    return {
        "service": name,
        "templates": [
            {**msgspec.to_builtins(template), "minutes": by_template.get(f"{name}/{template.number}", [])}
            for template in nlargest(TEMPLATES_SHOWN, known, key=lambda template: template.lines)
        ],
    }


async def latest_log_alerts(limit: int) -> list[LogAlert]:
    """Return the latest alerts of all services, latest first."""
    found = [
        msgspec.json.decode(entry.value, type=LogAlert)
        async for entry in entries(log_alerts.get_topic_name(), last=limit)
    ]
    return nlargest(limit, found, key=lambda alert: alert.ts)


async def _minutes(name: str, newest: float) -> list[dict[str, Any]]:
    since_ms = int(newest - 60 * MINUTES_SHOWN) * 1000
    held = (await app.queries.windows(app.table_handle(log_minutes), name, since_ms=since_ms)).value
    return [_minute(one.start_ms, one.value.lines, one.value.errors, one.value.error_rate) for one in held]


def _minute(start_ms: int, lines: int, errors: int, rate: float) -> dict[str, Any]:
    return {"start": start_ms / 1000, "lines": lines, "errors": errors, "error_rate": round(rate, 4)}
