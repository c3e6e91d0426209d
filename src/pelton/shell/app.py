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
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast, overload

import faust
from faust.app.base import SCAN_AGENT
from faust.cli import base as cli
from faust.utils.venusian import attach
from mode.utils.objects import qualname
from prometheus_client import CollectorRegistry
from yarl import URL

import pelton.shell.commands  # noqa: F401 - adds them to the command line
from pelton.backoff import Backoff
from pelton.clock import Clock, SystemClock
from pelton.config import EngineConfig
from pelton.config import load as load_config
from pelton.errors import ConfigurationError, UnavailableError
from pelton.log.contract import Guarantee, Log, TopicSpec
from pelton.log.partitioner import partition_for
from pelton.runtime.runtime import Runtime
from pelton.runtime.statistics import RuntimeStatistics
from pelton.shell.agent import Agent
from pelton.shell.arguments import (
    check_agent_options,
    check_settings,
    check_stream_options,
)
from pelton.shell.boot import EngineBoot
from pelton.shell.channel import Channel
from pelton.shell.connecting import Connectors
from pelton.shell.connection import check_broker_urls, check_one_cluster, log_for
from pelton.shell.credentials import broker_credentials
from pelton.shell.declaring import Declarations
from pelton.shell.engine import Engine
from pelton.shell.entity import Entities
from pelton.shell.guard import Token
from pelton.shell.leadership import LeaderOnly, Leadership
from pelton.shell.models import register_records
from pelton.shell.program import Forwarding, tables_used_by
from pelton.shell.querying import Querying
from pelton.shell.replies import Replies, reply_topic
from pelton.shell.router import Router
from pelton.shell.sender import Sender
from pelton.shell.standins import BannerTransport, CommandProducer
from pelton.shell.topic import SendReceipt, Topic
from pelton.shell.viewing import Viewing
from pelton.shell.web import Web
from pelton.shell.worker import AppCommand, Worker
from pelton.state.cache import TableCache
from pelton.state.rocksdb import RocksStores
from pelton.stream.event import Event
from pelton.stream.lane import CURRENT_LANE
from pelton.stream.refused import Refused
from pelton.stream.stream import Stream
from pelton.web.peers import Peers

if TYPE_CHECKING:
    from pelton.tracing.tracer import Tracer

__all__ = ["App", "current_event"]

V = TypeVar("V")
K = TypeVar("K")

#: Makes an agent of a function of a stream; tombstones are None.
_Decorator = Callable[[Callable[[Stream[V]], Any] | Callable[[Stream[V | None]], Any]], Agent[V]]

register_records()


