"""Who may speak with the web server, and how much they may say.

Without a token the server listens to this machine only, and answers only requests that name this machine: a page that
somebody's browser shows must not reach it under a name of its own (DNS rebinding), nor post to it from elsewhere. With
a token (PELTON_WEB_TOKEN) it may listen anywhere, and every request needs the token, or the cookie of a session that it
opened, except for probes of health, and for webhooks, whose senders sign what they send. What a browser changes by its
cookie needs the session's CSRF token as well.

Whatever is answered, by whichever page, also one that another worker made, tells browsers to take it for nothing else
than it says it is.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from ipaddress import ip_address
from typing import Any

import orjson
from aiohttp import web
from yarl import URL

from pelton.console.files import STATIC_PATH
from pelton.console.sessions import CSRF_FIELD, CSRF_HEADER, SESSION, SESSION_COOKIE, Sessions
from pelton.console.signing import SIGN_IN_PATH
from pelton.errors import ConfigurationError

__all__ = [
    "COOKIE",
    "OPEN_PATHS",
    "TOKEN_VARIABLE",
    "Token",
    "check_bind",
    "guard",
    "harden",
    "is_loopback",
    "web_address",
]

TOKEN_VARIABLE = "PELTON_WEB_TOKEN"  # noqa: S105 - the name of the variable
COOKIE = "pelton_token"
#: What supervisors ask, who have no token; these pages tell whether the worker lives and is ready, and why not.
#: Whoever signs in has no token yet, either.
OPEN_PATHS = frozenset({"/livez", "/readyz", SIGN_IN_PATH})
_TOKEN_CHARS_MIN = 16
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: What every answer says, unless its page says otherwise.
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
#: What is no page, and is opened as one all the same, loads nothing and runs nothing.
_POLICY_OF_DATA = "default-src 'none'; frame-ancestors 'none'"
_FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Token:
    """A secret that requests must know; it is never shown.

    now_s: seconds since the epoch. sessions: those of the people who brought it once.
    """

    __slots__ = ("_secret", "sessions")

    def __init__(self, secret: str, now_s: Callable[[], float] = time.time) -> None:
        if len(secret) < _TOKEN_CHARS_MIN:
            raise ConfigurationError(
                f"the web token has {len(secret)} characters, expected at least {_TOKEN_CHARS_MIN}",
                hint='make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"',
            )
        self._secret = secret.encode()
        self.sessions = Sessions(self._secret, now_s)

    @classmethod
    def given(cls, environment: Mapping[str, str], option: object) -> Token | None:
        """Return the token of the environment, which wins, or of the program; None when there is none."""
        secret = environment.get(TOKEN_VARIABLE) or option
        if secret is None or secret == "":
            return None
        if not isinstance(secret, str):
            raise ConfigurationError(f"web_token: expected text, got {type(secret).__name__}")
        return cls(secret)

    def __repr__(self) -> str:
        return "Token(not shown)"

    def header(self) -> dict[str, str]:
        """Return the header that brings it to another worker of the application."""
        return {"Authorization": f"Bearer {self._secret.decode()}"}

    def admits(self, request: web.BaseRequest) -> bool:
        """Return whether a request brings it as `Authorization: Bearer …`, or has the cookie of a session."""
        bearer = _bearer(request)
        return self.session(request) is not None if bearer is None else self._is(bearer)

    def session(self, request: web.BaseRequest) -> str | None:
        """Return the cookie that admits a request without a header: pelton_session, or the token as pelton_token."""
        if _bearer(request) is not None:
            return None
        for name, known in ((SESSION_COOKIE, self.sessions.holds), (COOKIE, self._is)):
            if known(cookie := request.cookies.get(name, "")):
                return cookie
        return None

    def _is(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="replace"), self._secret)  # takes as long wherever they differ


def _bearer(request: web.BaseRequest) -> str | None:
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else None


def is_loopback(host: str) -> bool:
    """Return whether a host, by name or number, is this machine as only it sees itself."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def web_address(conf: Any) -> str:
    """Return where other workers reach this one's web server: "host:port", or "" when it has none."""
    if not conf.web_enabled:
        return ""
    host = conf.web_bind if is_loopback(conf.web_bind) else conf.web_host
    return f"{host}:{conf.web_port}"


