"""Agents: the decorated functions of a program, and the requests that others make of them."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import uuid4

from pelton.batch import Headers
from pelton.runtime.spec import AgentSpec, SourceSpec
from pelton.shell.channel import Channel
from pelton.shell.replies import CORRELATION_ID, REPLY_TO, Barrier, ReplyPromise, encode_reply
from pelton.shell.topic import HeadersArg, SendReceipt, Topic, as_headers
from pelton.stream.lane import Lane, Send
from pelton.stream.refused import Refused
from pelton.stream.stream import Feed, Stream

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["Agent"]

V = TypeVar("V")
Sink = Any  # a topic, a channel, an agent, or a function, plain or async, of the value


class Agent(Generic[V]):
    """A function over a stream, run once for each partition of its topic.

    fun: an async function, or an async generator whose values go to the sinks and, when they were asked for, back as
    replies.
    concurrency: how many events of a partition may be under way at once; those of one key stay in order.
    """

    def __init__(
        self,
        app: App,
        fun: Callable[[Stream[V]], Awaitable[Any] | AsyncGenerator[Any, None]],
        *,
        name: str,
        channel: Topic[Any, V] | Channel[V],
        concurrency: int = 1,
        sink: Iterable[Sink] = (),
        help: str | None = None,
    ) -> None:
        self.app = app
        self.fun = fun
        self.name = name
        self.channel = channel
        self.concurrency = concurrency
        self.help = inspect.cleandoc(help) if help else ""
        self.sinks: list[Sink] = list(sink)
        self.__doc__ = fun.__doc__
        self.__module__ = fun.__module__
        self.__name__ = getattr(fun, "__name__", name)

    # -- as the engine sees it ---------------------------------------------------------------------

    def spec(self) -> AgentSpec:
        """Return the agent as the runtime knows it; its channel must be a topic."""
        assert isinstance(self.channel, Topic)
        key_codec, value_codec = self.channel.codecs()
        tombstones = self.channel.options.allow_empty
        sources = {topic.name: SourceSpec(topic, key_codec, value_codec, tombstones) for topic in self.channel.specs()}
        return AgentSpec(
            name=self.name,
            sources=sources,
            run=self.run,
            emit=self.emit,
            concurrency=self.concurrency,
            tables=self.app.tables_used_by(self.fun),
        )

    def run(self, feed: Feed, lane: Lane) -> AsyncGenerator[Any, None] | Awaitable[Any]:
        """Call the function with a stream over one partition."""
        return self.fun(Stream(feed, lane, self.app.repartition))

    def emit(self, lane: Lane, value: Any) -> Awaitable[None] | None:
        """Hand what the function yielded to the sinks, and to whoever asked for it."""
        headers = lane.headers
        if headers and (reply := _reply(lane, headers, value)) is not None:
            lane.send(reply)
        waiting = [answer for sink in self.sinks if (answer := _deliver(sink, lane, value)) is not None]
        return _all(waiting) if waiting else None

    def add_sink(self, sink: Sink) -> None:
        """Send what the agent yields to one more place."""
        if sink not in self.sinks:
            self.sinks.append(sink)

    def get_topic_names(self) -> tuple[str, ...]:
        """Return the names of the topics it reads; none for an agent on a channel."""
        return tuple(self.channel.topics) if isinstance(self.channel, Topic) else ()

    def __call__(self, stream: Any = None) -> Any:
        """Call the agent's function itself, for instance in a test of it."""
        return self.fun(stream)

    # -- sending to it -----------------------------------------------------------------------------

    async def cast(
        self,
        value: V | Any = None,
        *,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg | None = None,
    ) -> None:
        """Send a value to the agent; no answer is expected."""
        await self.send(value=value, key=key, partition=partition, timestamp=timestamp, headers=headers)

    async def send(
        self,
        *,
        key: Any = None,
        value: V | Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg | None = None,
        reply_to: Any = None,
        correlation_id: str | None = None,
        force: bool = False,
        **_: Any,
    ) -> SendReceipt:
        """Send a value to the agent's topic or channel; the answer, if any, goes to reply_to."""
        if reply_to is not None:
            request: Headers = (
                (REPLY_TO, str(_topic_name(reply_to)).encode()),
                (CORRELATION_ID, (correlation_id or str(uuid4())).encode()),
            )
            headers = as_headers(headers) + request
        if isinstance(self.channel, Channel):
            channel: Channel[Any] = self.channel
            receipt: SendReceipt = await channel.send(key=key, value=value, headers=headers)
            return receipt
        return await self.channel.send(
            key=key, value=value, partition=partition, timestamp=timestamp, headers=headers, force=force
        )

    async def ask(
        self,
        value: V | Any = None,
        *,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg | None = None,
        reply_to: Any = None,
        correlation_id: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Send a value, wait for the answer and return it.

        timeout: seconds to wait, for ever when None. Raises: TimeoutError.
        The request leaves at once, also from within an agent: it is not part of the event's transaction, for the answer
        could not come before the commit that would publish it.
        """
        promise = await self.ask_nowait(
            value,
            key=key,
            partition=partition,
            timestamp=timestamp,
            headers=headers,
            reply_to=reply_to,
            correlation_id=correlation_id,
        )
        return await promise.wait(timeout)

    async def ask_nowait(
        self,
        value: V | Any = None,
        *,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg | None = None,
        reply_to: Any = None,
        correlation_id: str | None = None,
        force: bool = False,
    ) -> ReplyPromise:
        """Send a value and return a promise of the answer; awaiting it waits."""
        correlation_id = correlation_id or str(uuid4())
        if reply_to is None:
            await self.app.open_log()
            promise = await self.app.replies.expect(correlation_id)
        else:
            promise = ReplyPromise(str(_topic_name(reply_to)), correlation_id)
        receipt = await self.send(
            value=value,
            key=key,
            partition=partition,
            timestamp=timestamp,
            headers=headers,
            reply_to=promise.reply_to,
            correlation_id=correlation_id,
            force=True,
        )
        await receipt
        return promise

    async def kvmap(
        self, items: AsyncIterator[tuple[Any, V]] | Iterable[tuple[Any, V]], *, key: Any = None, reply_to: Any = None
    ) -> AsyncIterator[Any]:
        """Send (key, value) pairs and yield the answers as they come."""
        barrier = Barrier()
        async for item_key, value in _each(items):
            barrier.add(await self.ask_nowait(value, key=item_key if item_key is not None else key, reply_to=reply_to))
        async for answer in barrier.answers():
            yield answer

    async def map(
        self, values: AsyncIterator[V] | Iterable[V], *, key: Any = None, reply_to: Any = None
    ) -> AsyncIterator[Any]:
        """Send values and yield the answers as they come."""
        async for answer in self.kvmap(((key, value) async for value in _each(values)), reply_to=reply_to):
            yield answer

    async def kvjoin(
        self, items: AsyncIterator[tuple[Any, V]] | Iterable[tuple[Any, V]], *, key: Any = None, reply_to: Any = None
    ) -> list[Any]:
        """Send (key, value) pairs and return the answers in the order of the pairs."""
        promises = [
            await self.ask_nowait(value, key=item_key if item_key is not None else key, reply_to=reply_to)
            async for item_key, value in _each(items)
        ]
        return [await promise for promise in promises]

    async def join(self, values: AsyncIterator[V] | Iterable[V], *, key: Any = None, reply_to: Any = None) -> list[Any]:
        """Send values and return the answers in the order of the values."""
        return await self.kvjoin(((key, value) async for value in _each(values)), reply_to=reply_to)

    test_context = Refused("run a worker on a sqlite:// log in a temporary directory, and send to the agent")
    stream = Refused("send to the agent; only the engine calls it with a stream")
    cancel = actor_tracebacks = Refused("app.statistics().tasks tells what each agent is at")

    def __repr__(self) -> str:
        return f"<Agent: {self.name}>"


def _channel_of(place: Any) -> Any:
    """Return the channel of an agent; anything else is a place to send to itself."""
    return getattr(place, "channel", place)


def _topic_name(place: Any) -> str:
    target: Any = _channel_of(place)
    return str(target.get_topic_name()) if hasattr(target, "get_topic_name") else str(target)


def _reply(lane: Lane, headers: Headers, value: Any) -> Send | None:
    """Return the answer to the event's request, part of the event's transaction; None when it asked for none."""
    request = dict(headers)
    reply_to = request.get(REPLY_TO)
    if reply_to is None:
        return None
    correlation_id = request.get(CORRELATION_ID, b"").decode()
    data = encode_reply(lane.key, value, correlation_id)
    return Send(reply_to.decode(), 0, None, data, lane.timestamp_ms, ((CORRELATION_ID, correlation_id.encode()),))


def _deliver(sink: Sink, lane: Lane, value: Any) -> Awaitable[Any] | None:
    """Hand a value to one sink; returns what is to be awaited, if anything."""
    target: Any = _channel_of(sink)
    if isinstance(target, Topic):
        lane.send(target.outgoing(lane.key, value))
        return None
    if isinstance(target, Channel):
        return target.send(key=lane.key, value=value)  # pyright: ignore[reportUnknownMemberType]
    answer = target(value)
    return answer if inspect.isawaitable(answer) else None


async def _all(waiting: Iterable[Awaitable[Any]]) -> None:
    for one in waiting:
        await one


async def _each(values: AsyncIterable[Any] | Iterable[Any]) -> AsyncIterator[Any]:
    if isinstance(values, AsyncIterable):
        async for value in values:
            yield value
    else:
        for value in values:
            yield value
