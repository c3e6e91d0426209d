"""A graph as SVG: for the page, where the style sheet colours it and figures come to it, and alone, for a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pelton.console.frame import markup
from pelton.console.graph import Graph, Node
from pelton.console.layout import laid_out

__all__ = ["drawn", "standalone_svg"]

_BOX = (176, 36)
_STEP = (240, 48)
_MARGIN = 8
_LABEL_CHARS = 25


@dataclass(frozen=True, slots=True)
class _Box:
    """A node in its place. label: the name, or the end of it where it is too long for the box."""

    node: Node
    x: float
    y: float
    label: str


@dataclass(frozen=True, slots=True)
class _Line:
    source: str
    target: str
    path: str


def drawn(graph: Graph) -> Markup:
    """Return a graph as an SVG element whose nodes are links, and carry their ids as `data-node`."""
    return _svg(graph, alone=False)


def standalone_svg(graph: Graph) -> str:
    """Return it as a file: with its colours in it, and without links."""
    return str(_svg(graph, alone=True))


def _svg(graph: Graph, *, alone: bool) -> Markup:
    layout = laid_out([node.id for node in graph.nodes], [(edge.source, edge.target) for edge in graph.edges])
    at = {name: _corner(column, row) for name, (column, row) in layout.places.items()}
    boxes = [_Box(node, *at[node.id], _label(node.name)) for node in graph.nodes]
    lines = [_Line(source, target, _path(route)) for (source, target), route in layout.routes.items()]
    size = layout.width * _STEP[0] - (_STEP[0] - _BOX[0]) + 2 * _MARGIN, layout.height * _STEP[1] + 2 * _MARGIN
    return markup("topology.svg", boxes=boxes, lines=lines, box=_BOX, size=size, alone=alone)


def _corner(column: int, row: float) -> tuple[float, float]:
    return _MARGIN + column * _STEP[0], round(_MARGIN + row * _STEP[1], 1)


def _label(name: str) -> str:
    """Return what fits: of a dotted name its end, which tells most."""
    if len(name) <= _LABEL_CHARS:
        return name
    end = name.rpartition(".")[2]
    return end if len(end) <= _LABEL_CHARS else f"{end[: _LABEL_CHARS - 1]}…"


def _path(route: Sequence[tuple[int, float]]) -> str:
    """Return the curve of an edge: out of a box at its side, and straight through each column that it passes."""
    forward = route[-1][0] > route[0][0]
    (width, height), points = _BOX, [_corner(*place) for place in route]
    enter, leave = (0, width) if forward else (width, 0)
    x, y = points[0][0] + leave, points[0][1] + height / 2
    path = f"M{x:.0f} {y:.1f}"
    for index, (left, top) in enumerate(points[1:], 1):
        to_x, to_y = left + enter, top + height / 2
        bend = (to_x - x) / 2
        path += f"C{x + bend:.0f} {y:.1f} {to_x - bend:.0f} {to_y:.1f} {to_x:.0f} {to_y:.1f}"
        x, y = to_x, to_y
        if index < len(points) - 1:
            x = left + leave
            path += f"H{x:.0f}"
    return path
