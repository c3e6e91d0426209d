"""`GET /training`: what is made of conversations; `/api/training` as JSON.

`POST /chat/rating` and `POST /chat/consent`: what a customer thinks of an answer, and whether it may be used.
"""

from __future__ import annotations

import time
from html import escape
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from app.bank import app, conversation_events
from app.models.training import Consent, ConversationEvent, Rating
from app.pages.answers import answer, refusal
from app.pages.navigation import made
from app.training.view import training_view
from pelton import Request, Response, UnavailableError, View

__all__ = ["ConsentTaken", "RatingTaken", "training_page", "training_state"]

Id = Annotated[str, Meta(min_length=1, max_length=64)]


class Rated(msgspec.Struct):
    """What a client posts of an answer; the bank adds the time."""

    account: Id
    question: Id
    helpful: bool
    better: Annotated[str, Meta(max_length=2_000)] = ""


class Agreed(msgspec.Struct):
    """Whether a client's conversations may be used."""

    account: Id
    given: bool


@app.page("/training", name="training-page")
async def training_page(self: View, request: Request) -> Response:
    """Answer with the page; 503 at the start."""
    try:
        told = await training_view()
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
    counts = "".join(f"<tr><td>{escape(what)}</td><td>{times:,}</td></tr>" for what, times in told["counts"].items())
    data = "".join(_data(name, versions) for name, versions in told["data"].items())
    body = f"<section><h2>Exchanges</h2><table><tbody>{counts}</tbody></table></section>{data}"
    return made(request, "Data for training", body)


@app.page("/api/training", name="training")
async def training_state(self: View, request: Request) -> Response:
    """Answer with counts and versions; 503 at the start."""
    try:
        return answer(await training_view())
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)


@app.page("/chat/rating")
class RatingTaken(View):
    """The way in for what customers think of answers."""

    async def post(self, request: Request, **_: Any) -> Response:
        """Answer 202 once it is durable, 400 naming what is wrong, or 503."""
        try:
            given = msgspec.json.decode(await request.read(), type=Rated)
        except (msgspec.DecodeError, RecursionError) as error:
            return refusal(HTTPStatus.BAD_REQUEST, str(error) or "nested too deeply")
        return await _take(Rating(given.account, given.question, given.helpful, time.time(), given.better))


@app.page("/chat/consent")
class ConsentTaken(View):
    """The way in for whether a customer's conversations may be used from now on."""

    async def post(self, request: Request, **_: Any) -> Response:
        """Answer 202 once it is durable, 400 naming what is wrong, or 503."""
        try:
            given = msgspec.json.decode(await request.read(), type=Agreed)
        except (msgspec.DecodeError, RecursionError) as error:
            return refusal(HTTPStatus.BAD_REQUEST, str(error) or "nested too deeply")
        return await _take(Consent(given.account, given.given, time.time()))


async def _take(event: ConversationEvent) -> Response:
    try:
        await (await conversation_events.send(key=event.account, value=event))
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
    return answer({"taken": True}, HTTPStatus.ACCEPTED)


def _data(name: str, versions: list[dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>v{one['version']:06d}</td><td>{one['offsets'][0]} to {one['offsets'][1] - 1}</td>"
        f"<td>{one['counts']['rows']:,}</td><td>{one['totals']['rows']:,}</td>"
        f"<td>{one['totals'].get('in the chat files', 0):,}</td><td>{one['sha256'][:12]}</td></tr>"
        for one in versions
    )
    return (
        f'<section><h2>{escape(name)}</h2><div class="scroll"><table><thead><tr><th>version</th><th>offsets</th>'
        "<th>rows</th><th>in all</th><th>in the chat files</th><th>sha256</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></section>"
    )
