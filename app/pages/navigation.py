"""The pages that people open, in the frame of pelton's web view, which links from each of them to all others."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from markupsafe import Markup

from app.bank import app
from app.pages.answers import document, refusal
from pelton import Request, Response, View, web_page

__all__ = ["PAGES", "STATIC", "made", "page", "page_file"]

STATIC = Path(__file__).parent / "static"
#: Where the files of the pages are.
FILES_PATH = "/static/bank"

#: Address -> name, in the order of the links.
PAGES = {
    "/payments": "Payments",
    "/analytics": "Analytics",
    "/anomalies": "Anomalies",
    "/ledger": "Accounts",
    "/logs/page": "Logs",
    "/devices/page": "Devices",
    "/reviews": "Reviews",
    "/models": "Models",
    "/training": "Training",
    "/chat": "Chat",
    "/chat/desk": "Desk",
    "/shop": "Orders",
}
_TYPES = {".js": "text/javascript", ".css": "text/css"}

for _path, _name in PAGES.items():
    app.page_link(_path, _name)


@app.page(FILES_PATH + "/{file}", name="page-file")
async def page_file(self: View, request: Request, file: str) -> Response:
    """Answer with a script or a style sheet of the pages."""
    found = next((one for one in STATIC.iterdir() if one.name == file and one.suffix in _TYPES), None)
    if found is None:
        return refusal(HTTPStatus.NOT_FOUND, "there is no such file")
    return document(found.read_bytes(), _TYPES[found.suffix])


def page(request: Request, name: str, title: str) -> Response:
    """Return a page of `static`: its content is NAME.html, its script NAME.js."""
    body = Markup((STATIC / f"{name}.html").read_text())  # noqa: S704 - a file of ours, and nothing of a record
    return _framed(request, title, body, f"{FILES_PATH}/{name}.js")


def made(request: Request, title: str, body: str) -> Response:
    """Return a page that was made here, from HTML in which what comes from records is escaped; it renews itself."""
    return _framed(request, title, Markup(body), "/static/console/renew.js")  # noqa: S704


def _framed(request: Request, title: str, body: Markup, script: str) -> Response:
    framed: Response = web_page(request, title, body, scripts=[script], styles=[f"{FILES_PATH}/page.css"])
    return framed
