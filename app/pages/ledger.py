"""`GET /ledger`: the page on which an account's events, its balance over time and its past are looked at."""

from __future__ import annotations

from app.bank import app
from app.pages.navigation import page
from pelton import Request, Response, View

__all__ = ["ledger_page"]


@app.page("/ledger", name="ledger-page")
async def ledger_page(self: View, request: Request) -> Response:
    """Answer with the page."""
    return page(request, "ledger", "Accounts")
