"""From an application's declarations to a program that the runtime can run.

Two things have to be known before a start that Faust leaves to run time: which tables an agent uses, so that their
partitions can be checked against its topics, and through which topics a grouped stream goes, so that they exist and
are read. The first is read off the names in the agent's code; for the second the agent's function is called once with
an empty stream.
"""

# pyright: basic
# It reads functions and modules of the user's program, which have no types to speak of; mypy checks it strictly.
from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, get_type_hints

from pelton.aggregate import Aggregate
from pelton.codec.contract import Codec
from pelton.errors import ConfigurationError, CopartitioningError
from pelton.log.contract import TopicSpec
from pelton.runtime.spec import OF_OPERATORS, AgentSpec, Program, TableSpec
from pelton.shell.agent import Agent
from pelton.shell.channel import Channel
from pelton.shell.joined import JoinedTables
from pelton.shell.operator_windows import PlannedWindows
from pelton.shell.table import Table
from pelton.shell.topic import Topic, TopicOptions
from pelton.shell.windowed import WindowedTable
from pelton.stream.call_limits import RateLimit, TokenBucket
from pelton.stream.dedupe import Dedupe
from pelton.stream.joining import JoinInput
from pelton.stream.joins import JoinSources
from pelton.stream.lane import Chunk, Lane, Send
from pelton.stream.stream import Processor, Stream, StreamEnded
from pelton.stream.window_plan import WindowPlan

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["Forwarding", "build_program", "places_used_by", "tables_used_by"]

#: How deep calls are followed when looking for tables and regroupings.
_DEPTH_MAX = 4


# -- tables ----------------------------------------------------------------------------------------


def tables_used_by(fun: Callable[..., Any], known: Mapping[str, object]) -> frozenset[str]:
    """Return the names of the tables that a function refers to, itself or through the functions it calls.

    known: the application's tables by name. Found are tables in global variables, closures, and attributes of modules;
    one that is reached in other ways is found when it is used.
    """
    mentioned = (thing for one in _functions(fun) for thing in _mentioned(one))
    return frozenset(thing.name for thing in mentioned if isinstance(thing, Table | WindowedTable)) & set(known)


def places_used_by(fun: Callable[..., Any]) -> Iterator[Topic[Any, Any] | Channel[Any]]:
    """Yield topics and channels that a function refers to, itself or through others, or as those of agents."""
    mentioned = (thing for one in _functions(fun) for thing in _mentioned(one))
    places = (thing.channel if isinstance(thing, Agent) else thing for thing in mentioned)
    return (place for place in places if isinstance(place, Topic | Channel))


def _functions(fun: Any, seen: set[int] | None = None, depth: int = _DEPTH_MAX) -> Iterator[FunctionType]:
    """Yield a function and those of the program that it calls, some levels deep, each once."""
    seen = set() if seen is None else seen
    fun = inspect.unwrap(fun)
    if not isinstance(fun, FunctionType) or id(fun) in seen or depth == 0:
        return
    seen.add(id(fun))
    yield fun
    for thing in _mentioned(fun):
        if isinstance(thing, FunctionType) and thing.__module__.split(".")[0] == fun.__module__.split(".")[0]:
            yield from _functions(thing, seen, depth - 1)


def _mentioned(fun: FunctionType) -> Iterator[Any]:
    """Yield the global objects, closure cells and attributes of modules that a function's code names."""
    names = set(_names(fun.__code__))
    for cell in fun.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue  # a cell that is not filled yet
    for name in names:
        thing = fun.__globals__.get(name)
        yield thing
        if isinstance(thing, ModuleType):
            for inner in names:
                yield thing.__dict__.get(inner)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


# -- grouped streams -------------------------------------------------------------------------------


