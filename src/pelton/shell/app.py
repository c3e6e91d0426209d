"""`pelton.App`: a `faust.App` whose engine is ours.

Faust's shell stays: the command line, the worker, the web server, timers and tasks, settings and their environment
variables. What Faust's boot strategy would start (consumer, producer, conductor, fetcher, table manager, agent
manager) is replaced by one service, `pelton.shell.engine.Engine`. All that we touch of Faust's insides is in this
package, pinned and covered by tests/contract.
"""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, ClassVar, TypeVar, cast

import faust
from faust.app.base import SCAN_AGENT, BootStrategy
from faust.cli.base import AppCommand
from faust.utils.venusian import attach
from mode.utils.objects import qualname
from yarl import URL

from pelton.clock import Clock, SystemClock
from pelton.config import EngineConfig
from pelton.config import load as load_config
from pelton.errors import ConfigurationError, UnavailableError
from pelton.log.contract import Guarantee, Log
from pelton.log.partitioner import partition_for
from pelton.runtime.runtime import Runtime, RuntimeStatistics
from pelton.shell.agent import Agent
from pelton.shell.arguments import (
    check_agent_options,
    check_channel_options,
    check_settings,
    check_topic_options,
    known_table_options,
)
from pelton.shell.channel import Channel
from pelton.shell.connection import log_for
from pelton.shell.engine import Engine
from pelton.shell.models import register_records
from pelton.shell.program import Forwarding, tables_used_by
from pelton.shell.replies import Replies
from pelton.shell.router import Router
from pelton.shell.sender import Sender
from pelton.shell.sets import SetTable
from pelton.shell.table import Table
from pelton.shell.topic import SendReceipt, Topic, TopicOptions
from pelton.state.cache import TableCache
from pelton.state.rocksdb import RocksStores
from pelton.stream.event import Event
from pelton.stream.lane import CURRENT_LANE
from pelton.stream.refused import Refused

__all__ = ["App", "current_event"]

V = TypeVar("V")
K = TypeVar("K")

register_records()


class EngineBoot(BootStrategy):
    """Starts sensors, the web server and our engine, and nothing of Faust's own."""

    def server(self) -> Iterable[Any]:
        """Return the services of a worker, in the order they start; they stop the other way round."""
        app = cast(App, self.app)
        return [*self.sensors(), *self.web_server(), app.engine]

    def client_only(self) -> Iterable[Any]:
        """Return the services of a client that only asks: none, for requests open the log themselves."""
        return []

    def producer_only(self) -> Iterable[Any]:
        """Return the services of a program that only sends."""
        return list(self.web_server())


class _Driver:
    """What the worker's banner shows in the place of Faust's transport."""

    def __init__(self, description: str) -> None:
        self.driver_version = description


class _Producer:
    """What Faust's commands see as the producer: stopping it waits until all messages are durable."""

    started = True

    def __init__(self, app: App) -> None:
        self._app = app

    async def stop(self) -> None:
        """Wait for the messages under way, and let go of the log."""
        await self._app.close_log()

    async def flush(self) -> None:
        """Wait for the messages under way."""
        await self._app.sender.flush()