def check_bind(bind: str, token: Token | None) -> None:
    """Refuse to listen to others without a token. Raises: ConfigurationError."""
    if token is None and not is_loopback(bind):
        raise ConfigurationError(
            f"the web server may not listen on {bind or 'all interfaces'} without a token: it shows and changes data",
            hint=f"set {TOKEN_VARIABLE} (and send it as `Authorization: Bearer …`), or WEB_BIND=127.0.0.1",
        )


def guard(token: Token | None, body_bytes_max: int, signed: Collection[str] = ()) -> Any:
    """Return the middleware that every request passes first.

    signed: the paths whose pages judge by a signature who asks; may grow meanwhile.
    """

    @web.middleware
    async def guarded(request: web.Request, handler: _Handler) -> web.StreamResponse:
        refused = None
        if request.path not in signed:
            refused = _unauthorised(request, token) if token is not None else _foreign(request)
        if refused is not None:
            return refused
        if token is not None and (session := token.session(request)) is not None:
            request[SESSION] = session
        if request.can_read_body:
            if (request.content_length or 0) > body_bytes_max:
                return _too_large(body_bytes_max)
            # Read here, so that the limit holds also for a body that does not tell its length.
            request = request.clone(client_max_size=body_bytes_max)
            try:
                await request.read()
            except web.HTTPRequestEntityTooLarge:
                return _too_large(body_bytes_max)
        if token is not None and request.method not in _SAFE_METHODS and not await _proven(request, token):
            return _error(403, "a change by cookie needs the session's CSRF token", f"send the header {CSRF_HEADER}")
        return await handler(request)

    return guarded


async def harden(_: web.Request, response: web.StreamResponse) -> None:
    """Add the headers that an answer lacks before it is sent: for `Application.on_response_prepare`.

    HTML and pictures that come without a policy of their own are left as the application made them.
    """
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if response.status != 304 and not response.content_type.startswith(("text/html", "image/")):  # 304 has no type
        response.headers.setdefault("Content-Security-Policy", _POLICY_OF_DATA)


def _unauthorised(request: web.Request, token: Token) -> web.Response | None:
    if request.path in OPEN_PATHS or request.path.startswith(STATIC_PATH) or token.admits(request):
        return None
    if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
        asked = URL.build(path=SIGN_IN_PATH, query={"next": request.path_qs})
        return web.Response(status=303, headers={"Location": str(asked), "Cache-Control": "no-store"})
    refusal = _error(401, "a token is needed", "send the header `Authorization: Bearer <PELTON_WEB_TOKEN>`")
    refusal.headers["WWW-Authenticate"] = "Bearer"
    return refusal


async def _proven(request: web.Request, token: Token) -> bool:
    """Return whether a change comes from a page of ours, or from nobody's browser: then there is no cookie."""
    if SESSION not in request:
        return True
    csrf = request.headers.get(CSRF_HEADER)
    if csrf is None and request.content_type in _FORMS:
        csrf = str((await request.post()).get(CSRF_FIELD, ""))
    return token.sessions.proves(request[SESSION], csrf or "")


def _foreign(request: web.Request) -> web.Response | None:
    """Refuse what a page of somebody else's may have made a browser send."""
    if request.path in OPEN_PATHS:
        return None
    hint = f"ask for 127.0.0.1, or set {TOKEN_VARIABLE}"
    if request.transport is not None and request.transport.get_extra_info("peername") and not _names_loopback(request):
        return _error(421, f"this server has no token and answers to its own machine only, not as {request.host}", hint)
    origin = request.headers.get("Origin")
    if origin and request.method not in _SAFE_METHODS and not is_loopback(URL(origin).host or ""):
        return _error(403, "a page from elsewhere may not change anything here", hint)
    return None


def _names_loopback(request: web.Request) -> bool:
    try:
        return is_loopback(URL(f"http://{request.host}").host or "")
    except ValueError:
        return False


def _too_large(limit: int) -> web.Response:
    hint = "PELTON_WEB_BODY_BYTES_MAX sets the limit"
    return _error(413, f"the body is larger than {limit:,} bytes", hint, bytes_max=limit)


def _error(status: int, message: str, hint: str, **more: int) -> web.Response:
    body = orjson.dumps({"error": message, "hint": hint, **more})
    return web.Response(status=status, body=body, content_type="application/json")
