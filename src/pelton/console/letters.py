"""Dead letters: why records could not be processed, what is in them, and what becomes of them."""

from __future__ import annotations

from aiohttp import web

from pelton.console.frame import rendered
from pelton.console.security import changes, writes_allowed
from pelton.console.surroundings import CONSOLE
from pelton.console.topics import answered, page_or_error
from pelton.web.api import Reply
from pelton.web.letters_api import LetterApi

__all__ = [
    "api_discard",
    "api_letter",
    "api_list",
    "api_replay",
    "api_summary",
    "letter_page",
    "page",
]


def _api(request: web.Request) -> LetterApi:
    return request.app[CONSOLE].worker.letters


@page_or_error
async def page(request: web.Request) -> web.StreamResponse:
    """Answer with the counts, and the list."""
    summary = (await _api(request).summary()).document
    return rendered(
        request,
        "letters.html",
        title="Dead letters",
        scripts=["/static/console/letters.js"],
        summary=summary,
        most=max((bar["count"] for bar in summary["over_time"]), default=0),
        wanted={name: request.query.get(name, "") for name in ("topic", "agent", "error", "reason", "settled")},
        writable=writes_allowed(request),
    )


@page_or_error
async def letter_page(request: web.Request) -> web.StreamResponse:
    """Answer with one letter, and what can be done with it."""
    letter = (await _api(request).letter(request.match_info["number"])).document
    return rendered(
        request,
        "letter.html",
        title=f"Dead letter {letter['number']}",
        current="/dlq",
        scripts=["/static/console/letter.js"],
        letter=letter,
        writable=writes_allowed(request),
    )


@answered
async def api_summary(request: web.Request) -> Reply:
    """Answer with the counts."""
    return await _api(request).summary()


@answered
async def api_list(request: web.Request) -> Reply:
    """Answer with a page of letters."""
    return await _api(request).list(request.query)


@answered
async def api_letter(request: web.Request) -> Reply:
    """Answer with one letter."""
    return await _api(request).letter(request.match_info["number"])


@changes
@answered
async def api_replay(request: web.Request) -> Reply:
    """Put records back."""
    return await _api(request).replay(await request.read())


@changes
@answered
async def api_discard(request: web.Request) -> Reply:
    """Mark letters as done with."""
    return await _api(request).discard(await request.read())
