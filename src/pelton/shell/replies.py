"""Requests and their answers: the promises that wait, and what reads the application's reply topic for them.

    asker: ask ──▶ the agent's topic ──▶ agent, on whichever worker has the partition
             ▲                             │ yield
             └── promise ◀── <app>-replies ◀── a message of the same transaction as the event's other effects

The reply topic is one for the whole application, and stays: each process that asks reads all of it, and passes over the
ids that are not its own. It is read outside of the group, so a rebalance is nothing to whoever waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from weakref import WeakValueDictionary, finalize

import msgspec

from pelton.batch import Headers, RecordBatch, TopicPartition
from pelton.codec import codec_for
from pelton.errors import DecodeError, OffsetOutOfRangeError, PeltonError, RequestTimeoutError, UserCodeError
from pelton.log.contract import Log, TopicSpec
from pelton.runtime.deadletter import error_text
from pelton.runtime.topics import TOPIC_NAME
from pelton.shell.models import plain
from pelton.stream.lane import Send

if TYPE_CHECKING:
    from pelton.tracing.tracer import Tracer

__all__ = [
    "CORRELATION_ID",
    "REPLY_TO",
    "Replies",
    "ReplyPromise",
    "ReplyTuple",
    "as_type",
    "fan_out",
    "refusal",
    "reply",
    "reply_topic",
]

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Faust's own header names, so that its clients can ask our agents and the other way round.
REPLY_TO = "Faust-Ag-ReplyTo"
CORRELATION_ID = "Faust-Ag-CorrelationId"

_READ_BYTES = 1024 * 1024
_READ_S = 1.0


def reply(key: Any, headers: Headers, value: Any, timestamp_ms: int, **more: str) -> Send | None:
    """Return the answer to a request with these headers; None when it asked for none, or where nothing can be sent.

    It is a JSON object with key, value and correlation_id; more: what else it holds.
    """
    request = dict(headers)
    reply_to = request.get(REPLY_TO)
    if reply_to is None:
        return None
    if TOPIC_NAME.fullmatch(reply_to.decode(errors="replace")) is None:
        logger.warning("a request wants its answer on %r, which cannot be a topic: it gets none", reply_to[:250])
        return None
    correlation_id = request.get(CORRELATION_ID) or b""
    text = key.decode(errors="replace") if isinstance(key, bytes) else key
    answer = {"key": text, "value": value, "correlation_id": correlation_id.decode(errors="replace"), **more}
    data = msgspec.json.encode(plain(answer))
    return Send(reply_to.decode(), 0, None, data, timestamp_ms, ((CORRELATION_ID, correlation_id),))


def refusal(batch: RecordBatch, row: int, error: Exception) -> Send | None:
    """Return what tells the sender of a request that it was dead-lettered; None when the record was no request."""
    headers = batch.headers[row] if batch.headers is not None else ()
    if not headers:
        return None
    return reply(batch.keys[row], headers, None, batch.timestamps_ms[row], error=error_text(error))


def as_type(answer: Any, type_: type[T], who: str) -> T:
    """Return an answer as a type, such as a model. Raises: DecodeError when it is not of that type."""
    try:
        read: T = codec_for(type_).decode(msgspec.json.encode(answer))
        return read
    except Exception as error:  # models run the program's own code, which may raise anything
        raise DecodeError(
            f"could not read the answer of {who} as {type_.__name__}: {error or type(error).__name__}",
            hint="answers are what the agent yields; leave answer_type out to see what came",
        ) from error


class ReplyTuple(NamedTuple):
    """An answer, and the request that it answers."""

    correlation_id: str
    value: Any


def reply_topic(app_id: str) -> str:
    """Return the name of an application's reply topic."""
    return f"{app_id}-replies"


