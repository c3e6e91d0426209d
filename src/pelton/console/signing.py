"""Signing in with the token, and out again."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from pelton.console.answers import PAGE_HEADERS
from pelton.console.frame import rendered
from pelton.console.sessions import SESSION_COOKIE, SESSION_S
from pelton.console.surroundings import CONSOLE

__all__ = ["SIGN_IN_PATH", "sign_in", "sign_in_page", "sign_out"]

SIGN_IN_PATH = "/sign-in"


async def sign_in_page(request: web.Request) -> web.Response:
    """Answer with the page that asks for the token."""
    return _page(request, _after(request.query.get("next", "")))


async def sign_in(request: web.Request) -> web.Response:
    """Open a session for whoever knows the token, and go on to the page that was asked for; 401 for anybody else."""
    sessions = request.app[CONSOLE].sessions
    form = await request.post()
    after = _after(str(form.get("next", "")))
    if sessions is None:
        return _moved(after)
    if not sessions.opens(str(form.get("token", ""))):
        return _page(request, after, "This is not the token.", HTTPStatus.UNAUTHORIZED)
    response = _moved(after)
    response.set_cookie(
        SESSION_COOKIE,
        sessions.open(),
        max_age=SESSION_S,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=request.secure or request.headers.get("X-Forwarded-Proto") == "https",
    )
    return response


async def sign_out(request: web.Request) -> web.Response:
    """Have the browser forget the session."""
    response = _moved(SIGN_IN_PATH)
    response.del_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="Strict")
    return response


def _page(request: web.Request, after: str, error: str = "", status: int = HTTPStatus.OK) -> web.Response:
    return rendered(request, "sign_in.html", title="Sign in", status=status, after=after, error=error)


def _moved(path: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={**PAGE_HEADERS, "Location": path})


def _after(path: str) -> str:
    """Return where to go: an address of this server, whatever was asked for."""
    local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if local and not path.startswith(SIGN_IN_PATH) else "/"
