"""Topics: which there are, what is in them, what comes, and one record with all that it holds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import wraps
from http import HTTPStatus
from typing import Any

from aiohttp import web

from pelton.console.answers import PAGE_HEADERS, answer
from pelton.console.frame import rendered, web_page
from pelton.console.live import send_events
from pelton.console.security import changes, writes_allowed
from pelton.console.surroundings import CONSOLE
from pelton.errors import PeltonError
from pelton.web.api import Reply
from pelton.web.topics_api import TopicApi, refused

__all__ = [
    "answered",
    "api_list",
    "api_record",
    "api_records",
    "api_tail",
    "api_topic",
    "api_value",
    "api_write",
    "page",
    "page_or_error",
    "record_page",
    "topic_page",
]

#: So many may watch topics on one worker; each look asks the log.
_TAILS_MAX = 16

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answered(handler: Callable[[web.Request], Awaitable[Reply]]) -> _Handler:
    """Make a handler of one that gives a reply; errors are answered in words."""

    @wraps(handler)
    async def answering(request: web.Request) -> web.StreamResponse:
        try:
            reply = await handler(request)
        except PeltonError as error:
            reply = refused(error)
        return answer(reply.document, reply.status, headers=reply.headers)

    return answering


def page_or_error(handler: _Handler) -> _Handler:
    """Make a page of an error that a page's handler ends in."""

    @wraps(handler)
    async def showing(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except PeltonError as error:
            current = "/dlq" if request.path.startswith("/dlq") else "/topics"
            page: web.Response = web_page(
                request, error.message, error.hint or "", current=current, status=refused(error).status
            )
            return page

    return showing


def _api(request: web.Request) -> TopicApi:
    return request.app[CONSOLE].worker.topics


# -- pages -------------------------------------------------------------------------------------------


@page_or_error
async def page(request: web.Request) -> web.StreamResponse:
    """Answer with the list of topics."""
    topics = (await _api(request).list()).document["topics"]
    return rendered(request, "topics.html", title="Topics", scripts=["/static/console/topics.js"], topics=topics)


@page_or_error
async def topic_page(request: web.Request) -> web.StreamResponse:
    """Answer with the page of one topic."""
    name = request.match_info["name"]
    topic = (await _api(request).topic(name)).document
    return rendered(
        request,
        "topic.html",
        title=name,
        current="/topics",
        scripts=["/static/console/topic.js"],
        topic=topic,
        writable=writes_allowed(request),
    )


@page_or_error
async def record_page(request: web.Request) -> web.StreamResponse:
    """Answer with the page of one record; where there is none, with the way to its neighbours."""
    place = request.match_info
    reply = await _api(request).record(place["name"], place["partition"], place["offset"])
    return rendered(
        request,
        "record.html",
        title=f"{place['name']} {place['partition']}:{place['offset']}",
        current="/topics",
        status=reply.status,
        record=reply.document,
        found=reply.status == HTTPStatus.OK,
    )


# -- for programs ------------------------------------------------------------------------------------


@answered
async def api_list(request: web.Request) -> Reply:
    """Answer with all topics."""
    return await _api(request).list()


@answered
async def api_topic(request: web.Request) -> Reply:
    """Answer with one topic."""
    return await _api(request).topic(request.match_info["name"])


@answered
async def api_records(request: web.Request) -> Reply:
    """Answer with a page of records."""
    return await _api(request).records(request.match_info["name"], request.query)


@answered
async def api_record(request: web.Request) -> Reply:
    """Answer with one record."""
    place = request.match_info
    return await _api(request).record(place["name"], place["partition"], place["offset"])


async def api_value(request: web.Request) -> web.StreamResponse:
    """Answer with a record's value, to be kept as a file: whatever it is, no browser is to show it as a page."""
    place = request.match_info
    try:
        value = await _api(request).value(place["name"], place["partition"], place["offset"])
    except PeltonError as error:
        reply = refused(error)
        return answer(reply.document, reply.status, headers=reply.headers)
    name = f"record-{place['partition']}-{place['offset']}.bin"
    headers = {**PAGE_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return web.Response(body=value, content_type="application/octet-stream", headers=headers)


@changes
@answered
async def api_write(request: web.Request) -> Reply:
    """Write a record."""
    return await _api(request).write(request.match_info["name"], await request.read())


async def api_tail(request: web.Request) -> web.StreamResponse:
    """Send what comes to a topic, as it comes; a browser that connects anew goes on where it was."""
    tails = request.app[CONSOLE].tails
    if len(tails) >= _TAILS_MAX:
        told = {"error": f"{_TAILS_MAX} topics are being watched here already", "hint": "close a page that watches one"}
        return answer(told, HTTPStatus.SERVICE_UNAVAILABLE, headers={"Retry-After": "10"})
    looks = _api(request).tail(request.match_info["name"], request.query, request.headers.get("Last-Event-ID") or None)
    tails.add(looks)
    try:
        async with aclosing(looks):
            return await _send(request, looks)
    finally:
        tails.discard(looks)


async def _send(request: web.Request, looks: AsyncGenerator[tuple[str, dict[str, Any]]]) -> web.StreamResponse:
    try:
        at, look = await anext(looks)
    except PeltonError as error:
        reply = refused(error)
        return answer(reply.document, reply.status, headers=reply.headers)
    waiting = [look]

    async def tell() -> object:
        nonlocal at
        if waiting:
            return waiting.pop()
        try:
            at, look = await anext(looks)
        except PeltonError as error:  # the browser asks again, and is told then
            raise ConnectionAbortedError(error.message) from error
        return look

    return await send_events(request, tell, every_s=0, place=lambda: at)