class Forwarding:
    """What a stream's `group_by` and `through` do while the program runs: go on from the topic they lead to."""

    def __init__(self, app: App) -> None:
        self.app = app
        #: The agents whose steps were found at the start.
        self.planned: set[str] = set()
        #: Tables of operators -> what says when their calls may begin.
        self._buckets: dict[str, TokenBucket] = {}
        #: (agent, name of the join) -> what it reads, found at the start.
        self.joins: dict[tuple[str, str], JoinSources[Any]] = {}
        #: The table of an operator -> the windows in it, found at the start.
        self.windows: dict[str, PlannedWindows] = {}

    def forward(self, stream: Stream[Any], topic: object, key: Callable[[Any], Any] | None) -> Stream[Any]:
        """Return the stream over the topic: its lane reads it already, the forwarding has an agent of its own.

        Raises: ConfigurationError where nobody forwards, for events would stay in the wrong partition without a word.
        """
        agent = stream.bound()[1].agent
        if agent not in self.planned:
            raise ConfigurationError(
                f"agent {agent} sends its stream through another topic in a place that was not seen at the start",
                hint="call stream.group_by or stream.through in the agent's own function, which must read a topic",
            )
        return Stream(stream.feed, stream.lane, self)

    def grouping_topic(self, stream: Stream[Any], name: str, partitions: int | None) -> object:
        """Return the name of the topic; while running only the name matters."""
        return name

    def operator_table(self, stream: Stream[Any], name: str) -> str:
        """Return the name of the table in which an operator of the stream keeps its state."""
        return f"{stream.bound()[1].agent.rpartition('.')[2]}-{name}"

    def note_windows(self, stream: Stream[Any], plan: WindowPlan, aggregates: Mapping[str, Aggregate[Any]]) -> None:
        """Do nothing: start-up has noted them."""

    def call_bucket(self, stream: Stream[Any], table: str, limit: RateLimit) -> TokenBucket:
        """Return what says when calls of an operator may begin, the same for all partitions of this worker."""
        return self._buckets.setdefault(table, TokenBucket(limit))

    def join_sources(
        self, stream: Stream[Any], other: object, name: str, on: tuple[Any, Any] | None
    ) -> JoinSources[Any]:
        """Return what a join reads, as it was planned. Raises: ConfigurationError where it was not."""
        agent = stream.bound()[1].agent
        sources = self.joins.get((agent, name))
        if sources is None:
            raise ConfigurationError(
                f"agent {agent} joins its stream in a place that was not seen at the start",
                hint="call stream.join in the agent's own function, and write within= there",
            )
        if on is not None:
            stream = Stream(stream.feed, stream.lane, self)  # what repartitions it has processed it
        return replace(sources, stream=stream)

    async def send(self, channel: Any, key: Any = None, value: Any = None, **options: Any) -> Awaitable[Any]:
        """Send a message to a topic, a channel, an agent, or a topic by name."""
        return await self.app.send(channel, key=key, value=value, **options)

    def outgoing(self, topic: object) -> Callable[[object, object], Send]:
        """Return what makes a message for a topic out of a key and a value."""
        target = topic if isinstance(topic, Topic) else self.app.topic(str(topic))
        return target.outgoing


@dataclass(frozen=True, slots=True)
class _Forward:
    """One step of a plan: from what the agent reads so far, through processors, to a topic."""

    source: Topic[Any, Any]
    processors: tuple[Processor, ...]
    target: Topic[Any, Any]
    key: Callable[[Any], Any] | None


