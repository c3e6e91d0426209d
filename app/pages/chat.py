"""`POST /chat`: a question, whose answer comes in pieces (server-sent events) or whole (JSON). `GET /chat`: the page.

With the header "Prefer: wait=5" it waits so many seconds at most; an answer that comes later is in the conversation.

The account is in the body, because this bank has no login. Where there is one, take it from the session: whoever may
name an account here is answered its facts.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any, cast
from uuid import uuid4

import msgspec
from aiohttp import web
from msgspec import Meta

from app.bank import app, chat_replies, model, person_answers, questions
from app.everywhere import rows_of, value_of
from app.models import ChatReply, Conversation, PersonAnswer, Question
from app.pages.answers import answer, refusal
from app.pages.navigation import page
from app.replies import Replies
from app.tables import conversations
from pelton import Request, Response, UnavailableError, View

__all__ = ["Chat", "Person", "conversation", "desk_page", "waiting"]

#: How long a page waits for an answer at most, and how often it shows a quiet line that it still does.
ANSWER_S = model.settings.conversation_s + 50
PULSE_S = 10.0
_WAIT = re.compile(r"\bwait=(\d{1,6})\b")

replies = Replies(
    chat_replies, ChatReply, subject=lambda reply: reply.question, is_last=lambda reply: reply.kind == "answer"
)


class Asked(msgspec.Struct):
    """What is said in a conversation, as a client posts it; the bank adds the id and the time."""

    account: Annotated[str, Meta(min_length=1, max_length=64)]
    text: Annotated[str, Meta(min_length=1, max_length=2_000)]


_decode = msgspec.json.Decoder(Asked).decode


@app.page("/chat")
class Chat(View):
    """Takes questions; shows the page."""

    async def get(self, request: Request, **_: Any) -> Response:
        """Answer with the page."""
        return page(request, "chat", "Ask the bank")

    async def post(self, request: Request, **_: Any) -> Response:
        """Answer with the answer, or 202 with the question's id when it takes too long; 400 for what is no question."""
        try:
            given = _decode(await request.read())
            question = Question(uuid4().hex, given.account, given.text, time.time())
            wait = _WAIT.search(request.headers.get("Prefer", ""))
            within_s = min(float(wait[1]), ANSWER_S) if wait else ANSWER_S
            if "text/event-stream" in request.headers.get("Accept", ""):
                return await _streamed(request, question, within_s)
            return await _whole(question, within_s)
        except (msgspec.DecodeError, RecursionError) as error:
            return refusal(HTTPStatus.BAD_REQUEST, str(error) or "nested too deeply")
        except UnavailableError as error:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)


@app.page("/api/chat", name="conversation")
async def conversation(self: View, request: Request) -> Response:
    """Answer with the conversation of an account (?account=…), whichever worker has it; 503 when none can tell now."""
    try:
        return answer(await value_of(conversations, request.query.get("account", ""), Conversation()))
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)


@app.page("/api/chat/waiting", name="waiting")
async def waiting(self: View, request: Request) -> Response:
    """Answer with the conversations that wait for a person, the longest wait first; 503 when not all can be told."""
    try:
        found = [(account, one) for account, one in await rows_of(conversations) if one.waits_for_person]
    except UnavailableError as error:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
    found.sort(key=lambda pair: pair[1].turns[-1].ts)
    told = [{"account": account, "why": one.waits_for_person, "turns": one.turns} for account, one in found]
    return answer({"waiting": told})


@app.page("/chat/desk", name="desk-page")
async def desk_page(self: View, request: Request) -> Response:
    """Answer with the page of those who go on where the machine could not."""
    return page(request, "desk", "Conversations that wait for a person")


@app.page("/api/chat/person", name="person")
class Person(View):
    """Takes what a person of the bank says."""

    async def post(self, request: Request, **_: Any) -> Response:
        """Answer 202 once it is durable; 409 when the conversation waits for nobody, 400 for what is no answer."""
        try:
            given = _decode(await request.read())
            found = await value_of(conversations, given.account, Conversation())
            if not found.waits_for_person:
                return refusal(HTTPStatus.CONFLICT, "this conversation does not wait for a person (any more)")
            said = PersonAnswer(uuid4().hex, given.account, given.text, time.time())
            await (await person_answers.send(key=said.account, value=said))
        except (msgspec.DecodeError, RecursionError) as error:
            return refusal(HTTPStatus.BAD_REQUEST, str(error) or "nested too deeply")
        except UnavailableError as error:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, error.message)
        return answer({"id": said.id}, HTTPStatus.ACCEPTED)


async def _replies(question: Question, within_s: float) -> AsyncIterator[ChatReply | None]:
    """Ask, and yield what is replied up to the answer; None now and then while nothing comes.

    Raises: TimeoutError when there is no answer in time.
    """
    async with replies.expecting(question.id) as pieces:
        async with asyncio.timeout(ANSWER_S):
            await (await questions.send(key=question.account, value=question))
        async with asyncio.timeout(within_s):
            while True:
                try:
                    reply = await asyncio.wait_for(pieces.get(), PULSE_S)
                except TimeoutError:
                    yield None
                    continue
                yield reply
                if reply.kind == "answer":
                    return


async def _whole(question: Question, within_s: float) -> Response:
    try:
        async for reply in _replies(question, within_s):
            if reply is not None and reply.kind == "answer":
                return answer({"id": question.id, "answer": reply.answer})
    except TimeoutError:
        pass
    return answer({"id": question.id, "answer": None, "hint": "it comes: see /api/chat"}, HTTPStatus.ACCEPTED)


async def _streamed(request: Request, question: Question, within_s: float) -> Response:
    """Answer with an event for each piece: text, void, and at last answer; or late when none comes in time."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(cast(web.Request, request))
    try:
        async for reply in _replies(question, within_s):
            await response.write(b": still there\n\n" if reply is None else _event(reply.kind, reply))
    except TimeoutError:
        await response.write(_event("late", {"id": question.id}))
    except UnavailableError as error:
        await response.write(_event("error", {"error": error.message}))
    except ConnectionResetError:
        pass  # the client has gone; the question is answered all the same
    return cast(Response, response)


def _event(kind: str, body: object) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(body) + b"\n\n"
