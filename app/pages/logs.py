"""`GET /logs`: search in the lines of all services; `/logs/services`, and the page `/logs/page` on top of both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus

import msgspec

from app.bank import app
from app.log_search import LEVELS, Query, search
from app.log_view import latest_log_alerts, service_view, services_view
from app.pages.answers import answer, refusal
from app.pages.navigation import page
from app.tables import log_services
from pelton import Request, Response, UnavailableError, View

__all__ = ["logs_page", "logs_search", "logs_services", "logs_templates"]

ALERTS_SHOWN = 25
LIMIT_MAX = 1_000


@app.page("/logs", name="logs")
async def logs_search(self: View, request: Request) -> Response:
    """Answer with lines, latest first (?service= &level= &from= &to= &q= &limit=); 400 for what is no query."""
    try:
        found = await search(_query(request.query))
    except ValueError as error:
        name, expected = error.args
        return refusal(HTTPStatus.BAD_REQUEST, expected, field=name)
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
    return answer({"lines": msgspec.to_builtins(found.lines), "scanned": found.scanned, "complete": found.complete})


@app.page("/logs/services", name="logs-services")
async def logs_services(self: View, request: Request) -> Response:
    """Answer with all services, their lines and errors a minute, and the latest alerts; 503 at the start."""
    try:
        return answer({"services": await services_view(), "alerts": await latest_log_alerts(ALERTS_SHOWN)})
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)


@app.page("/logs/templates", name="logs-templates")
@app.table_route(table=log_services, query_param="service")
async def logs_templates(self: View, request: Request) -> Response:
    """Answer with what one service says (?service=), whichever worker is asked; 503 when none can tell now."""
    try:
        return answer(service_view(request.query.get("service", "")))
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)


@app.page("/logs/page", name="logs-page")
async def logs_page(self: View, request: Request) -> Response:
    """Answer with the page."""
    return page(request, "logs", "Logs of all services")


def _query(given: Mapping[str, str]) -> Query:
    """Return what is asked for. Raises: ValueError with the field and what it expects."""
    level, limit = given.get("level") or "debug", given.get("limit") or "100"
    if level not in LEVELS:
        raise ValueError("level", f"expected one of {', '.join(LEVELS)}, got {level[:32]!r}")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= LIMIT_MAX):
        raise ValueError("limit", f"expected 1 to {LIMIT_MAX}, got {limit[:32]!r}")
    return Query(
        service=given.get("service", ""),
        level=LEVELS[LEVELS.index(level)],
        start=_moment("from", given.get("from", ""), 0.0),
        end=_moment("to", given.get("to", ""), math.inf),
        text=given.get("q", ""),
        limit=int(limit),
    )


def _moment(name: str, given: str, otherwise: float) -> float:
    """Return a time in seconds since the epoch; one without a zone is UTC. Raises: ValueError."""
    if not given:
        return otherwise
    try:
        moment = float(given)
    except ValueError:
        moment = _seconds(given)
    if not 0 <= moment < 4e9:
        raise ValueError(name, f"expected a time, as in 2026-01-05T12:00 or in seconds, got {given[:32]!r}")
    return moment


def _seconds(given: str) -> float:
    try:
        moment = datetime.fromisoformat(given.replace(" ", "+") if given.count(" ") and "T" in given else given)
    except ValueError:
        return math.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
