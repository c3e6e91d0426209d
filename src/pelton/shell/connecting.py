"""`app.source` and `app.sink`: connectors, run as agents.

    lines = app.source(FileTail("/var/log/nginx/*.log"), to=requests)     # as they are, or decorated:

    @app.source(FileTail("/var/log/nginx/*.log"), to=requests)
    def read(record: SourceRecord) -> AccessLine | None: ...

    @app.sink(PostgresTable(url, "orders", key="id"), orders)
    def row(order: Order) -> dict[str, Any]: ...

A source or sink can be paused like any agent, and shows up like one. How a source's positions are part of a commit is
in `pelton.connect.sourcing`; what a connector must be is in `pelton.connect.contract`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cached_property, partial
from inspect import cleandoc, iscoroutinefunction
from typing import TYPE_CHECKING, Any, cast

from pelton.batch import TopicPartition
from pelton.connect.contract import Sink, SinkBatch, SinkRow, Source, SourceRecord
from pelton.connect.sourcing import SourcePlaces, SourceRun
from pelton.connect.webhook import Webhook
from pelton.errors import ConfigurationError
from pelton.log.contract import TopicSpec
from pelton.runtime.deadletter import dead_letter_topic
from pelton.runtime.retry import until_available
from pelton.runtime.spec import OF_THE_ENGINE, TableSpec
from pelton.runtime.topics import TOPIC_NAME
from pelton.shell.agent import Agent
from pelton.shell.arguments import check_count
from pelton.shell.names import View
from pelton.shell.topic import Topic, TopicOptions
from pelton.stream.ahead_feed import ahead_feed
from pelton.stream.event import Event
from pelton.stream.lane import Send
from pelton.stream.stream import Stream
from pelton.window import seconds

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["ConnectedSink", "ConnectedSource", "Connectors"]

#: What makes something of a record, or of a value, of the program's own.
Making = Callable[[Any], Any]


class ConnectedSource(Agent[Any]):
    """A source of the application: it sends what it reads to a topic.

    make: what becomes of a record; the record itself when None.
    """

    #: Of its control topic: what is read has one reader.
    control_partitions: int | None = 1

    def __init__(self, app: App, source: Source, to: Topic[Any, Any], name: str) -> None:
        control = Topic[Any, Any](
            app,
            (f"{app.conf.id}-{name}-source",),
            key_type=bytes,
            value_type=bytes,
            options=TopicOptions(
                partitions=self.control_partitions, retention=-1, allow_empty=True, internal=True, purged=True
            ),
        )
        app.declared_topics.append(control)  # a delivery may come before the worker has declared it
        self.source = source
        self.to = to
        self.make: Making | None = None
        super().__init__(app, self._source, name=name, channel=control, help=f"reads {source!r} into {to}")

    def __call__(self, fun: Any = None) -> Any:
        """Say what becomes of each record: a plain function of it.

        It returns a value, which goes to the topic under the record's own key; or a `SourceRecord` with another key; a
        list of several; or None to leave the record out. A record that it fails on is dead-lettered.
        """
        self.make = _making(fun, self.make, f"source {self.name}")
        self.help = cleandoc(fun.__doc__) if fun.__doc__ else self.help
        return self

    def own_tables(self) -> list[TableSpec]:
        """Return the table of its positions."""
        changelog = TopicSpec(f"{self.app.conf.id}-{self._table}-changelog", 1, cleanup_policy="compact")
        return [TableSpec(self._table, changelog, rank=OF_THE_ENGINE)]

    @property
    def _table(self) -> str:
        return f"{self.name}-positions"

    async def _source(self, stream: Stream[Any]) -> None:
        feed, lane = stream.bound()
        if not lane.topics:
            return await _nothing(stream)
        letters = dead_letter_topic(str(self.app.conf.id))
        places = SourcePlaces(self.name, self._table, str(self.channel), letters)
        await SourceRun(ahead_feed(feed, "a source"), lane, self.source, self.messages, places).run()

    def messages(self, record: SourceRecord) -> list[Send]:
        """Return what is sent for a record."""
        made = record if self.make is None else self.make(record)
        if made is None:
            return []
        many: list[Any] = list(made) if isinstance(made, list | Generator) else [made]  # pyright: ignore
        return [self._message(record, one) for one in many]

    def _message(self, record: SourceRecord, made: Any) -> Send:
        out = made if isinstance(made, SourceRecord) else replace(record, value=made)
        timestamp = record.timestamp if out.timestamp is None else out.timestamp
        if timestamp is None:
            timestamp = self.app.clock.time_ms() / 1000
        value = out.value
        if self.to.value_type is str and isinstance(value, bytes):
            value = value.decode(
                errors="replace"
            )  # bytes stand for themselves elsewhere: a device's JSON, for instance
        return self.to.outgoing(out.key, value, timestamp=timestamp, headers=out.headers)


class ConnectedWebhook(ConnectedSource):
    """A source whose records come over HTTP, at any worker: they are durable in its control topic when it answers.

    A delivery that comes again within the replay window, by its id, is answered likewise and goes no further.
    """

    source: Webhook
    control_partitions = None

    def __init__(self, app: App, source: Webhook, to: Topic[Any, Any], name: str) -> None:
        super().__init__(app, source, to, name)
        self.fun = _deliveries(self)
        app.signed_paths.add(source.path)
        app.page(source.path, name=f"webhook {source.path}")(_page(self))

    def own_tables(self) -> list[TableSpec]:
        """Return none: the ids of deliveries are in the table of `dedupe`."""
        return []

    async def accept(self, record: SourceRecord) -> None:
        """Return once a delivery is durable."""
        channel = cast("Topic[Any, Any]", self.channel)
        receipt = await channel.send(
            key=record.key, value=record.value, timestamp=record.timestamp, headers=record.headers
        )
        await receipt


async def _nothing(stream: Stream[Any]) -> None:
    """Wait for the end: a partition number that other topics have is not one of this agent's."""
    async for _ in stream:
        pass


