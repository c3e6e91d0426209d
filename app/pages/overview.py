"""The page of payments, and the two JSON addresses that it lives on."""

from __future__ import annotations

from http import HTTPStatus

from app.bank import app
from app.pages.answers import answer, refusal
from app.pages.navigation import page
from app.view import account_view, latest_of_all, progress
from pelton import Request, Response, UnavailableError, View

__all__ = ["account", "overview", "payments_page"]

ALERTS_SHOWN = 25


@app.page("/payments", name="payments-page")
async def payments_page(self: View, request: Request) -> Response:
    """Answer with the page."""
    return page(request, "payments", "Payments")


@app.page("/api/overview", name="overview")
async def overview(self: View, request: Request) -> Response:
    """Answer with this worker's counters and lag, and the latest alerts of all; 503 while it starts."""
    try:
        return answer({**progress(), "alerts": await latest_of_all(ALERTS_SHOWN)})
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)


@app.page("/api/account", name="account")
async def account(self: View, request: Request) -> Response:
    """Answer with what is known of one account (?id=…), no payments when nothing is; 503 when nobody can tell now."""
    wanted = request.query.get("id", "")
    try:
        return answer(await account_view(wanted))
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
