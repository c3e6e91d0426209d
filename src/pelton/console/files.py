"""The console's own style sheet and scripts, from memory: compressed once, and sent anew only when they changed."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import NamedTuple

from aiohttp import web

__all__ = ["STATIC_PATH", "static_file"]

STATIC_PATH = "/static/console/"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class _File(NamedTuple):
    body: bytes
    compressed: bytes
    content_type: str
    etag: str


@cache
def _known() -> dict[str, _File]:
    """Return name -> file; a name that is not among them is none of ours, however it is written."""
    found: dict[str, _File] = {}
    for one in (files("pelton.console") / "static").iterdir():
        suffix = one.name[one.name.rfind(".") :]
        if suffix in _TYPES:
            body = one.read_bytes()
            compressed = gzip.compress(body, mtime=0)
            found[one.name] = _File(body, compressed, _TYPES[suffix], hashlib.sha256(body).hexdigest()[:32])
    return found


async def static_file(request: web.Request) -> web.Response:
    """Answer with a file; 304 when the browser has it as it is."""
    file = _known().get(request.match_info["name"])
    if file is None:
        raise web.HTTPNotFound
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding"}
    response = web.Response(headers=headers, content_type=file.content_type, charset="utf-8")
    response.etag = file.etag
    if any(known.value == file.etag for known in request.if_none_match or ()):
        response.set_status(HTTPStatus.NOT_MODIFIED)
    elif "gzip" in request.headers.get("Accept-Encoding", ""):
        response.body = file.compressed
        response.headers["Content-Encoding"] = "gzip"
    else:
        response.body = file.body
    return response