def _page(webhook: ConnectedWebhook) -> type[View]:
    """Return the page of a webhook."""

    class WebhookPage(View):
        async def post(self, request: Any, **kwargs: Any) -> Any:
            app = webhook.app
            return await webhook.source.answer(request, webhook.accept, app.clock.time_ms() / 1000)

    return WebhookPage


def _deliveries(webhook: ConnectedWebhook) -> Callable[[Stream[Any]], Any]:
    """Return the function of a webhook's agent: a function, so that start-up sees what it asks of its stream."""

    async def deliveries(stream: Stream[Any]) -> None:
        lane = stream.bound()[1]
        async for event in stream.dedupe(within=webhook.source.within).events():
            record = SourceRecord(event.value, event.key, event.message.timestamp, lane.headers)
            for message in webhook.messages(webhook.source.delivered(record)):
                lane.send(message)

    return deliveries


class ConnectedSink(Agent[Any]):
    """A sink of the application: it writes the records of a topic out, in batches.

    make: what becomes of a value; the value itself when None.
    """

    def __init__(
        self, app: App, sink: Sink, topic: Topic[Any, Any], name: str, batch: int, within: float | timedelta
    ) -> None:
        check_count(f"sink {name}: batch", batch)
        self.sink = sink
        self.make: Making | None = None
        self._batch = batch
        self.within_s = seconds(within)
        super().__init__(app, self._sink, name=name, channel=topic, help=f"writes {topic} to {sink!r}")

    def __call__(self, fun: Any = None) -> Any:
        """Say what is written for each value: a plain function of it; None leaves the record out.

        Tombstones do not come to it. A record that it fails on is dead-lettered.
        """
        self.make = _making(fun, self.make, f"sink {self.name}")
        self.help = cleandoc(fun.__doc__) if fun.__doc__ else self.help
        return self

    async def _sink(self, stream: Stream[Any]) -> None:
        if not stream.bound()[1].topics:
            return await _nothing(stream)
        clock, doing = self.app.clock, f"write to {self.sink!r}"
        writer = await until_available(lambda: self.sink.open(self.name), f"open {self.sink!r}", clock)
        try:
            async for events in stream.take_events(self._batch, within=self.within_s):
                for batch in self._batches(events):
                    await until_available(partial(writer.write, batch), doing, clock)
        finally:
            await writer.close()

    def _batches(self, events: list[Event[Any]]) -> list[SinkBatch]:
        """Return events by the partition they come from."""
        rows: dict[TopicPartition, list[SinkRow]] = {}
        for event in events:
            message = event.message
            source = TopicPartition(message.topic, message.partition)
            value = event.value if event.value is None or self.make is None else self.make(event.value)
            if value is not None or event.value is None:
                rows.setdefault(source, []).append(SinkRow(message.offset, message.timestamp, event.key, value))
        return [SinkBatch(source, some) for source, some in rows.items()]


