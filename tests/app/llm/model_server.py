"""A server that speaks the OpenAI API over real HTTP, and behaves as badly as the test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

__all__ = ["ModelServer", "Say", "serving"]

Request = dict[str, Any]
Behaviour = Callable[["ModelServer", web.Request, Request], Any]


class Say:
    """An answer as a model gives it: in pieces, with tool calls, a refusal, or an end of another kind.

    usage: (prompt, completion) tokens. pause: what is waited for in the middle of it.
    """

    def __init__(
        self,
        text: str = "",
        *,
        calls: list[tuple[str, str]] | None = None,
        refusal: str = "",
        finish: str | None = "stop",
        usage: tuple[int, int] = (100, 20),
        raw: bytes = b"",
        pause: asyncio.Event | None = None,
    ) -> None:
        self.text = text
        self.calls = calls or []
        self.refusal = refusal
        self.finish = "tool_calls" if self.calls else finish
        self.usage = usage
        self.raw = raw
        self.pause = pause

    def chunks(self) -> list[dict[str, Any]]:
        size = max(7, len(self.text) // 50)
        found = [_delta(content=self.text[at : at + size]) for at in range(0, len(self.text), size)]
        found += [_delta(refusal=self.refusal)] if self.refusal else []
        for index, (name, arguments) in enumerate(self.calls):
            head = {
                "index": index,
                "id": f"call-{index}",
                "type": "function",
                "function": {"name": name, "arguments": ""},
            }
            found.append(_delta(tool_calls=[head]))
            found += [
                _delta(tool_calls=[{"index": index, "function": {"arguments": arguments[at : at + 5]}}])
                for at in range(0, len(arguments), 5)
            ]
        if self.finish is not None:
            found.append({"index": 0, "delta": {}, "finish_reason": self.finish})
        return found


class ModelServer:
    """behaviours: what becomes of each request, in turn; the last one of all that come later.

    A behaviour is a `Say`, a function of the request that returns one, or a coroutine function of (server, HTTP
    request, request) that answers by itself. requests: what was asked; keys: the idempotency keys of these.
    """

    def __init__(self) -> None:
        self.behaviours: list[Any] = [Say("hello")]
        self.requests: list[Request] = []
        self.keys: list[str] = []
        self.url = ""
        self.release = asyncio.Event()
        self.hung_up = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        asked: Request = await request.json()
        self.requests.append(asked)
        self.keys.append(request.headers.get("Idempotency-Key", ""))
        behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        if isinstance(behaviour, Say):
            return await self.speak(request, behaviour)
        if asyncio.iscoroutinefunction(behaviour):
            return await behaviour(self, request, asked)
        return await self.speak(request, behaviour(asked))

    async def speak(self, request: web.Request, say: Say) -> web.StreamResponse:
        """Answer with server-sent events, as the API streams."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        chunks = say.chunks()
        for index, choice in enumerate(chunks):
            if say.pause is not None and index == len(chunks) // 2:
                await say.pause.wait()
            await response.write(_event({"choices": [choice], "usage": None}))
        if say.raw:
            await response.write(say.raw)
        if say.finish is not None:
            usage = {"prompt_tokens": say.usage[0], "completion_tokens": say.usage[1], "total_tokens": sum(say.usage)}
            await response.write(_event({"choices": [], "usage": usage}))
            await response.write(b"data: [DONE]\n\n")
        return response


# -- bad manners ---------------------------------------------------------------------------------------


def failing(status: int, **headers: str) -> Behaviour:
    """Return a behaviour: an error of the API."""

    async def fail(server: ModelServer, request: web.Request, asked: Request) -> web.Response:
        error = {"error": {"message": f"no, {status}", "type": "error", "code": "it_is_so"}}
        return web.json_response(
            error, status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    return fail


async def hanging(server: ModelServer, request: web.Request, asked: Request) -> web.Response:
    """Take a request, and say nothing until the test says so, or the client hangs up."""
    try:
        await server.release.wait()
    finally:
        server.hung_up.set()
    return web.Response(status=500)


async def dripping(server: ModelServer, request: web.Request, asked: Request) -> web.StreamResponse:
    """Send byte after byte, for ever: no read ever times out, and no answer is ever whole."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    try:
        while not server.release.is_set():
            await response.write(_event({"choices": [_delta(content=".")], "usage": None}))
            await asyncio.sleep(0.01)
    finally:
        server.hung_up.set()
    return response


async def breaking_off(server: ModelServer, request: web.Request, asked: Request) -> web.StreamResponse:
    """Begin to answer, and cut the connection."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(_event({"choices": [_delta(content="The answ")], "usage": None}))
    assert request.transport is not None
    request.transport.abort()
    return response


async def talking_nonsense(server: ModelServer, request: web.Request, asked: Request) -> web.Response:
    """Send an answer that is no JSON."""
    return web.Response(body=b'data: {"choices": [{"del\n\ndata: oops\n\n', content_type="text/event-stream")


@asynccontextmanager
async def serving() -> AsyncIterator[ModelServer]:
    """Run a server on a port of this machine."""
    server = ModelServer()
    application = web.Application()
    application.router.add_post("/v1/chat/completions", server.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        server.release.set()
        await runner.cleanup()


def _delta(**delta: Any) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": None}


def _event(body: dict[str, Any]) -> bytes:
    chunk = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "test-model-1", **body}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"
