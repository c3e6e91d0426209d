"""The topology as a graph: topics and channels of agents, and the tables they keep; as JSON and as Mermaid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

__all__ = ["Edge", "Graph", "Kind", "Node", "around", "as_json", "as_mermaid"]

Kind = Literal["topic", "agent", "table", "changelog", "channel"]


@dataclass(frozen=True, slots=True)
class Node:
    """A topic, an agent, a table or its changelog, or a channel in memory. help: what its declaration says of it."""

    kind: Kind
    name: str
    help: str = ""

    @property
    def id(self) -> str:
        """What tells it from all others: a table and a topic may have one name."""
        return f"{self.kind}:{self.name}"

    @property
    def path(self) -> str:
        """The address of its page."""
        name = quote(self.name, safe="")
        if self.kind in ("agent", "channel"):  # what is in a channel, nobody can look at
            return f"/topology?around={name}"
        return f"/tables/{name}" if self.kind == "table" else f"/topics/{name}"


@dataclass(frozen=True, slots=True)
class Edge:
    """What flows from one node to another, by their ids: records, or an agent's writes to a table."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes and edges, both in an order that does not change while the program does not."""

    nodes: Sequence[Node]
    edges: Sequence[Edge]

    def without_changelogs(self) -> Graph:
        """Return it without changelogs, of which each table has one; who reads one reads the table."""
        tables = {edge.target: edge.source for edge in self.edges if edge.target.startswith("changelog:")}
        edges = [Edge(tables.get(edge.source, edge.source), edge.target) for edge in self.edges]
        shown = {node.id for node in self.nodes if node.kind != "changelog"}
        return _kept(Graph(self.nodes, edges), shown)


def around(graph: Graph, name: str) -> Graph:
    """Return the nodes of that name with what they read from and send to, directly; empty when there is none."""
    centre = {node.id for node in graph.nodes if node.name == name}
    near = {end for edge in graph.edges if centre & {edge.source, edge.target} for end in (edge.source, edge.target)}
    return _kept(graph, centre | near)


def _kept(graph: Graph, ids: set[str]) -> Graph:
    return Graph(
        [node for node in graph.nodes if node.id in ids],
        [edge for edge in graph.edges if edge.source in ids and edge.target in ids],
    )


def as_json(graph: Graph) -> Mapping[str, Any]:
    """Return it as what JSON can hold."""
    return {
        "nodes": [{"id": one.id, "kind": one.kind, "name": one.name, "help": one.help} for one in graph.nodes],
        "edges": [{"source": one.source, "target": one.target} for one in graph.edges],
    }


_SHAPES: Mapping[Kind, tuple[str, str]] = {
    "topic": ("([", "])"),
    "agent": ("[", "]"),
    "table": ("[(", ")]"),
    "changelog": ("([", "])"),
    "channel": ("{{", "}}"),
}


def as_mermaid(graph: Graph) -> str:
    """Return it as a Mermaid flowchart, for Markdown pages."""
    short = {node.id: f"n{number}" for number, node in enumerate(graph.nodes)}
    return "\n".join(_mermaid_lines(graph, short)) + "\n"


def _mermaid_lines(graph: Graph, short: Mapping[str, str]) -> Iterable[str]:
    yield "flowchart LR"
    for node in graph.nodes:
        begin, end = _SHAPES[node.kind]
        name = "".join(one if one.isalnum() or one in " ._-" else f"#{ord(one)};" for one in node.name)
        yield f'    {short[node.id]}{begin}"{name}"{end}'
    for edge in graph.edges:
        yield f"    {short[edge.source]} --> {short[edge.target]}"
