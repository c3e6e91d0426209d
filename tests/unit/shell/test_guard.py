"""Who may speak with a worker's web server, tried over HTTP on the server that a worker starts."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from pelton import App, Request, Response, View
from pelton.console.sessions import CSRF_HEADER, SESSION_COOKIE
from pelton.errors import ConfigurationError
from pelton.shell.guard import COOKIE, OPEN_PATHS, Token, check_bind, is_loopback, web_address
from pelton.shell.web import Web
from pelton.testing.broker import free_ports

SECRET = "0123456789abcdef-secret"

PROBES = ("/livez", "/readyz")

Ask = Callable[..., Any]


@asynccontextmanager
async def serving(directory: Path, **options: Any) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    """Serve two pages of an application; give the address, and somebody to ask."""
    (port,) = free_ports(1)
    app = App("guarded", datadir=str(directory), web_port=port, **options)

    @app.page("/echo/")
    class Echo(View):
        async def get(self, request: Request) -> Response:
            return self.text("hello")

        async def post(self, request: Request) -> Response:
            return self.text(str(len(await self.read_request_content(request))))

    @app.page("/html/")
    async def html(self: View, request: Request) -> Response:
        return self.html("<script>1</script>")

    @app.page("/own/")
    async def own(self: View, request: Request) -> Response:
        return self.text("mine", headers={"Content-Security-Policy": "default-src 'self'"})

    for path in PROBES:

        @app.page(path, name=path)
        class Probe(View):
            async def get(self, request: Request) -> Response:
                return self.text("alive")

    app.finalize()
    web = app.web
    assert isinstance(web, Web)
    web.init_server()
    await web.start_server()
    try:
        # It keeps no cookies, so that each request says what it brings.
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", cookie_jar=aiohttp.DummyCookieJar()) as session:
            yield f"127.0.0.1:{port}", session
    finally:
        await web.stop_server()


async def status(session: aiohttp.ClientSession, path: str = "/echo/", **options: Any) -> int:
    async with session.get(path, **options) as response:
        return response.status


async def test_with_a_token_every_request_needs_it(tmp_path: Path) -> None:
    async with serving(tmp_path, web_token=SECRET) as (_, session):
        async with session.get("/echo/") as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert (await response.json())["error"] == "a token is needed"
        assert await status(session, "/nowhere/") == 401, "what pages there are is nobody's business either"
        assert await status(session, headers={"Authorization": f"Bearer {SECRET}"}) == 200
        assert await status(session, headers={"Cookie": f"{COOKIE}={SECRET}"}) == 200
        for wrong in (SECRET[:-1], SECRET + "x", "", "ü"):
            assert await status(session, headers={"Authorization": f"Bearer {wrong}"}) == 401
            assert await status(session, headers={"Cookie": f"{COOKIE}={wrong}"}) == 401
        assert await status(session, headers={"Authorization": f"Basic {SECRET}"}) == 401
        for path in OPEN_PATHS:
            assert await status(session, path) == 200, "probes have no token, nor has who signs in"


async def signed_in(session: aiohttp.ClientSession) -> tuple[str, str]:
    """Sign in, and return the cookie and the CSRF token of a page."""
    form = {"token": SECRET, "next": "/echo/"}
    async with session.post("/sign-in", data=form, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/echo/")
        cookie = response.cookies[SESSION_COOKIE]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        assert SECRET not in cookie.value
    async with session.get("/console", headers={"Cookie": f"{SESSION_COOKIE}={cookie.value}"}) as page:
        found = re.search(r'<meta name="csrf-token" content="([0-9a-f]+)">', await page.text())
        assert found is not None
    return cookie.value, found[1]


async def test_who_signed_in_needs_the_csrf_token_to_change_something(tmp_path: Path) -> None:
    async with serving(tmp_path, web_token=SECRET) as (_, session):
        cookie, csrf = await signed_in(session)
        for name, value in ((SESSION_COOKIE, cookie), (COOKIE, SECRET)):
            headers = {"Cookie": f"{name}={value}"}
            assert await status(session, headers=headers) == 200
            for wrong in ({}, {CSRF_HEADER: ""}, {CSRF_HEADER: cookie}, {CSRF_HEADER: "ü"}):
                async with session.post("/echo/", data=b"x", headers={**headers, **wrong}) as response:
                    assert response.status == 403, wrong
        headers = {"Cookie": f"{SESSION_COOKIE}={cookie}"}
        async with session.post("/echo/", data=b"x", headers={**headers, CSRF_HEADER: csrf}) as response:
            assert response.status == 200
        async with session.post("/echo/", data={"csrf": csrf}, headers=headers) as response:
            assert response.status == 200, "a form brings it as a field"
        async with session.post("/echo/", data=b"x", headers={"Authorization": f"Bearer {SECRET}"}) as response:
            assert response.status == 200, "no browser sends this header by itself"


async def test_a_browser_without_a_session_is_asked_for_the_token(tmp_path: Path) -> None:
    async with serving(tmp_path, web_token=SECRET) as (_, session):
        html = {"Accept": "text/html"}
        async with session.get("/echo/?a=1&b=2", headers=html, allow_redirects=False) as response:
            assert response.status == 303
            assert URL(response.headers["Location"]).query["next"] == "/echo/?a=1&b=2"
        async with session.post("/sign-in", data={"token": "wrong", "next": "/echo/"}) as response:
            assert response.status == 401
            assert "This is not the token." in await response.text()
            assert SESSION_COOKIE not in response.cookies


@pytest.mark.parametrize("after", ["https://evil.example/", "//evil.example", "/\\evil.example", "x", "", "/sign-in"])
async def test_signing_in_leads_nowhere_else(tmp_path: Path, after: str) -> None:
    async with serving(tmp_path, web_token=SECRET) as (_, session):
        form = {"token": SECRET, "next": after}
        async with session.post("/sign-in", data=form, allow_redirects=False) as response:
            assert response.headers["Location"] == "/"


async def test_without_a_token_only_this_machine_is_answered(tmp_path: Path) -> None:
    async with serving(tmp_path) as (address, session):
        assert await status(session) == 200
        assert await status(session, headers={"Host": "localhost"}) == 200
        assert await status(session, headers={"Host": "evil.example"}) == 421
        assert await status(session, headers={"Host": f"evil.example:{address.partition(':')[2]}"}) == 421
        async with session.post("/echo/", data=b"x", headers={"Origin": "https://evil.example"}) as response:
            assert response.status == 403
        async with session.post("/echo/", data=b"x", headers={"Origin": f"http://{address}"}) as response:
            assert response.status == 200


async def test_every_answer_says_what_a_browser_may_make_of_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, session):
        paths = ("/echo/", "/nowhere/", "/router/", "/api/console/home", "/api/topics", "/static/console/dom.js", "/")
        for path in paths:
            async with session.get(path) as response:
                assert response.headers["X-Content-Type-Options"] == "nosniff", path
                assert response.headers["Referrer-Policy"] == "no-referrer", path
                assert "default-src 'none'" in response.headers["Content-Security-Policy"], path
        async with session.get("/echo/", headers={"Host": "evil.example"}) as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        async with session.get("/html/") as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "Content-Security-Policy" not in response.headers, "a page of the program's says itself"
        async with session.get("/own/") as response:
            assert response.headers["Content-Security-Policy"] == "default-src 'self'"


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 1024):
        yield b"x" * 1024


@pytest.mark.parametrize("made", [lambda size: b"x" * size, chunks], ids=["of a known length", "in chunks"])
async def test_a_body_has_a_largest_size(tmp_path: Path, made: Callable[[int], Any]) -> None:
    async with serving(tmp_path, web_body_bytes_max=64 * 1024) as (_, session):
        async with session.post("/echo/", data=made(64 * 1024)) as response:
            assert (response.status, await response.text()) == (200, "65536")
        async with session.post("/echo/", data=made(65 * 1024)) as response:
            assert response.status == 413
            assert await response.json() == {
                "error": "the body is larger than 65,536 bytes",
                "hint": "PELTON_WEB_BODY_BYTES_MAX sets the limit",
                "bytes_max": 65_536,
            }


@pytest.mark.parametrize("bind", ["0.0.0.0", "", "::", "192.168.1.7", "example.org"])
async def test_others_are_listened_to_with_a_token_only(tmp_path: Path, bind: str) -> None:
    with pytest.raises(ConfigurationError, match="without a token") as caught:
        async with serving(tmp_path, web_bind=bind or "0.0.0.0"):
            pass
    assert "PELTON_WEB_TOKEN" in str(caught.value)
    with pytest.raises(ConfigurationError):
        check_bind(bind, None)
    check_bind(bind, Token(SECRET))


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST")))
    assert not any(map(is_loopback, ("0.0.0.0", "", "::", "10.0.0.1", "localhost.example.org")))


def test_the_default_is_this_machine(tmp_path: Path) -> None:
    conf = App("guarded", datadir=str(tmp_path), web_port=7000).conf
    assert conf.web_bind == "127.0.0.1"
    assert web_address(conf) == "127.0.0.1:7000", "what other workers of this machine ask"


@pytest.mark.parametrize(
    ("environment", "option", "expected"),
    [
        ({}, None, False),
        ({"PELTON_WEB_TOKEN": ""}, None, False),
        ({"PELTON_WEB_TOKEN": SECRET}, None, True),
        ({}, SECRET, True),
        ({"PELTON_WEB_TOKEN": SECRET}, "of the program: loses", True),
    ],
)
def test_where_the_token_comes_from(environment: Mapping[str, str], option: object, expected: bool) -> None:
    assert (Token.given(environment, option) is not None) == expected


def test_a_token_is_long_and_never_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="at least 16") as caught:
        Token("shortsecret")
    assert "shortsecret" not in str(caught.value)
    app = App("guarded", datadir=str(tmp_path), web_token=SECRET)
    shown = f"{app!r} {app.web_token!r} {app.web_token} {app.config!r} {app.conf!r} {vars(app.conf)} {app.web!r}"
    assert SECRET not in shown
