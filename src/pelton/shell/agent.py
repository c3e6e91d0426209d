"""Agents: the decorated functions of a program, and the requests that others make of them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, Unpack, overload
from uuid import uuid4

from pelton.backoff import Backoff
from pelton.batch import Headers
from pelton.errors import ConfigurationError
from pelton.runtime.spec import AgentSpec, SourceSpec, TableSpec
from pelton.shell.arguments import check_agent_function, check_count, check_priority, check_retries
from pelton.shell.channel import Channel
from pelton.shell.joined import JoinedTables
from pelton.shell.operator_windows import OperatorTable
from pelton.shell.pausing import pauses_of
from pelton.shell.replies import CORRELATION_ID, REPLY_TO, ReplyPromise, as_type, fan_out, refusal, reply
from pelton.shell.topic import HeadersArg, SendReceipt, Topic, as_headers
from pelton.stream.lane import Lane
from pelton.stream.refused import Refused
from pelton.stream.stream import Feed, Stream
from pelton.stream.window_reader import WindowReader
from pelton.window import seconds

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["Agent"]

V = TypeVar("V")
R = TypeVar("R")
Sink = Any  # a topic, a channel, an agent, or a function, plain or async, of the value


class RequestOptions(TypedDict, total=False):
    """What `agent.ask` takes beside the value; see there."""

    key: Any
    partition: int | None
    timestamp: float | None
    headers: HeadersArg | None
    reply_to: Any
    correlation_id: str | None
    timeout: float | timedelta | None


class Agent(Generic[V]):
    """A function over a stream, run once for each partition of its topic.

    fun: an async function, or an async generator whose values go to the sinks and, when they were asked for, back as
    replies.
    concurrency: how many events of a partition may be under way at once; those of one key stay in order.
    retries: how often an event that fails is tried again before it is dead-lettered, or a `Backoff` that says also
        when, and for which errors; as the worker's settings say when None.
    priority: what comes first on a worker; that of its topics when None.
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
        retries: int | Backoff | None = None,
        priority: int | None = None,
    ) -> None:
        check_agent_function(fun)
        check_count(f"agent {name}: concurrency", concurrency)
        self.app = app
        self.fun = fun
        self.name = name
        self.channel = channel
        self.concurrency = concurrency
        if priority is not None:
            check_priority(f"agent {name}", priority)
        self.priority = priority
        self.retries = check_retries(f"agent {name}", retries)
        if retries is not None and isinstance(channel, Channel):
            raise ConfigurationError(
                f"agent {name}: retries= on a channel: it keeps nothing that could be tried again",
                hint="read a topic, or try again within the agent",
            )
        self.help = inspect.cleandoc(help) if help else ""
        #: Whether it begins with the first record of its topics when it is new.
        self.replays = False
        self.sinks: list[Sink] = [_checked(one, name) for one in _listed(sink)]
        self.__doc__ = fun.__doc__
        self.__module__ = fun.__module__
        self.__name__ = getattr(fun, "__name__", name)

    # -- as the engine sees it ---------------------------------------------------------------------

    def spec(self) -> AgentSpec:
        """Return the agent as the runtime knows it; its channel must be a topic."""
        assert isinstance(self.channel, Topic)
        return AgentSpec(
            name=self.name,
            sources=self._sources(self.channel),
            run=self.run,
            emit=self.emit,
            concurrency=self.concurrency,
            tables=self.app.tables_used_by(self.fun),
            refuse=refusal,
            replays=self.replays,
            backoff=self.retries,
        )

    def _sources(self, topic: Topic[Any, V]) -> Mapping[str, SourceSpec]:
        sources = topic.sources()
        if self.priority is None:
            return sources
        return {name: replace(source, priority=self.priority) for name, source in sources.items()}

    def own_tables(self) -> list[TableSpec]:
        """Return the tables that come with it, beside those that the program declares."""
        return [self.channel.table(self.name)] if isinstance(self.channel, JoinedTables) else []

    def run(self, feed: Feed, lane: Lane) -> AsyncGenerator[Any, None] | Awaitable[Any]:
        """Call the function with a stream over one partition. Raises: ConfigurationError when it is not async."""
        stream = Stream[V](feed, lane, self.app.repartition)
        if isinstance(self.channel, JoinedTables):
            self.channel.prepare(stream, self.name)
        running: Any = self.fun(stream)
        if not isinstance(running, AsyncGenerator | Awaitable):
            raise ConfigurationError(
                f"agent {self.name} is not async: it returned {running!r}",
                hint="write: async def agent(stream): async for event in stream: ...",
            )
        return running  # pyright: ignore[reportUnknownVariableType]

    def emit(self, lane: Lane, value: Any) -> Awaitable[None] | None:
        """Hand what the function yielded to the sinks, and to whoever asked for it."""
        headers = lane.headers
        if headers and (answer := reply(lane.key, headers, value, lane.timestamp_ms)) is not None:
            lane.send(answer)
            lane.answers += 1
        waiting = [one for sink in self.sinks if (one := _deliver(sink, lane, value)) is not None]
        return _all(waiting) if waiting else None

    def windows(self, name: str = "window") -> WindowReader:
        """Return the windows of one of its operators, to read: open ones, and closed ones for their `retention=`.

        name: that of `stream.window(..., name=)`; "agg" for `stream.agg(...)`.
        Raises: ConfigurationError when there is none of this name, or the worker has not started.
        """
        table = f"{self.name.rpartition('.')[2]}-{name}"
        planned = self.app.repartition.windows.get(table)
        if planned is None:
            known = sorted(self.app.repartition.windows)
            raise ConfigurationError(
                f'agent {self.name} has no windows of the name "{name}"; known are {known or "none"}',
                hint='write stream.window(..., name="per_minute"); they are known once the worker has started',
            )
        return WindowReader(planned.plan, planned.aggregates, OperatorTable(self.app, table, planned.key_codec))

    def add_sink(self, sink: Sink) -> None:
        """Send what the agent yields to one more place."""
        if sink not in self.sinks:
            self.sinks.append(_checked(sink, self.name))

    def get_topic_names(self) -> tuple[str, ...]:
        """Return the names of the topics it reads; none for an agent on a channel."""
        return tuple(self.channel.topics) if isinstance(self.channel, Topic) else ()

    def __call__(self, stream: Any = None) -> Any:
        """Call the agent's function itself, for instance in a test of it."""
        return self.fun(stream)

    async def pause(self, reason: str = "") -> None:
        """Have the agent hand out no more events, on all workers and after every restart, until it is resumed.

        reason: why, for those who look later. Each worker follows within a second. An event that is under way comes to
        its end; the agent keeps its position, and others on its topics go on. Retention goes on too.
        """
        await (await pauses_of(self.app)).pause(self.name, reason)

    async def resume(self) -> None:
        """Have a paused agent go on where it stood, on all workers."""
        await (await pauses_of(self.app)).resume(self.name)

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
        **options: Any,
    ) -> SendReceipt:
        """Send a value to the agent's topic or channel; the answer, if any, goes to reply_to.

        options: what else `topic.send` takes; a channel takes none of them.
        """
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
            key=key, value=value, partition=partition, timestamp=timestamp, headers=headers, force=force, **options
        )

    @overload
    async def ask(self, value: V | Any = None, *, answer_type: type[R], **options: Unpack[RequestOptions]) -> R: ...

    @overload
    async def ask(
        self, value: V | Any = None, *, answer_type: None = None, **options: Unpack[RequestOptions]
    ) -> Any: ...

    async def ask(
        self,
        value: V | Any = None,
        *,
        answer_type: type[Any] | None = None,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg | None = None,
        reply_to: Any = None,
        correlation_id: str | None = None,
        timeout: float | timedelta | None = None,
    ) -> Any:
        """Send a value, wait for the answer and return it: the first that the agent yields for it.

        answer_type: what the answer is to be read as, a model for instance; dicts, lists, text and numbers when None.
        timeout: how long to wait, in seconds or as a timedelta; for ever when None.
        Raises: TimeoutError (a pelton.errors.RequestTimeoutError), UserCodeError when the request was dead-lettered,
            DecodeError for an answer that is not of the type.
        The request leaves at once, also from within an agent: it is not part of the event's transaction, for the answer
        could not come before the commit that would publish it. The agent may be on any worker.
        """
        promise = await self._request(
            value,
            key=key,
            partition=partition,
            timestamp=timestamp,
            headers=headers,
            reply_to=reply_to,
            correlation_id=correlation_id,
        )
        answer = await promise.wait(_seconds(timeout))
        return answer if answer_type is None else as_type(answer, answer_type, f"agent {self.name}")

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
        """Send a value and return a promise of the answer; awaiting it waits. The request is durable by then.

        force: has no meaning; a request leaves at once anyway.
        """
        promise = await self._request(
            value,
            key=key,
            partition=partition,
            timestamp=timestamp,
            headers=headers,
            reply_to=reply_to,
            correlation_id=correlation_id,
        )
        await promise.durable
        return promise

    async def _request(
        self, value: Any, *, reply_to: Any = None, correlation_id: str | None = None, **options: Any
    ) -> ReplyPromise:
        """Send a value, and return a promise of the answer; the request is on its way."""
        correlation_id = correlation_id or str(uuid4())
        asked = f"agent {self.name}"
        if reply_to is None:
            await self.app.open_log()
            promise = await self.app.replies.expect(correlation_id, asked)
        else:
            promise = ReplyPromise(str(_topic_name(reply_to)), correlation_id, asked)
        with promise.asking(self.app.tracing):
            receipt = await self.send(
                value=value, reply_to=promise.reply_to, correlation_id=correlation_id, force=True, **options
            )
        promise.sent(asyncio.ensure_future(receipt))  # what was forced out has a future for a receipt
        return promise

    async def kvmap(
        self,
        items: AsyncIterator[tuple[Any, V]] | Iterable[tuple[Any, V]],
        *,
        key: Any = None,
        reply_to: Any = None,
        timeout: float | timedelta | None = None,
        in_flight: int = 1_000,
    ) -> AsyncIterator[Any]:
        """Send (key, value) pairs and yield the answers as they come, while further pairs are sent.

        key: for the pairs whose own is None.
        timeout: how long each answer may take, in seconds or as a timedelta; for ever when None.
        in_flight: how many answers may be due at a time; no further pair is taken while there are as many.
        Raises: what `ask` raises, for the first request that fails.
        """
        async for _, answer in self._fan_out(items, key, reply_to, timeout, in_flight):
            yield answer

    async def map(
        self,
        values: AsyncIterator[V] | Iterable[V],
        *,
        key: Any = None,
        reply_to: Any = None,
        timeout: float | timedelta | None = None,
        in_flight: int = 1_000,
    ) -> AsyncIterator[Any]:
        """Send values and yield the answers as they come; see `kvmap`."""
        items = ((key, value) async for value in _each(values))
        async for _, answer in self._fan_out(items, None, reply_to, timeout, in_flight):
            yield answer

    async def kvjoin(
        self,
        items: AsyncIterator[tuple[Any, V]] | Iterable[tuple[Any, V]],
        *,
        key: Any = None,
        reply_to: Any = None,
        timeout: float | timedelta | None = None,
        in_flight: int = 1_000,
    ) -> list[Any]:
        """Send (key, value) pairs and return the answers in the order of the pairs; see `kvmap`."""
        found = [one async for one in self._fan_out(items, key, reply_to, timeout, in_flight)]
        return [answer for _, answer in sorted(found, key=itemgetter(0))]

    async def join(
        self,
        values: AsyncIterator[V] | Iterable[V],
        *,
        key: Any = None,
        reply_to: Any = None,
        timeout: float | timedelta | None = None,
        in_flight: int = 1_000,
    ) -> list[Any]:
        """Send values and return the answers in the order of the values; see `kvmap`."""
        items = ((key, value) async for value in _each(values))
        return await self.kvjoin(items, reply_to=reply_to, timeout=timeout, in_flight=in_flight)

    def _fan_out(
        self, items: Any, key: Any, reply_to: Any, timeout: float | timedelta | None, in_flight: int
    ) -> AsyncIterator[tuple[int, Any]]:
        check_count(f"agent {self.name}: in_flight", in_flight)

        async def ask(item: tuple[Any, Any]) -> ReplyPromise:
            return await self._request(item[1], key=item[0] if item[0] is not None else key, reply_to=reply_to)

        return fan_out(_each(items), ask, _seconds(timeout), in_flight)

    test_context = Refused("drive the application: pelton.testing.Driver(app), see docs/testing.md")
    stream = Refused("send to the agent; only the engine calls it with a stream")
    cancel = actor_tracebacks = Refused("app.statistics().tasks tells what each agent is at")

    def __repr__(self) -> str:
        return f"<Agent: {self.name}>"


def _listed(sinks: Any) -> Iterable[Sink]:
    """Return several sinks, of which one may stand alone."""
    return sinks if isinstance(sinks, Iterable) and not isinstance(sinks, str) else [sinks]  # pyright: ignore[reportUnknownVariableType]


def _checked(sink: Sink, agent: str) -> Sink:
    """Return a sink that is one. Raises: ConfigurationError."""
    if isinstance(_channel_of(sink), Topic | Channel) or callable(sink):
        return sink
    raise ConfigurationError(
        f"agent {agent}: {sink!r} is no sink",
        hint="a sink is a topic, a channel, an agent or a function; name a topic as app.topic(...)",
    )


def _channel_of(place: Any) -> Any:
    """Return the channel of an agent; anything else is a place to send to itself."""
    return getattr(place, "channel", place)


def _topic_name(place: Any) -> str:
    target: Any = _channel_of(place)
    return str(target.get_topic_name()) if hasattr(target, "get_topic_name") else str(target)


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


def _seconds(timeout: float | timedelta | None) -> float | None:
    return None if timeout is None else seconds(timeout)
