"""What every address answers with: headers that let a browser do no more than it must."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

__all__ = ["PAGE_HEADERS", "answer", "page_answer", "refusal"]

#: No script and no style but from files of this server; nobody may show a page of ours inside one of theirs; and the
#: browser refuses to make markup of text, so that what a record holds cannot become any.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def page_answer(html: str, status: int = HTTPStatus.OK) -> web.Response:
    """Return a page."""
    return web.Response(text=html, status=int(status), content_type="text/html", headers=PAGE_HEADERS)


def answer(document: object, status: int = HTTPStatus.OK, *, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a value as JSON. What JSON has no form for (a date, a decimal, bytes) comes as msgspec writes it."""
    return web.Response(
        body=msgspec.json.encode(document),
        status=int(status),
        content_type="application/json",
        headers={**PAGE_HEADERS, **(headers or {})},
    )


def refusal(status: int, error: str, hint: str | None = None, **details: Any) -> web.Response:
    """Return an error as JSON: what is wrong, and what to do about it."""
    return answer({"error": error, "hint": hint, **details}, status)
