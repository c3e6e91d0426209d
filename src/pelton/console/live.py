"""Sending a page what is new for as long as it is open: server-sent events.

The browser asks again by itself when the connection ends, and `static/live.js` tells the reader when nothing comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from pelton.console.answers import PAGE_HEADERS
from pelton.console.surroundings import CONSOLE

__all__ = ["LIVE_EVERY_S", "send_events"]

#: How often a page hears of its worker; `static/live.js` calls it stale after several times that.
LIVE_EVERY_S = 1.0
#: What a browser that does not read may have waiting for it before the connection is given up, in seconds.
_SEND_S = 10.0


async def send_events(
    request: web.Request,
    tell: Callable[[], Awaitable[object]],
    *,
    every_s: float = LIVE_EVERY_S,
    place: Callable[[], str] | None = None,
) -> web.StreamResponse:
    """Send what `tell` returns, as JSON, now and then every so many seconds, until the browser or the worker goes.

    place: returns where `tell` is; a browser that connects anew brings it as the header `Last-Event-ID`.
    """
    stopping = request.app[CONSOLE].stopping
    response = web.StreamResponse(headers={**PAGE_HEADERS, "Content-Type": "text/event-stream"})
    await response.prepare(request)
    try:
        while not stopping.is_set():
            event = b"data: " + msgspec.json.encode(await tell()) + b"\n\n"
            if place is not None:
                event = b"id: %s\n" % place().encode() + event
            async with asyncio.timeout(_SEND_S):
                await response.write(event)
            await _until(stopping, every_s)
    except (ConnectionError, TimeoutError):
        pass  # nobody reads any more
    return response


async def _until(stopping: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until the web server ends."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        pass