class Connectors:
    """What `pelton.App` offers of connectors."""

    @cached_property
    def sources(self) -> dict[str, ConnectedSource]:
        """Those that were declared, by name."""
        return {}

    @cached_property
    def sinks(self) -> dict[str, ConnectedSink]:
        """Those that were declared, by name."""
        return {}

    def source(self, source: Source, to: Topic[Any, Any], *, name: str | None = None) -> ConnectedSource:
        """Have what a source reads sent to a topic; returns what may be used as a decorator, to say in what shape.

        to: where its records go. name: under which its positions are kept: those of another name begin anew; made of
            the topic and the kind of source when None.
        Raises: ConfigurationError.
        """
        app = cast("App", self)
        name = self._connector_name(name, to, source)
        kind = ConnectedWebhook if isinstance(source, Webhook) else ConnectedSource
        found = self.sources[name] = kind(app, cast(Any, source), to, name)
        app.agents[name] = cast(Any, found)
        return found

    def sink(
        self,
        sink: Sink,
        topic: Topic[Any, Any],
        *,
        name: str | None = None,
        batch: int = 1_000,
        within: float | timedelta = 1.0,
    ) -> ConnectedSink:
        """Have the records of a topic written to a sink; returns what may be used as a decorator, to say in what shape.

        name: under which the sink keeps its offsets; see `source`. batch: how many records are written together at
            most. within: how long the first waits for others, in seconds or as a timedelta.
        Raises: ConfigurationError.
        """
        app = cast("App", self)
        name = self._connector_name(name, topic, sink)
        found = self.sinks[name] = ConnectedSink(app, sink, topic, name, batch, within)
        app.agents[name] = cast(Any, found)
        return found

    def _connector_name(self, name: str | None, topic: Any, connector: object) -> str:
        app = cast("App", self)
        if not isinstance(topic, Topic):
            raise ConfigurationError(
                f"expected a topic, got {topic!r}", hint='declare one: app.topic("lines", value_type=str)'
            )
        found = name or f"{topic}-{type(connector).__name__.lower()}"
        if TOPIC_NAME.fullmatch(found) is None:
            raise ConfigurationError(f"{found!r} cannot be the name of a connector", hint="letters, digits, . _ and -")
        taken: Mapping[str, Any] = app.agents
        if found in taken:
            raise ConfigurationError(f"{found} is declared twice", hint='give one of them another name: name="…"')
        return found


def _making(fun: Any, before: Making | None, what: str) -> Making:
    if not callable(fun) or iscoroutinefunction(fun):
        raise ConfigurationError(
            f"{what}: expected a plain function, got {fun!r}",
            hint="write def, not async def; what has to wait belongs in an agent on the topic",
        )
    if before is not None:
        raise ConfigurationError(f"{what} is decorated twice", hint="declare another one, with another name=")
    return cast(Making, fun)
