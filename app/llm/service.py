"""The one module that imports `openai`: a request goes out, the answer comes back in pieces.

It is loaded with the first call of a worker that has a key (1.6 s of CPU), never before.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import msgspec
import openai
from openai import AsyncOpenAI

from app.llm.errors import BadAnswer, ModelError, ModelUnavailable, Refused
from app.llm.messages import Listener, Message, Reply, Tool, ToolCall
from app.llm.settings import ModelSettings

__all__ = ["Service"]

#: Answers that another attempt may change: too many requests, conflicts, timeouts, and the server's own failures.
_TEMPORARY = frozenset((408, 409, 425, 429))
#: What a server says that does not take `max_tokens`, or a temperature other than its own.
_NEWER = re.compile(
    r"max_completion_tokens|(max_tokens|temperature).*support|support.*(max_tokens|temperature)", re.DOTALL
)


class Service:
    """A server that speaks the OpenAI API."""

    def __init__(self, settings: ModelSettings) -> None:
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it would log a line a call
        self._settings = settings
        #: Whether this model takes `max_tokens` and a temperature: OpenAI's own newer models take neither.
        self._classic = bool(settings.base_url)
        # Its own retries would hide from the breaker and the budget what happens.
        self._client = AsyncOpenAI(
            api_key=settings.api_key, base_url=settings.base_url or None, max_retries=0, timeout=settings.timeout_s
        )

    async def ask(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        schema: dict[str, Any] | None,
        on_text: Listener | None,
        headers: Mapping[str, str],
    ) -> Reply:
        """Ask once, and return the whole answer. on_text: told of each piece of text as it comes.

        Raises: ModelUnavailable, Refused, BadAnswer, ModelError.
        """
        answer = _Gathered(on_text)
        try:
            stream = await self._begin(messages, tools, schema, headers)
            async with stream:
                async for chunk in stream:
                    answer.add(chunk)
        except openai.APIStatusError as error:
            raise _told(error) from error
        except openai.APIConnectionError as error:
            raise ModelUnavailable(f"the model's server cannot be reached: {error}", begun=answer.begun) from error
        except (openai.APIError, httpx2.HTTPError, ValueError, LookupError, TypeError, AttributeError) as error:
            # What came is no answer of this API: broken JSON, an error within the stream, a connection that broke.
            said = f"the model's server broke off: {type(error).__name__}"
            raise ModelUnavailable(said, begun=answer.begun) from error
        return answer.reply()

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()

    async def _begin(self, *asked: Any) -> Any:
        """Begin to ask. A model that refuses parameters of older ones is asked again without, and so is what comes."""
        create: Any = self._client.chat.completions.create
        classic = self._classic
        try:
            return await create(**self._request(*asked))
        except openai.BadRequestError as error:
            if not classic or not _NEWER.search(error.message):
                raise
        self._classic = False
        return await create(**self._request(*asked))

    def _request(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        schema: dict[str, Any] | None,
        headers: Mapping[str, str],
    ) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._settings.model,
            "messages": [_message(one) for one in messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "extra_headers": dict(headers),
        }
        if self._classic:
            request |= {"max_tokens": self._settings.answer_tokens, "temperature": 0}
        else:
            request["max_completion_tokens"] = self._settings.answer_tokens
        if tools:
            request["tools"] = [_tool(one) for one in tools]
        if schema is not None:
            form = {"name": "answer", "strict": True, "schema": schema}
            request["response_format"] = {"type": "json_schema", "json_schema": form}
        return request


class _Gathered:
    """An answer that comes in pieces."""

    def __init__(self, on_text: Listener | None) -> None:
        self._on_text = on_text
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._finish = ""
        self._model = ""
        self._tokens = (0, 0)

    def add(self, chunk: Any) -> None:
        """Take a piece."""
        self._model = chunk.model or self._model
        if chunk.usage is not None:
            self._tokens = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
        if not chunk.choices:
            return
        choice = chunk.choices[0]
        self._finish = choice.finish_reason or self._finish
        if choice.delta.refusal:
            self._refusal.append(choice.delta.refusal)
        if choice.delta.content:
            self._text.append(choice.delta.content)
            if self._on_text is not None:
                self._on_text(choice.delta.content)
        for part in choice.delta.tool_calls or ():
            call = self._calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
            call["id"] += part.id or ""
            if part.function is not None:
                call["name"] += part.function.name or ""
                call["arguments"] += part.function.arguments or ""

    @property
    def begun(self) -> bool:
        """Whether anything came."""
        return bool(self._model)

    def reply(self) -> Reply:
        """Return the whole. Raises: Refused, BadAnswer, ModelUnavailable."""
        if self._refusal or self._finish == "content_filter":
            raise Refused("".join(self._refusal) or "the model's server filtered its answer")
        if self._finish == "length":
            raise BadAnswer("the model's answer was cut off: it is longer than it may be")
        if not self._finish:
            raise ModelUnavailable("the model's server broke off in the middle of its answer", begun=self.begun)
        calls = [ToolCall(**self._calls[index]) for index in sorted(self._calls)]
        return Reply("".join(self._text), calls, self._model, *self._tokens)


def _message(message: Message) -> dict[str, Any]:
    made: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.calls:
        made["tool_calls"] = [
            {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}
            for one in message.calls
        ]
    if message.role == "tool":
        made["tool_call_id"] = message.call
    return made


def _tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.schema}
    return {"type": "function", "function": function}


def _told(error: openai.APIStatusError) -> ModelError:
    """Return what an answer with an error means for the caller."""
    said = f"the model's server answered {error.status_code}: {_first_line(error.message)}"
    if error.status_code == 429:
        return ModelUnavailable(said, after_s=_retry_after_s(error.response.headers), throttled=True)
    if error.status_code in _TEMPORARY or error.status_code >= 500:
        return ModelUnavailable(said)
    return ModelError(said)


def _first_line(text: str) -> str:
    return msgspec.json.encode(text.partition("\n")[0][:200]).decode()


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return how long to wait: milliseconds where the server is so exact, else seconds, or until a date.

    None when it does not say. Source: RFC 9110, section 10.2.3.
    """
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            after_s = float(headers.get(name, "")) * unit_s
        except ValueError:
            continue
        if 0 <= after_s < float("inf"):
            return after_s
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