class App(faust.App):
    """An application: its topics, tables and agents, and the worker that runs them.

    Takes what `faust.App` takes. The broker is the embedded log unless `broker=` or BROKER_URL says otherwise, and
    the processing guarantee is exactly_once unless `processing_guarantee=` or PROCESSING_GUARANTEE does. Settings of
    the engine (docs/settings.md) are given as keyword arguments too, or as PELTON_… variables.
    """

    BootStrategy: ClassVar[Any] = EngineBoot

    def __init__(self, id: str, **options: Any) -> None:
        check_settings(options)
        ours = {name: options.pop(name) for name in list(options) if name in EngineConfig.__dataclass_fields__}
        self.config: EngineConfig = load_config(os.environ, ours)
        self.clock: Clock = SystemClock()
        options.setdefault("broker", "sqlite://")
        options.setdefault("processing_guarantee", "exactly_once")
        options.setdefault("store", "rocksdb://")
        options.setdefault("table_standby_replicas", 0)
        options["Router"] = Router
        self.declared_topics: list[Topic[Any, Any]] = []
        self._tables: dict[str, Any] = {}
        self._log: Log | None = None
        self._replies: Replies | None = None
        self.sender = Sender(lambda: self.log_connection, lambda: int(self.conf.topic_partitions))
        self.repartition = Forwarding(self)
        super().__init__(id, **options)
        self.engine = Engine(self)

    # -- declaring ---------------------------------------------------------------------------------

    def topic(  # type: ignore[override]
        self,
        *topics: str,
        key_type: type[K] | None = None,
        value_type: type[V] | None = None,
        key_serializer: str | None = None,
        value_serializer: str | None = None,
        partitions: int | None = None,
        retention: float | timedelta | None = None,
        compacting: bool | None = None,
        deleting: bool | None = None,
        replicas: int | None = None,
        config: Mapping[str, Any] | None = None,
        allow_empty: bool = False,
        internal: bool = False,
        **ignored: Any,
    ) -> Topic[K, V]:
        """Declare a topic, or several read as one.

        allow_empty: whether its agents want tombstones, as None.
        Raises: ConfigurationError for what the engine cannot do: patterns and schemas.
        """
        check_topic_options(ignored)
        options = TopicOptions(partitions, retention, compacting, deleting, replicas, config, allow_empty, internal)
        topic = Topic(
            self,
            topics,
            key_type=key_type,
            value_type=value_type,
            key_serializer=key_serializer,
            value_serializer=value_serializer,
            options=options,
        )
        self.declared_topics.append(topic)
        return topic

    def channel(  # type: ignore[override]
        self, *, value_type: type[V] | None = None, maxsize: int | None = None, **ignored: Any
    ) -> Channel[V]:
        """Declare a queue within this process."""
        check_channel_options(ignored)
        return Channel(self, value_type=value_type, maxsize=maxsize)

    def agent(  # type: ignore[override]
        self,
        channel: str | Topic[Any, V] | Channel[V] | None = None,
        *,
        name: str | None = None,
        concurrency: int = 1,
        sink: Iterable[Any] | None = None,
        key_type: type[Any] | None = None,
        value_type: type[V] | None = None,
        **ignored: Any,
    ) -> Callable[[Callable[..., Any]], Agent[V]]:
        """Make an agent of an async function.

        channel: what it reads; a topic of its own, named after it, when None. key_type, value_type: those of a topic
            that is not declared elsewhere.
        """
        check_agent_options(ignored)

        def decorate(fun: Callable[..., Any]) -> Agent[V]:
            agent_name = name or qualname(fun)
            source = f"{self.conf.id}-{agent_name}" if channel is None else channel
            if isinstance(source, str):
                source = self.topic(source, key_type=key_type, value_type=value_type, internal=channel is None)
            agent: Agent[V] = Agent(
                self,
                fun,
                name=agent_name,
                channel=source,
                concurrency=concurrency,
                sink=sink or (),
                help=fun.__doc__,
            )
            self.agents[agent_name] = agent  # type: ignore[assignment]
            attach(agent, category=SCAN_AGENT)
            return agent

        return decorate

    actor = agent  # type: ignore[assignment]

    def command(
        self, *options: Any, base: type[AppCommand] | None = None, **kwargs: Any
    ) -> Callable[[Callable[..., Awaitable[Any]]], type[AppCommand]]:
        """Make a command of an async function: `faust -A app <its name>`.

        options: `pelton.option(...)` and `pelton.argument(...)`, in the order that the command takes them.
        """
        return super().command(*options, base=base, **kwargs)

    def Table(self, name: str, *, default: Callable[[], V] | None = None, window: Any = None, **options: Any) -> Any:
        """Declare a table; `app.Table("balances", default=float)` looks like a dict of account to amount.

        options: key_type, value_type, key_serializer, value_serializer, partitions, help.
        """
        table: Any = Table(self, name, default=default, **known_table_options(options))
        return self._add_table(table, window)

    def GlobalTable(self, name: str, *, window: Any = None, **options: Any) -> Any:
        """Declare a table of which every worker holds all partitions."""
        return self._add_table(Table(self, name, replicated=True, **known_table_options(options)), window)

    def SetTable(self, name: str, *, window: Any = None, **options: Any) -> Any:
        """Declare a table of sets."""
        return self._add_table(SetTable(self, name, **known_table_options(options)), window)

    def SetGlobalTable(self, name: str, *, window: Any = None, **options: Any) -> Any:
        """Declare a table of sets, of which every worker holds all partitions."""
        return self._add_table(SetTable(self, name, replicated=True, **known_table_options(options)), window)

    def _add_table(self, table: Any, window: Any) -> Any:
        if table.name in self._tables:
            raise ConfigurationError(f'table "{table.name}" is declared twice', hint="declare it once, and import that")
        self._tables[table.name] = table
        return table.using_window(window) if window is not None else table

    @property
    def tables(self) -> dict[str, Any]:  # type: ignore[override]
        """The application's tables by name."""
        return self._tables

    def tables_used_by(self, fun: Callable[..., Any]) -> frozenset[str]:
        """Return the names of the tables that a function refers to."""
        return tables_used_by(fun, self._tables)

    def stream(self, channel: Any, **_: Any) -> Any:  # type: ignore[override]
        """Return a stream over a channel, to be iterated outside of agents.

        Raises: ConfigurationError for anything else: nothing could commit a topic's positions.
        """
        if isinstance(channel, Channel):
            return channel.stream()
        raise ConfigurationError(
            f"app.stream: expected a channel, got {channel!r}",
            hint="read a topic with an agent (@app.agent(topic)); iterate anything else as it is",
        )

    def LiveCheck(self, **kwargs: Any) -> Any:
        """Raise ConfigurationError: LiveCheck runs on Faust's own consumers."""
        raise ConfigurationError(
            "app.LiveCheck is not supported: it runs on Faust's own consumers",
            hint="send test records from a command or a timer, and check what comes out with an agent",
        )

    assignor: Any = Refused("ask app.router where a key is, and app.runtime.members() who has what")
    consumer: Any = Refused(
        "the engine reads the log; app.statistics() tells how far, app.log_connection reads by hand"
    )
    flow_control: Any = Refused("the engine pauses what comes too fast by itself: task_queue_bytes_max bounds it")
    producer_transport: Any = Refused("send with topic.send, agent.send or app.send")
    topics: Any = Refused("app.declared_topics lists what the program declares")
    FlowControlQueue: Any = Refused("use app.channel(maxsize=...), or asyncio.Queue")

    async def commit(self, topics: Any = None) -> bool:
        """Commit all complete events now. topics: has no meaning; a commit covers them all."""
        return await self._running().commit()

    def reset_state(self) -> None:
        """Delete the local state of all tables; the next start restores it from the changelogs.

        Raises: UnavailableError while a worker has it open.
        """
        stores, directory = RocksStores(), self.conf.tabledir
        for number in stores.held(directory):
            stores.discard(directory, number)
        if left := stores.held(directory):
            raise UnavailableError(
                f"the state of partitions {sorted(left)} is in use",
                hint="stop the workers on this data directory first",
            )

    # -- sending -----------------------------------------------------------------------------------

    async def send(  # type: ignore[override]
        self, channel: Any, key: Any = None, value: Any = None, **options: Any
    ) -> SendReceipt:
        """Send a message to a topic, a channel, an agent, or a topic by name."""
        target = self.topic(channel) if isinstance(channel, str) else channel
        options.pop("schema", None)
        return await target.send(key=key, value=value, **options)

    @property
    def replies(self) -> Replies:
        """The answers to this process's requests."""
        if self._replies is None:
            self._replies = Replies(lambda: self.log_connection)
        return self._replies

    # -- the log -----------------------------------------------------------------------------------

    @property
    def guarantee(self) -> Guarantee:
        """The processing guarantee in force."""
        return cast(Guarantee, self.conf.processing_guarantee.value)

    @property
    def log_connection(self) -> Log:
        """The log, which must be open."""
        if self._log is None:
            raise UnavailableError("the log is not open", hint="call `await app.open_log()` first")
        return self._log

    async def open_log(self) -> None:
        """Open the log that the broker URL names. Idempotent."""
        if self._log is not None:
            return
        conf = self.conf
        conf.datadir.mkdir(parents=True, exist_ok=True)
        log = log_for(
            [URL(str(url)) for url in conf.broker],
            conf.datadir,
            client_id=str(conf.broker_client_id),
            credentials=conf.broker_credentials,
            ssl_context=conf.ssl_context,
            clock=self.clock,
        )
        await log.open()
        self._log = log

    async def close_log(self) -> None:
        """Wait for the messages under way, and close the log. Idempotent."""
        await self.sender.flush()
        if self._replies is not None:
            await self._replies.stop()
            self._replies = None
        if self._log is not None:
            await self._log.close()
            self._log = None

    # -- what the worker knows ---------------------------------------------------------------------

    @property
    def runtime(self) -> Runtime | None:
        """The running engine, None before the start."""
        return self.engine.runtime

    def statistics(self) -> RuntimeStatistics | None:
        """Return the engine's counters; None before it started."""
        return self.runtime.statistics() if self.runtime is not None else None

    def table_partitions(self, table: Any) -> int:
        """Return the number of partitions of a table."""
        return self._running().counts[table.changelog_topic_name]

    def table_cache(self, table: Any, key: bytes) -> TableCache:
        """Return where this worker reads a key of a table.

        Raises: UnavailableError when another worker has it, or it is being restored.
        """
        runtime = self._running()
        if table.replicated and runtime.replicated is not None:
            return runtime.replicated.caches[table.name]
        number = partition_for(key, self.table_partitions(table))
        partition = runtime.partitions.get(number)
        if partition is None or partition.state != "running":
            raise UnavailableError(
                f'partition {number} of table "{table.name}" is not on this worker', partition=number
            )
        return partition.caches[table.name]

    def table_caches(self, table: Any) -> list[TableCache]:
        """Return all partitions of a table that this worker has, by number."""
        runtime = self._running()
        if table.replicated and runtime.replicated is not None:
            return [runtime.replicated.caches[table.name]]
        return [
            partition.caches[table.name]
            for _, partition in sorted(runtime.partitions.items())
            if partition.state == "running" and table.name in partition.caches
        ]

    def _running(self) -> Runtime:
        if self.runtime is None:
            raise UnavailableError("the engine is not running", hint="tables can be read once the worker has started")
        return self.runtime

    # -- what Faust's shell asks -------------------------------------------------------------------

    def is_leader(self) -> bool:
        """Return whether this worker is the one that runs leader-only tasks."""
        return self.runtime is not None and self.runtime.leads()

    @property  # type: ignore[misc]
    def transport(self) -> Any:
        """What the worker's banner shows as the transport."""
        return _Driver(f"pelton ({URL(str(self.conf.broker[0])).scheme})")

    @property  # type: ignore[misc]
    def producer(self) -> Any:
        """What Faust's commands see as the producer."""
        return _Producer(self)

    @property
    def _producer(self) -> Any:  # type: ignore[override]
        return _Producer(self) if self._log is not None else None

    async def on_start(self) -> None:
        """Finish the configuration; Faust's own would also make its consumer."""
        self.finalize()
        if next(iter(self.on_produce_message.iter_receivers(self)), None) is not None:
            raise ConfigurationError(
                "the signal on_produce_message is never sent: messages leave as whole batches",
                hint="set headers and timestamps where the message is sent",
            )

    async def on_stop(self) -> None:
        """Tell that the application stops; the services have stopped, or will, by themselves."""
        await self.on_before_shutdown.send()
        await self._maybe_close_http_client()

    async def _wait_for_table_recovery_completed(self) -> bool:
        """Wait until the engine is ready. Returns: whether the application is stopping instead."""
        if not self.client_only and not self.producer_only:
            await self.wait_first(self.engine.wait_until_ready())
        if not self.should_stop:
            for table in self._tables.values():
                await table.recovered()
        return bool(self.should_stop)

    async def maybe_start_client(self) -> None:
        """Open the log, so that this process can send and ask."""
        await self.open_log()

    start_client = maybe_start_client

    async def maybe_start_producer(self) -> Any:
        """Open the log, so that this process can send."""
        await self.open_log()
        return self.producer


def current_event() -> Event[Any] | None:
    """Return the event that is being handled; None outside of agents."""
    lane = CURRENT_LANE.get()
    if lane is None or lane.chunk is None:
        return None
    return Event(lane.chunk, lane.cursor, lane.value)
