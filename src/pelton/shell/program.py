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
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, get_type_hints

from pelton.errors import ConfigurationError
from pelton.log.contract import TopicSpec
from pelton.runtime.runtime import Program
from pelton.runtime.spec import AgentSpec
from pelton.shell.agent import Agent
from pelton.shell.table import Table
from pelton.shell.topic import Topic, TopicOptions
from pelton.shell.windowed import WindowedTable
from pelton.stream.lane import Chunk, Lane, Send
from pelton.stream.stream import Processor, Stream, StreamEnded

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["Forwarding", "build_program", "tables_used_by"]

#: How deep calls are followed when looking for tables.
_DEPTH_MAX = 4


# -- tables ----------------------------------------------------------------------------------------


def tables_used_by(fun: Callable[..., Any], known: Mapping[str, object]) -> frozenset[str]:
    """Return the names of the tables that a function refers to, itself or through the functions it calls.

    known: the application's tables by name. Found are tables in global variables, closures, and attributes of modules;
    one that is reached in other ways is found when it is used.
    """
    found: set[str] = set()
    _search(fun, found, set(), _DEPTH_MAX)
    return frozenset(found & set(known))


def _search(fun: Any, found: set[str], seen: set[int], depth: int) -> None:
    fun = inspect.unwrap(fun)
    if not isinstance(fun, FunctionType) or id(fun) in seen or depth == 0:
        return
    seen.add(id(fun))
    for thing in _mentioned(fun):
        if isinstance(thing, Table | WindowedTable):
            found.add(thing.name)
        elif isinstance(thing, FunctionType) and thing.__module__.split(".")[0] == fun.__module__.split(".")[0]:
            _search(thing, found, seen, depth - 1)


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

    def forward(self, stream: Stream[Any], topic: object, key: Callable[[Any], Any] | None) -> Stream[Any]:
        """Return the stream over the topic: its lane reads it already, the forwarding has an agent of its own."""
        return Stream(stream.feed, stream.lane, self)

    def grouping_topic(self, stream: Stream[Any], name: str, partitions: int | None) -> object:
        """Return the name of the topic; while running only the name matters."""
        return name

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
        self.steps: list[_Forward] = []

    def forward(self, stream: Stream[Any], topic: object, key: Callable[[Any], Any] | None) -> Stream[Any]:
        target = topic if isinstance(topic, Topic) else self._named(str(topic))
        self.steps.append(_Forward(self.source, tuple(stream.processors), target, key))
        self.source = target
        return Stream(stream.feed, stream.lane, self)

    def grouping_topic(self, stream: Stream[Any], name: str, partitions: int | None) -> object:
        value_type = self.source.value_type
        key_type = get_type_hints(value_type).get(name, str) if isinstance(value_type, type) else str
        return Topic(
            self.app,
            (f"{self.app.conf.id}-{self.agent.name.rpartition('.')[2]}-{name}-repartition",),
            key_type=key_type,
            value_type=value_type,
            value_serializer=self.source.value_serializer,
            options=TopicOptions(partitions=partitions or self.source.partitions, internal=True),
        )

    def _named(self, name: str) -> Topic[Any, Any]:
        return self.source.derive(topics=(name,), options=TopicOptions(partitions=self.source.partitions))


class _EmptyFeed:
    """A feed that ends at once."""

    async def next_chunk(self, lane: Lane, *, limit: int | None = None, timeout_s: float | None = None) -> Chunk | None:
        raise StreamEnded

    def monotonic(self) -> float:
        return 0.0


class _NoOutbox:
    def extend(self, sends: object) -> None:
        """Take nothing: the stream was empty."""


async def _plan(app: App, agent: Agent[Any]) -> list[_Forward]:
    """Return through which topics an agent's stream goes."""
    if not {"group_by", "through"} & set(_names(inspect.unwrap(agent.fun).__code__)):
        return []
    planner = _Planner(app, agent)
    result = agent.fun(Stream(_EmptyFeed(), Lane(agent.name, 0, 0, _NoOutbox()), planner))
    if isinstance(result, AsyncGenerator):
        async for _ in result:
            pass
    else:
        await result
    return planner.steps


def _forwarder(app: App, agent: Agent[Any], step: _Forward, number: int) -> Agent[Any]:
    """Return the agent that carries out one step."""

    async def forward(stream: Stream[Any]) -> None:
        lane = stream.bound()[1]
        for processor in step.processors:
            stream.add_processor(processor)
        async for value in stream:
            key: Any = lane.raw_key if step.key is None else step.key(value)
            if isinstance(key, Awaitable):
                key = await key
            lane.send(step.target.outgoing(key, value))

    name = f"{agent.name}:{step.target}"
    return Agent(app, forward, name=name, channel=step.source, help=f"repartitions for {agent.name}, step {number}")


# -- the whole -------------------------------------------------------------------------------------


async def build_program(app: App) -> Program:
    """Return what the application's declarations amount to.

    Raises: ConfigurationError when they contradict each other.
    """
    agents: dict[str, AgentSpec] = {}
    outputs: dict[str, TopicSpec] = {}
    for topic in app.declared_topics:
        for spec in topic.specs():
            _add_topic(outputs, spec)
    for agent in app.agents.values():
        if not isinstance(agent.channel, Topic):
            continue
        steps = await _plan(app, agent)
        for number, step in enumerate(steps):
            forwarder = _forwarder(app, agent, step, number).spec()
            agents[forwarder.name] = forwarder
        spec = agent.spec()
        if steps:
            spec = replace(
                spec, sources=Agent(app, agent.fun, name=agent.name, channel=steps[-1].target).spec().sources
            )
        agents[spec.name] = spec
    for one in agents.values():
        for source in one.sources.values():
            _add_topic(outputs, source.topic)
    return Program(agents, {name: table.spec() for name, table in app.tables.items()}, outputs)


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
