"""Who may change something through the pages: whoever the token let in. Without a token the web view is read-only.

The guard in front of every address (`pelton.shell.guard`) has looked at token, session and CSRF token before; what is
decided here is only whether there is a token at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from http import HTTPStatus

from aiohttp import web

from pelton.console.answers import refusal
from pelton.console.surroundings import CONSOLE

__all__ = ["changes", "read_only", "writes_allowed"]

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def writes_allowed(request: web.Request) -> bool:
    """Return whether this request, or what is sent from the page that it asks for, may change something."""
    return request.app[CONSOLE].sessions is not None


def read_only() -> web.Response:
    """Return the answer to whoever would change something: 403, and how it would be allowed."""
    hint = "set PELTON_WEB_TOKEN, and sign in with it"
    return refusal(HTTPStatus.FORBIDDEN, "the web view is read-only without a token", hint)


def changes(handler: _Handler) -> _Handler:
    """Let a handler that changes something run only where that is allowed; else `read_only`."""

    @wraps(handler)
    async def guarded(request: web.Request) -> web.StreamResponse:
        if not writes_allowed(request):
            return read_only()
        return await handler(request)

    return guarded
