"""The client of a language model: attempts, a breaker, a budget, a cache, and typed answers.

    complete ──▶ cache ──▶ breaker ──▶ budget ──▶ attempts, within one time ──▶ the server
                   │ known     │ open      │ spent       │ 429: as long as it says; 5xx, no connection: growing pauses
                   ▼           ▼           ▼             ▼
                 Reply    CircuitOpen  BudgetSpent   Reply, ModelUnavailable, Refused, BadAnswer

It keeps nothing that must survive: what an agent gets from it is recorded by `stream.map_async`, so that no answer that
was recorded is asked, or paid, again. Each call bears a key made of its content (`Idempotency-Key`), so that a gateway
that knows such keys can tell a call that is made again after a crash.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

from app.llm.breaker import Breaker
from app.llm.budget import Budget
from app.llm.errors import BadAnswer, CircuitOpen, ModelError, ModelUnavailable, Refused
from app.llm.messages import Listener, Message, Reply, Tool
from app.llm.metrics import ModelStatistics, Tally
from app.llm.schema import read, schema_of
from app.llm.settings import ModelSettings
from app.loading import load
from pelton import Backoff

__all__ = ["LanguageModel"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Letters of a token, about, for what a question will cost before the server has counted.
LETTERS_PER_TOKEN = 3
#: A message has some tokens beside its text.
TOKENS_PER_MESSAGE = 8


class LanguageModel:
    """One model, for all agents of a worker. Nothing can be asked of it unless it is `enabled`."""

    def __init__(self, settings: ModelSettings) -> None:
        self.settings = settings
        self.tally = Tally()
        self._budget = Budget(settings, _elapsed_s)
        self._breaker = Breaker(settings.failures, settings.cool_down_s, _elapsed_s)
        self._backoff = Backoff(retries=settings.attempts - 1, first=0.5, longest=20)
        self._cache: OrderedDict[bytes, Reply] = OrderedDict()
        self._service: Any = None
        #: When the server wants to be asked again, by any call.
        self._quiet_until_s = 0.0
        self._loading = asyncio.Lock()

    @property
    def enabled(self) -> bool:
        """Whether there is a key."""
        return bool(self.settings.api_key)

    @property
    def name(self) -> str:
        """The model's name, as it was asked for."""
        return self.settings.model

    def statistics(self) -> ModelStatistics:
        """Return what it has done since the worker started, and what is left of its budgets."""
        return self.tally.statistics(self._breaker.state, self._budget.tokens_spent, self._budget.cost_spent)

    async def typed(self, messages: Sequence[Message], kind: type[T]) -> T:
        """Return an answer of a type, a msgspec.Struct; what is none is sent back once, with what is wrong with it.

        Raises: BadAnswer when the second one is none either; what `complete` raises.
        """
        schema, said = schema_of(kind), list(messages)
        for last in (False, True):
            reply = await self.complete(said, schema=schema)
            try:
                return read(reply.text, kind)
            except ValueError as error:
                self._forget(said, (), schema)
                self.tally.failed("bad_answer")
                if last:
                    raise BadAnswer(f"the model's answer is not what was asked for: {error}") from error
                said += [
                    Message("assistant", reply.text),
                    Message("user", f"That is not valid: {error}. Answer again, with JSON of the given schema alone."),
                ]
        raise AssertionError("unreachable")

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        schema: dict[str, Any] | None = None,
        on_text: Listener | None = None,
    ) -> Reply:
        """Return the model's answer.

        schema: that of JSON that the answer is to be. on_text: told of each piece of text as it comes, and None when
            what came before is void, because the answer begins anew.
        Raises: a ModelError.
        """
        digest = self._digest(messages, tools, schema)
        known = self._cache.get(digest)
        if known is not None:
            self._cache.move_to_end(digest)
            self.tally.cached += 1
            if on_text is not None and known.text:
                on_text(known.text)
            return msgspec.structs.replace(known, cached=True)
        if not self.enabled:
            raise ModelError("there is no key for a model")
        if not self._breaker.admits():
            self.tally.failed("circuit_open")
            raise CircuitOpen("the model has failed too often, and is left alone for a while")
        reply = await self._within_time(messages, tools, schema, on_text, digest)
        self._cache[digest] = reply
        while len(self._cache) > self.settings.cached:
            self._cache.popitem(last=False)
        return reply

    async def close(self) -> None:
        """Close its connections."""
        if self._service is not None:
            await self._service.close()
            self._service = None

    async def _within_time(self, messages: Sequence[Message], *rest: Any) -> Reply:
        """Ask with all attempts, and tell breaker and statistics how it went."""
        await self._load()
        begin_s, limit = _elapsed_s(), asyncio.timeout(self.settings.timeout_s)
        try:
            async with limit:
                reply = await self._attempts(messages, *rest)
        except TimeoutError as error:
            self._breaker.failed()
            self.tally.failed("timeout")
            raise ModelUnavailable(f"the model did not answer within {self.settings.timeout_s:g} s") from error
        except ModelError as error:
            self.tally.failed(error.reason)
            if isinstance(error, ModelUnavailable):
                self._breaker.failed()
            elif isinstance(error, Refused | BadAnswer):
                self._breaker.succeeded()  # it lives; it is the question that it does not like
            else:
                self._breaker.abandoned()
            raise
        except BaseException:
            self._breaker.abandoned()
            raise
        cost = self._budget.cost(reply.prompt_tokens, reply.completion_tokens)
        self.tally.answered(reply, cost, _elapsed_s() - begin_s)
        self._breaker.succeeded()
        return reply

    async def _attempts(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        schema: dict[str, Any] | None,
        on_text: Listener | None,
        digest: bytes,
    ) -> Reply:
        service, prompt_tokens, attempt = self._service, _tokens_of(messages, tools), 0
        while True:
            attempt += 1
            await self._quiet()
            self.tally.attempts += 1
            reserved = self._budget.reserve(prompt_tokens)
            try:
                reply: Reply = await service.ask(messages, tools, schema, on_text, {"Idempotency-Key": digest.hex()})
            except ModelUnavailable as error:
                if not error.begun:
                    self._budget.settle(reserved, 0, 0)
                elif on_text is not None:
                    on_text(None)
                self.tally.throttled += error.throttled
                if self._backoff.gives_up(error, attempt):
                    raise
                pause_s = self._backoff.pause_s(attempt, digest.hex())
                if error.after_s is not None:
                    self._quiet_until_s = max(self._quiet_until_s, _elapsed_s() + error.after_s)
                    pause_s = 0.0
                logger.info("the model did not answer, attempt %d: %s", attempt, error)
                await asyncio.sleep(pause_s)
                continue
            self._budget.settle(reserved, reply.prompt_tokens or prompt_tokens, reply.completion_tokens)
            return reply

    async def _quiet(self) -> None:
        """Wait until the server wants to be asked again; it may say so anew meanwhile."""
        wait_s = self._quiet_until_s - _elapsed_s()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
            await self._quiet()

    async def _load(self) -> None:
        """Make the service; its library is imported in a thread, for that takes longer than a slice may."""
        async with self._loading:
            if self._service is None:
                module = await load("app.llm.service")
                self._service = module.Service(self.settings)

    def _digest(self, messages: Sequence[Message], tools: Sequence[Tool], schema: Mapping[str, Any] | None) -> bytes:
        """Return what stands for all that a call says."""
        content = msgspec.json.encode([self.settings.model, list(messages), list(tools), schema])
        return blake2b(content, digest_size=16).digest()

    def _forget(self, messages: Sequence[Message], tools: Sequence[Tool], schema: Mapping[str, Any] | None) -> None:
        self._cache.pop(self._digest(messages, tools, schema), None)


def _elapsed_s() -> float:
    """Return the event loop's elapsed time, which a test may drive."""
    return asyncio.get_running_loop().time()


def _tokens_of(messages: Sequence[Message], tools: Sequence[Tool]) -> int:
    """Return about how many tokens a question has; the server's count takes its place when it is there."""
    letters = sum(len(one.text) for one in messages) + sum(len(msgspec.json.encode(one)) for one in tools)
    return letters // LETTERS_PER_TOKEN + TOKENS_PER_MESSAGE * len(messages)
