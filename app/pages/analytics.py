"""`GET /analytics`: the page of live analytics, and `/api/analytics`, which it lives on."""

from __future__ import annotations

from http import HTTPStatus

from app.analytics import case_views, quality_views, traffic_view
from app.bank import app
from app.models.traffic import DIMENSIONS
from app.pages.answers import answer, refusal
from app.pages.navigation import page
from pelton import Request, Response, UnavailableError, View

__all__ = ["analytics", "analytics_page"]

CASES_SHOWN = 15


@app.page("/api/analytics", name="analytics")
async def analytics(self: View, request: Request) -> Response:
    """Answer with the last hour's payments, the latest cases, and how right the alerts are; 503 while it starts.

    ?merchant=…, ?country=… or ?channel=… asks for the minutes of one; 400 for two of them at once.
    """
    asked = [(name, request.query[name]) for name in DIMENSIONS if name in request.query]
    if len(asked) > 1:
        return refusal(HTTPStatus.BAD_REQUEST, f"expected one of {', '.join(DIMENSIONS)}, got {len(asked)}")
    try:
        told = {"traffic": await traffic_view(asked[0] if asked else None), "cases": await case_views(CASES_SHOWN)}
        return answer({**told, "quality": await quality_views()})
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)


@app.page("/analytics", name="analytics-page")
async def analytics_page(self: View, request: Request) -> Response:
    """Answer with the page."""
    return page(request, "analytics", "Live analytics")
