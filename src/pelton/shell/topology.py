"""The graph of an application: what its agents read, keep and send to, as far as the program's text tells."""

# pyright: basic
# Faust is only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pelton.console.graph import Edge, Graph, Node
from pelton.runtime.spec import Program
from pelton.shell.program import topics_used_by

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["graph_of"]


def graph_of(app: App, program: Program) -> Graph:
    """Return topics, agents, tables and changelogs, and what flows between them.

    An agent sends to its sinks, to where its stream is repartitioned, and to the topics and agents that its code names,
    itself or in functions that it calls.
    """
    changelogs = {spec.changelog.name for spec in program.tables.values()}
    edges = list(dict.fromkeys(_edges(app, program)))
    named = {edge.source for edge in edges} | {edge.target for edge in edges}
    nodes = [
        *(Node("agent", name, _help(app.agents.get(name))) for name in sorted(program.agents)),
        *(Node("table", name, _help(app.tables.get(name))) for name in sorted(program.tables)),
        *(Node("changelog", name) for name in sorted(changelogs)),
        *(Node("topic", name) for name in sorted({*program.outputs, *program.sources()} - changelogs)),
    ]
    return Graph(
        [node for node in nodes if node.kind != "topic" or node.id in named], _as_changelogs(edges, changelogs)
    )


def _edges(app: App, program: Program) -> Iterator[Edge]:
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
    sinks = {topic for sink in declared.sinks for topic in _topics(sink)}
    return sinks | topics_used_by(declared.fun)


def _topics(sink: Any) -> list[str]:
    """Return the topics of a sink; a function, or a channel in memory, has none."""
    place = getattr(sink, "channel", sink)
    return list(getattr(place, "topics", ()))


def _as_changelogs(edges: list[Edge], changelogs: set[str]) -> list[Edge]:
    """Return the edges with changelogs that agents read by name under the one id that they have."""

    def known(one: str) -> str:
        kind, _, name = one.partition(":")
        return f"changelog:{name}" if kind == "topic" and name in changelogs else one

    return list(dict.fromkeys(Edge(known(edge.source), known(edge.target)) for edge in edges))


def _help(declared: Any) -> str:
    text = str(getattr(declared, "help", "") or "")
    return text.strip().partition("\n")[0]
