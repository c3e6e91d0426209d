"""`GET /analytics`: the page of live analytics, and `/api/analytics`, which it lives on."""

from __future__ import annotations

from http import HTTPStatus

from app.analytics import case_views, quality_views, traffic_view
from app.bank import app
from app.pages.answers import answer, refusal
from app.pages.navigation import page
from pelton import Request, Response, UnavailableError, View

__all__ = ["analytics", "analytics_page"]

CASES_SHOWN = 15


@app.page("/api/analytics", name="analytics")
async def analytics(self: View, request: Request) -> Response:
    """Answer with the last hour's payments, the latest cases, and how right the alerts are; 503 while it starts."""
    try:
        told = {"traffic": await traffic_view(), "cases": await case_views(CASES_SHOWN)}
        return answer({**told, "quality": await quality_views()})
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)


@app.page("/analytics", name="analytics-page")
async def analytics_page(self: View, request: Request) -> Response:
    """Answer with the page."""
    return page(request, "analytics", "Live analytics")