class ReplyPromise:
    """An answer that is on its way; awaiting it waits.

    asked: who is to answer, for the text of an error.
    """

    def __init__(self, reply_to: str, correlation_id: str, asked: str = "") -> None:
        self.reply_to = reply_to
        self.correlation_id = correlation_id
        self._asked = asked or "whoever reads it"
        self._receipt: asyncio.Future[Any] | None = None
        self._answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        #: Where traces are kept: done when the answer is there, or nobody waits for it any more.
        self._over: asyncio.Future[None] | None = None

    def fulfill(self, value: Any) -> None:
        """Give the answer; a second one for the same request is ignored."""
        if not self._answer.done():
            self._answer.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Say that there will be no answer, and why."""
        if not self._answer.done():
            self._answer.set_exception(error)
            self._answer.exception()  # nobody has to wait for it

    def sent(self, receipt: asyncio.Future[Any]) -> None:
        """Take the receipt of the request: a request that could not be sent gets no answer."""
        self._receipt = receipt

        def resolved(receipt: asyncio.Future[Any]) -> None:
            if not receipt.cancelled() and (error := receipt.exception()) is not None:
                self.fail(error)

        receipt.add_done_callback(resolved)

    def asking(self, tracing: Tracer | None) -> AbstractContextManager[None]:
        """Return what surrounds the sending of the request, where traces are kept.

        They tell until the answer comes, a wait for it has timed out, or the promise is forgotten.
        """
        if tracing is None:
            return nullcontext()
        over = self._over = asyncio.get_running_loop().create_future()
        self._answer.add_done_callback(lambda answer: _end_likewise(over, answer))
        finalize(self, _let_go, over).atexit = False
        return tracing.asking(self._asked, over)

    @property
    def durable(self) -> Awaitable[Any]:
        """What is awaited until the request is in the log."""
        assert self._receipt is not None
        return self._receipt

    def _place(self) -> str:
        """Return where in the log the request is, for the text of an error."""
        if self._receipt is None or not self._receipt.done() or self._receipt.cancelled() or self._receipt.exception():
            return ", which is not in the log yet"
        metadata = self._receipt.result()
        return f", {metadata.topic}[{metadata.partition}]@{metadata.offset}" if metadata.topic else ""

    def done(self) -> bool:
        """Return whether the answer is there."""
        return self._answer.done()

    async def wait(self, timeout_s: float | None) -> Any:
        """Wait for the answer. Raises: RequestTimeoutError, which is a TimeoutError; what `fail` was told."""
        done, _ = await asyncio.wait([self._answer], timeout=timeout_s)
        if not done and timeout_s is not None:
            error = RequestTimeoutError(
                f"no answer within {timeout_s:g} s from {self._asked} to request {self.correlation_id}{self._place()}",
                hint="it may be paused, behind, or yield nothing for this request: "
                "`faust -A <app> agent list` tells how far it is",
            )
            if self._over is not None:
                _fail(self._over, error)
            raise error
        return self._answer.result()

    def __await__(self) -> Generator[Any, None, Any]:
        return (yield from self._answer.__await__())  # a generator of its own keeps the promise while it is awaited


def _end_likewise(over: asyncio.Future[None], answer: asyncio.Future[Any]) -> None:
    if answer.cancelled():
        over.cancel()
    elif (error := answer.exception()) is not None:
        _fail(over, error)
    elif not over.done():
        over.set_result(None)


def _fail(future: asyncio.Future[None], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # nobody has to look at it


def _let_go(future: asyncio.Future[None]) -> None:
    """Cancel it from whichever thread a promise is forgotten in."""
    loop = future.get_loop()
    if not future.done() and not loop.is_closed():
        loop.call_soon_threadsafe(future.cancel)


class Replies:
    """Reads the answers to this process's requests, from when it first asks.

    log: returns the open log. topic: the reply topic. retention_ms: how long an answer may lie in it.
    """

    def __init__(self, log: Callable[[], Log], topic: str, retention_ms: int) -> None:
        self._log = log
        self.topic = topic
        self._retention_ms = retention_ms
        #: A promise that nobody holds any more, after a timeout for instance, is forgotten with it.
        self._promises: WeakValueDictionary[str, ReplyPromise] = WeakValueDictionary()
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    async def expect(self, correlation_id: str, asked: str = "") -> ReplyPromise:
        """Return a promise of the answer with this id; the topic is being read when this returns."""
        async with self._starting:
            if self._reader is None:
                await self._start()
        promise = self._promises[correlation_id] = ReplyPromise(self.topic, correlation_id, asked)
        return promise

    async def _start(self) -> None:
        log = self._log()
        if not await log.partitions([self.topic]):
            await log.declare([TopicSpec(self.topic, 1, retention_ms=self._retention_ms)])
        source = TopicPartition(self.topic, 0)
        end = (await log.offsets([source]))[source].end
        self._reader = asyncio.create_task(self._read(log, source, end), name="pelton replies")

    async def _read(self, log: Log, source: TopicPartition, offset: int) -> None:
        while True:
            try:
                batch = await log.read(source, offset, bytes_max=_READ_BYTES, timeout_s=_READ_S)
                offset = batch.next_offset
                self._take(batch)
            except OffsetOutOfRangeError:  # this process stood still for longer than answers are kept
                logger.warning("answers in %s from offset %d on are gone", source, offset)
                offset = await self._first(log, source, offset)
            except PeltonError as error:
                logger.warning("cannot read replies from %s, trying again: %s", source, error)
                await asyncio.sleep(_READ_S)

    async def _first(self, log: Log, source: TopicPartition, offset: int) -> int:
        try:
            return (await log.offsets([source]))[source].start
        except PeltonError:
            await asyncio.sleep(_READ_S)
            return offset

    def _take(self, batch: RecordBatch) -> None:
        """Fulfil the promises that a batch has the answers of."""
        if not self._promises:
            return
        headers = batch.headers
        for row, value in enumerate(batch.values):
            # Whose answer it is, is in a header too, for those that need not look into it; Faust's have none.
            mark = dict(headers[row]).get(CORRELATION_ID) if headers is not None and headers[row] else None
            if value is not None and (mark is None or mark.decode(errors="replace") in self._promises):
                self._fulfill(value)

    def _fulfill(self, data: bytes) -> None:
        try:
            answer = msgspec.json.decode(data)
            promise = self._promises.get(answer["correlation_id"])
            value, error = answer["value"], answer.get("error")
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            logger.warning("a reply on %s is not one: %s", self.topic, error)
            return
        if promise is None:
            return  # it comes late, or again, or is for another process
        if error is None:
            promise.fulfill(value)
        else:
            hint = "`dlq list` shows what became of it, and replays it"
            promise.fail(UserCodeError(f"request {promise.correlation_id} was dead-lettered: {error}", hint=hint))

    async def stop(self) -> None:
        """Stop reading. The topic stays: an answer to a topic that is gone would be an effect that cannot be had."""
        if self._reader is None:
            return
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        self._reader = None


async def fan_out(
    items: AsyncIterable[Any], ask: Callable[[Any], Awaitable[ReplyPromise]], timeout_s: float | None, in_flight: int
) -> AsyncIterator[tuple[int, Any]]:
    """Ask for each item, with at most so many answers due at a time; yield (place of the item, answer) as they come.

    timeout_s: how long each answer may take.
    Raises: what the first answer that fails raises; the other requests stay with those who answer them.
    """
    ready: asyncio.Queue[tuple[int, asyncio.Task[Any]]] = asyncio.Queue()
    waiting: set[asyncio.Task[Any]] = set()
    room = asyncio.Semaphore(in_flight)

    def begin(work: Coroutine[Any, Any, Any], place: int) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        task.add_done_callback(lambda done: ready.put_nowait((place, done)))
        waiting.add(task)
        return task

    async def ask_all() -> int:
        count = 0
        async for item in items:
            await room.acquire()
            promise = await ask(item)
            begin(promise.wait(timeout_s), count)
            count += 1
        return count

    asking = begin(ask_all(), -1)
    taken, asked = 0, None
    try:
        while asked is None or taken < asked:
            place, task = await ready.get()
            waiting.discard(task)
            if task is asking:
                asked = task.result()
                continue
            room.release()
            taken += 1
            yield place, task.result()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
