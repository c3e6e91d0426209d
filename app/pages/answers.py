"""What every page answers with: a body, and headers that let a browser do no more than it must."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

import msgspec
from aiohttp import web

from pelton import Response

__all__ = ["answer", "document", "refusal"]

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def answer(value: object, status: HTTPStatus = HTTPStatus.OK, *, headers: Mapping[str, str] | None = None) -> Response:
    """Return a value as JSON."""
    return document(msgspec.json.encode(value), "application/json", status, headers=headers)


def refusal(status: HTTPStatus, error: str, **details: Any) -> Response:
    """Return an error as JSON: what is wrong, and where."""
    return answer({"error": error, **details}, status)


def document(
    body: bytes,
    content_type: str,
    status: HTTPStatus = HTTPStatus.OK,
    *,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a body as it is, in UTF-8."""
    all_headers = {**_HEADERS, **(headers or {})}
    response = web.Response(body=body, status=status, content_type=content_type, charset="utf-8", headers=all_headers)
    return cast(Response, response)
