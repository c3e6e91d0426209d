"""The graph of an application: what its agents read, keep and send to, as far as the program's text tells."""

# pyright: basic
# Faust is only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pelton.console.graph import Edge, Graph, Node
from pelton.runtime.spec import Program
from pelton.shell.channel import Channel
from pelton.shell.program import places_used_by, tables_used_by

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["graph_of"]


def graph_of(app: App, program: Program) -> Graph:
    """Return topics, channels, agents, tables and changelogs, and what flows between them.

    An agent sends to its sinks, to where its stream is repartitioned, and to the topics, channels and agents that its
    code names, itself or in functions that it calls. A channel has no name: it goes by that of the agent that reads it.
    """
    changelogs = {spec.changelog.name for spec in program.tables.values()}
    channels = _channels(app)
    edges = list(dict.fromkeys(_edges(app, program, channels)))
    named = {edge.source for edge in edges} | {edge.target for edge in edges}
    nodes = [
        *(Node("agent", name, _help(app.agents.get(name))) for name in sorted({*program.agents, *app.agents})),
        *(Node("table", name, _help(app.tables.get(name))) for name in sorted(program.tables)),
        *(Node("changelog", name) for name in sorted(changelogs)),
        *(Node("topic", name) for name in sorted({*program.outputs, *program.sources()} - changelogs)),
        *(Node("channel", name, "in the memory of each worker") for name in channels.values()),
    ]
    return Graph(
        [node for node in nodes if node.kind != "topic" or node.id in named], _as_changelogs(edges, changelogs)
    )


def _channels(app: App) -> dict[Channel[Any], str]:
    """Return what each channel that agents read is called."""
    reading = {agent.channel: name for name, agent in sorted(app.agents.items(), reverse=True)}
    return {channel: f"{name} channel" for channel, name in reading.items() if isinstance(channel, Channel)}


def _edges(app: App, program: Program, channels: Mapping[Channel[Any], str]) -> Iterator[Edge]:
    for name, declared in sorted(app.agents.items()):
        if isinstance(declared.channel, Channel):
            yield Edge(f"channel:{channels[declared.channel]}", f"agent:{name}")
            for table in sorted(tables_used_by(declared.fun, app.tables)):
                yield Edge(f"agent:{name}", f"table:{table}")
            for topic in sorted(_targets(app, name)):
                yield Edge(f"agent:{name}", f"topic:{topic}")
        for channel in _channels_of(declared):
            if channel in channels and channel is not declared.channel:
                yield Edge(f"agent:{name}", f"channel:{channels[channel]}")
    for name, spec in sorted(program.agents.items()):
        agent = f"agent:{name}"
        for topic in sorted(spec.sources):
            yield Edge(f"topic:{topic}", agent)
        for table in sorted(spec.tables & set(program.tables)):
            yield Edge(agent, f"table:{table}")
        for topic in sorted(_targets(app, name) - set(spec.sources)):
            yield Edge(agent, f"topic:{topic}")
    for name, kept in sorted(program.tables.items()):
        yield Edge(f"table:{name}", f"changelog:{kept.changelog.name}")


def _targets(app: App, name: str) -> set[str]:
    declared: Any = app.agents.get(name)
    if declared is None:
        return {name.partition(":")[2]}  # one of the engine's that repartitions: it is named after where to
    return {topic for place in _places(declared) for topic in getattr(place, "topics", ())}


def _channels_of(declared: Any) -> list[Channel[Any]]:
    return [place for place in _places(declared) if isinstance(place, Channel)]


def _places(declared: Any) -> Iterator[Any]:
    """Yield what an agent sends to: topics, channels, and functions that are its sinks."""
    yield from (getattr(sink, "channel", sink) for sink in declared.sinks)
    yield from places_used_by(declared.fun)


def _as_changelogs(edges: list[Edge], changelogs: set[str]) -> list[Edge]:
    """Return the edges with changelogs that agents read by name under the one id that they have."""

    def known(one: str) -> str:
        kind, _, name = one.partition(":")
        return f"changelog:{name}" if kind == "topic" and name in changelogs else one

    return list(dict.fromkeys(Edge(known(edge.source), known(edge.target)) for edge in edges))


def _help(declared: Any) -> str:
    text = str(getattr(declared, "help", "") or "")
    return text.strip().partition("\n")[0]
