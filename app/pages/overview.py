"""The first page, and the two JSON addresses that it lives on."""

from __future__ import annotations

from http import HTTPStatus
from itertools import islice
from pathlib import Path

import msgspec

from app.agents import latest_alerts
from app.bank import app
from app.view import Elsewhere, account_view, progress
from pelton import Request, Response, View

__all__ = ["account", "index", "overview", "script", "style"]

STATIC = Path(__file__).parent / "static"
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
ALERTS_SHOWN = 25


@app.page("/", name="overview-page")
async def index(self: View, request: Request) -> Response:
    """Answer with the page."""
    return self.html((STATIC / "page.html").read_text(), headers=SECURITY)


@app.page("/page.js", name="page-script")
async def script(self: View, request: Request) -> Response:
    """Answer with the page's script."""
    return self.text((STATIC / "page.js").read_text(), content_type="text/javascript", headers=SECURITY)


@app.page("/page.css", name="page-style")
async def style(self: View, request: Request) -> Response:
    """Answer with the page's style sheet."""
    return self.text((STATIC / "page.css").read_text(), content_type="text/css", headers=SECURITY)


@app.page("/api/overview", name="overview")
async def overview(self: View, request: Request) -> Response:
    """Answer with this worker's counters, its lag and the latest alerts."""
    latest = list(islice(latest_alerts, ALERTS_SHOWN))
    return self.json({**progress(), "alerts": msgspec.to_builtins(latest)}, headers=SECURITY)


@app.page("/api/accounts/{account}", name="account")
async def account(self: View, request: Request, account: str) -> Response:
    """Answer with what is known of one account; 404 when nothing is, 503 when another worker holds it."""
    try:
        found = account_view(account)
    except Elsewhere as error:
        return self.error(HTTPStatus.SERVICE_UNAVAILABLE, str(error), worker=error.worker, headers=SECURITY)
    if found is None:
        return self.error(HTTPStatus.NOT_FOUND, f"nothing is known of account {account[:64]!r}", headers=SECURITY)
    return self.json(found, headers=SECURITY)