class _Planner(Forwarding):
    """Notes what `group_by` and `through` ask for, while the agent's function runs over an empty stream."""

    def __init__(self, app: App, agent: Agent[Any]) -> None:
        super().__init__(app)
        self.agent = agent
        self.source: Topic[Any, Any] = agent.channel  # type: ignore[assignment]
        #: What the names of the topics for repartitioning begin with.
        self.label = agent.name.rpartition(".")[2]
        self.steps: list[_Forward] = []
        self.tables: list[TableSpec] = []
        #: What else the agent reads, by the name of the join that asks for it.
        self.joined: dict[str, tuple[Topic[Any, Any], JoinSources[Any]]] = {}

    def operator_table(self, stream: Stream[Any], name: str) -> str:
        table = super().operator_table(stream, name)
        if table in {spec.name for spec in self.tables}:
            raise ConfigurationError(
                f"agent {self.agent.name}: two of its operators keep their state under one name",
                hint='name them, as in stream.window(..., name="per_minute")',
            )
        if self.agent.concurrency > 1:
            raise ConfigurationError(
                f"agent {self.agent.name} has operators with state and concurrency={self.agent.concurrency}",
                hint="windows, joins and timers follow the order of the log, and map_async has a concurrency of its "
                "own: leave the agent's out",
            )
        changelog = TopicSpec(f"{self.app.conf.id}-{table}-changelog", cleanup_policy="compact")
        self.tables.append(TableSpec(table, changelog))
        return table

    def note_windows(self, stream: Stream[Any], plan: WindowPlan, aggregates: Mapping[str, Aggregate[Any]]) -> None:
        self.windows[plan.table] = PlannedWindows(plan, aggregates, self.source.codecs()[0])

    def forward(self, stream: Stream[Any], topic: object, key: Callable[[Any], Any] | None) -> Stream[Any]:
        target = topic if isinstance(topic, Topic) else self._named(str(topic))
        self.steps.append(_Forward(self.source, tuple(stream.processors), target, key))
        self.source = target
        return Stream(stream.feed, stream.lane, self)

    def join_sources(
        self, stream: Stream[Any], other: object, name: str, on: tuple[Any, Any] | None
    ) -> JoinSources[Any]:
        assert isinstance(other, Topic)
        if self.joined:
            raise ConfigurationError(
                f"agent {self.agent.name} joins twice", hint="send the result of one join to a topic, and join that"
            )
        if on is not None:
            stream, other = self._repartitioned(stream, other, on)
        self._check_joinable(other)
        left = self._input(self.source, processed=bool(stream.processors))
        sources = JoinSources(stream, left, self._input(other), self.operator_table(stream, name))
        self.joined[name] = other, sources
        return sources

    def _repartitioned(
        self, stream: Stream[Any], other: Topic[Any, Any], on: tuple[Any, Any]
    ) -> tuple[Stream[Any], Topic[Any, Any]]:
        """Have both inputs of a join repartitioned by a field of each, into as many partitions."""
        partitions = self.source.partitions or other.partitions
        left, target = stream.group_by(on[0], partitions=partitions), self.source
        self.source, self.label = other, f"{self.label}-{'-'.join(other.topics)}"
        Stream[Any](stream.feed, stream.lane, self).group_by(on[1], partitions=target.partitions)
        other, self.source = self.source, target
        return left, other

    def _check_joinable(self, other: Topic[Any, Any]) -> None:
        if set(self.source.topics) & set(other.topics):
            raise ConfigurationError(
                f"agent {self.agent.name} joins {other} with itself",
                hint="send one side through a topic of its own first",
            )
        mine, theirs = self.source.codecs()[0], other.codecs()[0]
        if (mine.name, mine.type) != (theirs.name, theirs.type):
            raise CopartitioningError(
                f"agent {self.agent.name} joins {self.source}, whose keys are {_keys(mine)}, "
                f"and {other}, whose keys are {_keys(theirs)}: they would never be equal",
                hint="give both the same key_type, or join by a field of each: on=(Order.id, Payment.order_id)",
            )

    def _input(self, topic: Topic[Any, Any], *, processed: bool = False) -> JoinInput:
        codec = topic.codecs()[1]
        return JoinInput(frozenset(topic.topics), codec.decode, codec.encode, processed=processed)

    def grouping_topic(self, stream: Stream[Any], name: str, partitions: int | None) -> object:
        value_type = self.source.value_type
        key_type = get_type_hints(value_type).get(name, str) if isinstance(value_type, type) else str
        return Topic(
            self.app,
            (f"{self.app.conf.id}-{self.label}-{name}-repartition",),
            key_type=key_type,
            value_type=value_type,
            value_serializer=self.source.value_serializer,
            # Its records have the times of their events. By any retention, those of old events could be gone before
            # they are read, and nobody would know: there is no committed position yet that they are missing at. So
            # they are kept until they have been read (`pelton.runtime.purging`).
            options=TopicOptions(
                partitions=partitions or self.source.partitions,
                retention=-1,
                internal=True,
                purged=True,
                priority=self.source.options.priority,
            ),
        )

    def _named(self, name: str) -> Topic[Any, Any]:
        return self.source.derive(topics=(name,), options=TopicOptions(partitions=self.source.partitions))