# What is declared with ours is typed, and takes what the engine has.
class App(Declarations, Entities, Connectors, LeaderOnly, Querying, Viewing, faust.App):  # type: ignore[misc]
    """An application: its topics, tables and agents, and the worker that runs them.

    Takes what `faust.App` takes. The broker is the embedded log unless `broker=` or BROKER_URL says otherwise, and
    the processing guarantee is exactly_once unless `processing_guarantee=` or PROCESSING_GUARANTEE does. Settings of
    the engine (docs/settings.md) are given as keyword arguments too, or as PELTON_… variables. The web server listens
    to this machine only unless there is a token, `web_token=` or PELTON_WEB_TOKEN, that every request must bring.
    """

    BootStrategy: ClassVar[Any] = EngineBoot

    def __init__(self, id: str, **options: Any) -> None:
        check_settings(options)
        ours = {name: options.pop(name) for name in list(options) if name in EngineConfig.__dataclass_fields__}
        self.config: EngineConfig = load_config(os.environ, ours)
        self.web_token = Token.given(os.environ, options.pop("web_token", None))
        if (credentials := broker_credentials(os.environ)) is not None:
            options["broker_credentials"] = credentials
        self.clock: Clock = SystemClock()
        #: The program's own metrics, which `/metrics` shows beside the engine's.
        self.metrics = CollectorRegistry()
        options.setdefault("broker", "sqlite://")
        options.setdefault("processing_guarantee", "exactly_once")
        options.setdefault("store", "rocksdb://")
        options.setdefault("table_standby_replicas", 0)
        options.setdefault("web_bind", "127.0.0.1")
        options["Router"] = Router
        options.setdefault("Worker", Worker)
        self.declared_topics: list[Topic[Any, Any]] = []
        #: Of commands to entities, which this program has, or asks.
        self.command_topics: list[Topic[Any, Any]] = []
        self.declared_channels: list[Channel[Any]] = []
        self._tables: dict[str, Any] = {}
        #: The paths of pages that anybody may ask who signs.
        self.signed_paths: set[str] = set()
        self.links = []
        self.cards = []
        self._log: Log | None = None
        self._replies: Replies | None = None
        self._peers: Peers | None = None
        #: Where spans go while a worker runs that is to tell of its work; None otherwise.
        self.tracing: Tracer | None = None
        self.sender = Sender(lambda: self.log_connection, self._layout, lambda: self.tracing)
        self.repartition = Forwarding(self)
        self.leadership = Leadership(lambda: self.runtime)
        super().__init__(id, **options)
        self.engine = Engine(self)

    # -- declaring ---------------------------------------------------------------------------------

    @overload  # type: ignore[override]
    def agent(self, channel: Topic[Any, V] | Channel[V], **options: Any) -> _Decorator[V]: ...

    @overload
    def agent(self, channel: str | None = None, *, value_type: type[V], **options: Any) -> _Decorator[V]: ...

    @overload
    def agent(self, channel: str | None = None, **options: Any) -> Callable[[Callable[..., Any]], Agent[Any]]: ...

    def agent(
        self,
        channel: str | Topic[Any, V] | Channel[V] | None = None,
        *,
        name: str | None = None,
        concurrency: int = 1,
        sink: Iterable[Any] | None = None,
        key_type: type[Any] | None = None,
        value_type: type[V] | None = None,
        retries: int | Backoff | None = None,
        priority: int | None = None,
        **ignored: Any,
    ) -> Any:
        """Make an agent of an async function.

        channel: what it reads; a topic of its own, named after it, when None. key_type, value_type: those of a topic
            that is not declared elsewhere.
        retries: how often an event that fails is tried again before it is dead-lettered, or a `pelton.Backoff`.
        priority: that of its topics for this agent alone; their own when None.
        """
        check_agent_options(ignored)
        if not isinstance(channel, str | Topic | Channel | None):
            raise ConfigurationError(
                f"app.agent: expected a topic or a channel, got {channel!r}",
                hint="write @app.agent() or @app.agent(topic)",
            )

        def decorate(fun: Callable[..., Any]) -> Agent[V]:
            agent_name = name or qualname(fun)
            if agent_name in self.agents:
                raise ConfigurationError(f"agent {agent_name} is declared twice", hint="give one another name=")
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
                retries=retries,
                priority=priority,
            )
            self.agents[agent_name] = agent  # type: ignore[assignment]
            attach(agent, category=SCAN_AGENT)
            return agent

        return decorate

    actor = agent  # type: ignore[assignment]

    def command(
        self, *options: Any, base: type[cli.AppCommand] | None = None, **kwargs: Any
    ) -> Callable[[Callable[..., Awaitable[Any]]], type[cli.AppCommand]]:
        """Make a command of an async function: `faust -A app <its name>`.

        options: `pelton.option(...)` and `pelton.argument(...)`, in the order that the command takes them.
        """
        return super().command(*options, base=base or AppCommand, **kwargs)

    @property
    def tables(self) -> dict[str, Any]:  # type: ignore[override]
        """The application's tables by name."""
        return self._tables

    def tables_used_by(self, fun: Callable[..., Any]) -> frozenset[str]:
        """Return the names of the tables that a function refers to."""
        return tables_used_by(fun, self._tables)

    def stream(self, channel: Any, **ignored: Any) -> Any:  # type: ignore[override]
        """Return a stream over a channel, to be iterated outside of agents.

        Raises: ConfigurationError for anything else: nothing could commit a topic's positions.
        """
        check_stream_options(ignored)
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
        target = Topic[Any, Any](self, (channel,)) if isinstance(channel, str) else channel
        if not isinstance(target, Topic | Channel | Agent):
            raise ConfigurationError(
                f"app.send: cannot send to {channel!r}", hint="send to a topic, its name, a channel or an agent"
            )
        return await target.send(key=key, value=value, **options)  # pyright: ignore[reportUnknownMemberType]

    def _layout(self, name: str) -> TopicSpec:
        """Return how a topic is to be made when something is sent to it before a worker has declared it."""
        topics = [*self.declared_topics, *self.command_topics]
        specs = [spec for topic in topics for spec in topic.specs() if spec.name == name]
        spec = max(specs, key=lambda one: one.partitions or 0, default=TopicSpec(name))
        return replace(spec, partitions=spec.partitions or int(self.conf.topic_partitions))

    @property
    def replies(self) -> Replies:
        """The answers to this process's requests."""
        if self._replies is None:
            retention_ms = int(self.conf.reply_expires * 1000)
            self._replies = Replies(lambda: self.log_connection, reply_topic(self.conf.id), retention_ms)
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
        self.conf.datadir.mkdir(parents=True, exist_ok=True)
        log = self.another_log()
        await log.open()
        self._log = log

    def another_log(self) -> Log:
        """Return a connection to the log that the broker URL names, not yet open; who asked closes it."""
        conf = self.conf
        return log_for(
            [URL(str(url)) for url in conf.broker],
            conf.datadir,
            client_id=str(conf.broker_client_id),
            credentials=conf.broker_credentials,
            ssl_context=conf.ssl_context,
            clock=self.clock,
        )

    async def close_log(self) -> None:
        """Wait for the messages under way, and close the log. Idempotent."""
        await self.sender.flush()
        if self._replies is not None:
            await self._replies.stop()
            self._replies = None
        if self._peers is not None:
            await self._peers.close()
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

    def _new_web(self) -> Any:
        return Web(self)

    def _load_settings(self, *, silent: bool = False) -> Any:
        conf = super()._load_settings(silent=silent)
        check_broker_urls(URL(str(url)) for url in (*conf.broker, *conf.broker_consumer, *conf.broker_producer))
        check_one_cluster(conf.broker, broker_consumer=conf.broker_consumer, broker_producer=conf.broker_producer)
        return conf

    @property  # type: ignore[misc]
    def transport(self) -> Any:
        """What the worker's banner shows as the transport."""
        return BannerTransport(f"pelton ({URL(str(self.conf.broker[0])).scheme})")

    @property  # type: ignore[misc]
    def producer(self) -> Any:
        """What Faust's commands see as the producer."""
        return CommandProducer(self)

    @property
    def _producer(self) -> Any:  # type: ignore[override]
        return CommandProducer(self) if self._log is not None else None

    def itertimer(self, interval: Any, **options: Any) -> Any:
        """Yield once every so many seconds, by the application's clock (Faust's `@app.timer` asks so)."""
        return super().itertimer(interval, **{"clock": self.clock.monotonic, **options})

    async def on_first_start(self) -> None:
        """Make the directories."""
        cast(EngineBoot, self.boot_strategy).make_directories()

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
            if self.runtime is None:
                return True
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
