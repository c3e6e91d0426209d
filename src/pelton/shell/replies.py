"""Requests and their answers: a reply topic of this process, and the promises that wait on it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec

from pelton.batch import TopicPartition
from pelton.errors import PeltonError
from pelton.log.contract import Log, TopicSpec
from pelton.shell.models import plain

__all__ = ["CORRELATION_ID", "REPLY_TO", "Barrier", "Replies", "ReplyPromise", "ReplyTuple", "encode_reply"]

logger = logging.getLogger(__name__)

#: Faust's own header names, so that its clients can ask our agents and the other way round.
REPLY_TO = "Faust-Ag-ReplyTo"
CORRELATION_ID = "Faust-Ag-CorrelationId"

#: How long an answer may lie in the log, in milliseconds.
_RETENTION_MS = 60 * 60 * 1000
_READ_BYTES = 1024 * 1024
_READ_S = 1.0


def encode_reply(key: Any, value: Any, correlation_id: str) -> bytes:
    """Return an answer as bytes: a JSON object with key, value and correlation_id."""
    text = key.decode(errors="replace") if isinstance(key, bytes) else key
    return msgspec.json.encode(plain({"key": text, "value": value, "correlation_id": correlation_id}))


class ReplyTuple(NamedTuple):
    """An answer, and the request that it answers."""

    correlation_id: str
    value: Any


class ReplyPromise:
    """An answer that is on its way; awaiting it waits."""

    def __init__(self, reply_to: str, correlation_id: str) -> None:
        self.reply_to = reply_to
        self.correlation_id = correlation_id
        self._answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def fulfill(self, value: Any) -> None:
        """Give the answer; a second one for the same request is ignored."""
        if not self._answer.done():
            self._answer.set_result(value)

    def when_done(self, callback: Callable[[], object]) -> None:
        """Call this when the answer is there, or nobody waits any more."""
        self._answer.add_done_callback(lambda _: callback())

    def done(self) -> bool:
        """Return whether the answer is there."""
        return self._answer.done()

    async def wait(self, timeout_s: float | None) -> Any:
        """Wait for the answer. Raises: TimeoutError."""
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(self._answer)
        except TimeoutError:
            raise TimeoutError(f"no answer within {timeout_s:g} s to request {self.correlation_id}") from None

    def __await__(self) -> Generator[Any, None, Any]:
        return self._answer.__await__()


class Barrier:
    """Several promises, whose answers are taken as they come."""

    def __init__(self) -> None:
        self._promises: list[ReplyPromise] = []

    def add(self, promise: ReplyPromise) -> None:
        """Wait for one more."""
        self._promises.append(promise)

    async def answers(self) -> AsyncIterator[Any]:
        """Yield each answer as it comes."""
        for next_one in asyncio.as_completed([promise.wait(None) for promise in self._promises]):
            yield await next_one


class Replies:
    """Reads the answers to this process's requests, from a topic that it makes when it first asks.

    log: returns the open log. name: the reply topic; one of its own when None.
    """

    def __init__(self, log: Callable[[], Log], name: str | None = None) -> None:
        self._log = log
        self.topic = name or f"pelton-reply-{uuid4()}"
        self._promises: dict[str, ReplyPromise] = {}
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    async def expect(self, correlation_id: str) -> ReplyPromise:
        """Return a promise of the answer with this id; the topic is being read when this returns."""
        async with self._starting:
            if self._reader is None:
                await self._start()
        promise = self._promises[correlation_id] = ReplyPromise(self.topic, correlation_id)
        promise.when_done(lambda: self._promises.pop(correlation_id, None))
        return promise

    async def _start(self) -> None:
        log = self._log()
        await log.declare([TopicSpec(self.topic, 1, retention_ms=_RETENTION_MS)])
        source = TopicPartition(self.topic, 0)
        end = (await log.offsets([source]))[source].end
        self._reader = asyncio.create_task(self._read(log, source, end), name="pelton replies")

    async def _read(self, log: Log, source: TopicPartition, offset: int) -> None:
        while True:
            try:
                batch = await log.read(source, offset, bytes_max=_READ_BYTES, timeout_s=_READ_S)
            except PeltonError as error:
                logger.warning("cannot read replies from %s, trying again: %s", source, error)
                await asyncio.sleep(_READ_S)
                continue
            offset = batch.next_offset
            for value in batch.values:
                if value is not None:
                    self._fulfill(value)

    def _fulfill(self, data: bytes) -> None:
        try:
            answer = msgspec.json.decode(data)
            promise = self._promises.get(answer["correlation_id"])
            value = answer["value"]
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            logger.warning("a reply on %s is not one: %s", self.topic, error)
            return
        if promise is not None:
            promise.fulfill(value)

    async def stop(self) -> None:
        """Stop reading and delete the topic."""
        if self._reader is None:
            return
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        self._reader = None
        try:
            await self._log().delete_topics([self.topic])
        except PeltonError as error:
            logger.warning("reply topic %s stays behind: %s", self.topic, error)