def _keys(codec: Codec[Any]) -> str:
    return f"{getattr(codec.type, '__name__', 'of any type')} ({codec.name})"


class _EmptyFeed:
    """A feed that ends at once."""

    async def next_chunk(self, lane: Lane, *, limit: int | None = None, timeout_s: float | None = None) -> Chunk | None:
        raise StreamEnded

    def turn(self, lane: Lane) -> None:
        raise StreamEnded

    def monotonic(self) -> float:
        return 0.0

    def time_ms(self) -> int:
        return 0

    def waiting(self) -> tuple[str, ...]:
        return ()

    def listening_since_s(self) -> float:
        return 0.0


class _NoOutbox:
    def extend(self, sends: object) -> None:
        """Take nothing: the stream was empty."""


async def _plan(app: App, agent: Agent[Any]) -> _Planner:
    """Return through which topics an agent's stream goes, and which tables its operators keep."""
    planner = _Planner(app, agent)
    if not _needs_plan(agent.fun):
        return planner
    result = agent.fun(Stream(_EmptyFeed(), Lane(agent.name, 0, 0, _NoOutbox()), planner))
    if isinstance(result, AsyncGenerator):
        async for _ in result:
            pass
    else:
        await result
    return planner


#: Operators of streams that need topics or tables of their own.
_PLANNED = {"group_by", "through", "window", "agg", "dedupe", "asof_join", "map_async", "timers"}


def _needs_plan(fun: Callable[..., Any]) -> bool:
    """Return whether a function, or one that it calls, may lead a stream through other topics or tables."""
    return any(_PLANNED & set(_names(one.__code__)) or _joins_streams(one.__code__) for one in _functions(fun))


def _joins_streams(code: CodeType) -> bool:
    """Return whether code may join streams; most code that says `join` joins strings, and says no `within=`."""
    joins = {"join", "inner_join", "left_join", "outer_join"} & set(_names(code))
    return bool(joins) and "within" in set(_keywords(code))


