"""The first page, and the two JSON addresses that it lives on."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from app.bank import app
from app.pages.answers import answer, document, refusal
from app.view import account_view, latest, progress
from pelton import Request, Response, UnavailableError, View

__all__ = ["account", "index", "overview", "script", "style"]

STATIC = Path(__file__).parent / "static"
ALERTS_SHOWN = 25


@app.page("/", name="overview-page")
async def index(self: View, request: Request) -> Response:
    """Answer with the page."""
    return document((STATIC / "page.html").read_bytes(), "text/html")


@app.page("/page.js", name="page-script")
async def script(self: View, request: Request) -> Response:
    """Answer with the page's script."""
    return document((STATIC / "page.js").read_bytes(), "text/javascript")


@app.page("/page.css", name="page-style")
async def style(self: View, request: Request) -> Response:
    """Answer with the page's style sheet."""
    return document((STATIC / "page.css").read_bytes(), "text/css")


@app.page("/api/overview", name="overview")
async def overview(self: View, request: Request) -> Response:
    """Answer with this worker's counters, its lag and the latest alerts; 503 while it starts."""
    try:
        return answer({**progress(), "alerts": latest(ALERTS_SHOWN)})
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)


@app.page("/api/account", name="account")
async def account(self: View, request: Request) -> Response:
    """Answer with what is known of one account (?id=…); 404 when nothing is, 503 when another worker holds it."""
    wanted = request.query.get("id", "")
    try:
        found = account_view(wanted)
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
    if found is None:
        return refusal(HTTPStatus.NOT_FOUND, f"nothing is known of account {wanted[:64]!r}")
    return answer(found)