def _keywords(code: CodeType) -> Iterator[str]:
    """Yield the names of keyword arguments that code passes (and other text in its constant tuples)."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _keywords(constant)
        elif isinstance(constant, tuple):
            yield from (name for name in constant if isinstance(name, str))


def _forwarder(app: App, agent: Agent[Any], step: _Forward, number: int) -> Agent[Any]:
    """Return the agent that carries out one step."""

    async def forward(stream: Stream[Any]) -> None:
        lane = stream.bound()[1]
        for processor in step.processors:
            # What was planned is one for all partitions; what it remembers of one must not decide about another.
            stream.add_processor(processor.anew(stream.feed) if isinstance(processor, Dedupe) else processor)
        async for value in stream:
            key: Any = lane.raw_key if step.key is None else step.key(value)
            if isinstance(key, Awaitable):
                key = await key
            lane.send(step.target.outgoing(key, value))

    name = f"{agent.name}:{step.target}"
    help_ = f"repartitions for {agent.name}, step {number}"
    return Agent(
        app, forward, name=name, channel=step.source, help=help_, retries=agent.retries, priority=agent.priority
    )


# -- the whole -------------------------------------------------------------------------------------


async def build_program(app: App) -> Program:
    """Return what the application's declarations amount to.

    Raises: ConfigurationError when they contradict each other, or ask for what cannot be written.
    """
    agents: dict[str, AgentSpec] = {}
    tables, versions = _tables(app)
    outputs: dict[str, TopicSpec] = {}
    for topic in app.declared_topics:
        topic.codecs()
        for layout in topic.specs():
            _add_topic(outputs, layout)
    for agent in app.agents.values():
        if not isinstance(agent.channel, Topic):
            continue
        plan = await _plan(app, agent)
        steps = plan.steps
        for number, step in enumerate(steps):
            forwarder = _forwarder(app, agent, step, number).spec()
            agents[forwarder.name] = forwarder
        spec = agent.spec()
        own = [*_ranked(plan.tables), *agent.own_tables()]
        if isinstance(agent.channel, JoinedTables):
            spec = replace(spec, joins=True)
            own = _ranked([*agent.own_tables(), *plan.tables])  # the join comes before what the function asks for
        for table in own:
            _add_table(tables, table)
        used = {*spec.tables, *(versions[name] for name in spec.tables if name in versions)}
        spec = replace(spec, tables=frozenset(used | {table.name for table in own}))
        app.repartition.windows |= plan.windows
        if steps:
            app.repartition.planned.add(agent.name)
            spec = replace(spec, sources=_read_by(app, agent, plan.source).sources)
        for name, (other, sources) in plan.joined.items():
            app.repartition.joins[agent.name, name] = sources
            spec = replace(spec, sources={**spec.sources, **_read_by(app, agent, other).sources}, joins=True)
        agents[spec.name] = spec
    for one in agents.values():
        for source in one.sources.values():
            _add_topic(outputs, source.topic)
    return Program(agents, tables, outputs)


def _tables(app: App) -> tuple[dict[str, TableSpec], dict[str, str]]:
    """Return the declared tables, and the name of the table of its versions for each that has history."""
    for declared in app.tables.values():
        (declared.table if isinstance(declared, WindowedTable) else declared).codecs()
    tables = {name: table.spec() for name, table in app.tables.items()}
    versions = {name: spec.versions() for name, spec in tables.items() if spec.history is not None}
    for spec in versions.values():
        _add_table(tables, spec)
    for entity in app.entities.values():
        entity.check()
    return tables, {name: spec.name for name, spec in versions.items()}


def _ranked(tables: Sequence[TableSpec]) -> list[TableSpec]:
    """Return the tables of a stream's operators with their ranks: an event that one passes over, no later one sees."""
    return [replace(table, rank=OF_OPERATORS + after) for after, table in enumerate(reversed(tables))]


def _read_by(app: App, agent: Agent[Any], topic: Topic[Any, Any]) -> AgentSpec:
    """Return an agent as it is when it reads another topic."""
    return Agent(app, agent.fun, name=agent.name, channel=topic, priority=agent.priority).spec()


def _add_table(tables: dict[str, TableSpec], spec: TableSpec) -> None:
    """Add a table that the program did not declare by itself. Raises: ConfigurationError when its name is taken."""
    if spec.name in tables:
        raise ConfigurationError(
            f'two tables are named "{spec.name}": one of them is that of an operator in an agent, or holds versions',
            hint='name the operator, as in stream.window(..., name="per_minute"), or give the table another name',
        )
    tables[spec.name] = spec


def _add_topic(topics: dict[str, TopicSpec], spec: TopicSpec) -> None:
    """Add a topic; of two declarations of one name, the one that says more counts, and they must not contradict."""
    known = topics.get(spec.name)
    if known is not None and None not in (known.partitions, spec.partitions) and known.partitions != spec.partitions:
        raise ConfigurationError(
            f'topic "{spec.name}" is declared with {known.partitions} and with {spec.partitions} partitions',
            hint="declare it once, and import that",
            topic=spec.name,
        )
    if known is None or known.partitions is None:
        topics[spec.name] = spec
