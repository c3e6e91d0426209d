"""Where the nodes of a graph are drawn: in columns from left to right, so that few edges cross.

The layered method: edges that would close a cycle are turned around for the while; each node comes one column behind
the last that it depends on; where an edge spans several columns, it gets a waypoint in each between; columns are
ordered by the mean place of their neighbours, back and forth, and the order with fewest crossings is kept; then
places are evened out. Parts that hang together are laid out by themselves, one below the other. Nothing is random.
Source: Sugiyama, Tagawa, Toda, Methods for Visual Understanding of Hierarchical System Structures, IEEE SMC 11, 1981.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Layout", "laid_out"]

_SWEEPS = 12
_EVENING = 20

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Layout:
    """Places in columns and rows, from 0 on; rows may be fractions. width, height: how many of each there are.

    places: node -> (column, row). routes: edge -> where it passes, from its source to its target.
    """

    places: Mapping[str, tuple[int, float]]
    routes: Mapping[Pair, Sequence[tuple[int, float]]]
    width: int
    height: float


def laid_out(nodes: Sequence[str], edges: Sequence[Pair]) -> Layout:
    """Return where everything goes. Edges of a node to itself, and second ones between the same two, are left out."""
    known = set(nodes)
    pairs = list(dict.fromkeys(one for one in edges if one[0] != one[1] and known.issuperset(one)))
    places: dict[str, tuple[int, float]] = {}
    routes: dict[Pair, Sequence[tuple[int, float]]] = {}
    below, width = 0.0, 0
    for part in _parts(nodes, pairs):
        inside = set(part)
        one = _part_laid_out(part, [pair for pair in pairs if pair[0] in inside])
        places |= {node: (column, row + below) for node, (column, row) in one.places.items()}
        routes |= {pair: [(column, row + below) for column, row in way] for pair, way in one.routes.items()}
        below, width = below + one.height + 0.5, max(width, one.width)
    return Layout(places, routes, width, max(0.0, below - 0.5))


def _parts(nodes: Sequence[str], edges: Sequence[Pair]) -> list[list[str]]:
    """Return what hangs together, the largest first."""
    near: defaultdict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        near[source].append(target)
        near[target].append(source)
    parts: list[list[str]] = []
    seen: set[str] = set()
    for node in nodes:
        if node in seen:
            continue
        seen.add(node)
        reached, waiting = {node}, deque([node])
        while waiting:
            for other in near[waiting.popleft()]:
                if other not in seen:
                    seen.add(other)
                    reached.add(other)
                    waiting.append(other)
        parts.append([one for one in nodes if one in reached])
    return sorted(parts, key=lambda part: -len(part))


def _part_laid_out(nodes: Sequence[str], edges: Sequence[Pair]) -> Layout:
    turned = _cycle_edges(nodes, edges)
    forward = [(pair[1], pair[0]) if pair in turned else pair for pair in edges]
    columns = _columns(nodes, forward)
    ways = {pair: _waypoints(pair, along, columns) for pair, along in zip(edges, forward, strict=True)}
    order = _ordered(nodes, columns, ways.values())
    rows = _rows(order, _links(ways.values()))
    place = {node: (columns[node], rows[node]) for node in nodes}
    column_of = {node: number for number, column in enumerate(order) for node in column}
    routes: dict[Pair, Sequence[tuple[int, float]]] = {}
    for pair, way in ways.items():
        points = [(column_of[node], rows[node]) for node in way]
        routes[pair] = points[::-1] if pair in turned else points
    return Layout(place, routes, len(order), max(rows.values(), default=0.0) + 1)


def _cycle_edges(nodes: Sequence[str], edges: Sequence[Pair]) -> set[Pair]:
    """Return edges without which there is no cycle: those that lead back on a walk in depth."""
    behind: defaultdict[str, list[str]] = defaultdict(list)
    entered = {target for _, target in edges}
    for source, target in edges:
        behind[source].append(target)
    back: set[Pair] = set()
    done: set[str] = set()
    on_way: set[str] = set()
    for start in sorted(nodes, key=lambda node: node in entered):
        stack = [(start, iter(behind[start]))] if start not in done else []
        on_way.update(node for node, _ in stack)
        while stack:
            node, others = stack[-1]
            other = next(others, None)
            if other is None:
                stack.pop()
                on_way.discard(node)
                done.add(node)
            elif other in on_way:
                back.add((node, other))
            elif other not in done:
                on_way.add(other)
                stack.append((other, iter(behind[other])))
    return back


def _columns(nodes: Sequence[str], edges: Iterable[Pair]) -> dict[str, int]:
    """Return the column of each node: behind all that lead to it, and sources right in front of what they lead to."""
    before: defaultdict[str, list[str]] = defaultdict(list)
    behind: defaultdict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        before[target].append(source)
        behind[source].append(target)
    columns: dict[str, int] = {}
    left = {node: len(before[node]) for node in nodes}
    ready = deque(node for node in nodes if not left[node])
    while ready:
        node = ready.popleft()
        columns[node] = max((columns[one] + 1 for one in before[node]), default=0)
        for other in behind[node]:
            left[other] -= 1
            if not left[other]:
                ready.append(other)
    for node in nodes:
        if not before[node] and behind[node]:
            columns[node] = min(columns[one] for one in behind[node]) - 1
    return columns


def _waypoints(pair: Pair, along: Pair, columns: Mapping[str, int]) -> Sequence[str]:
    """Return the nodes of an edge, with one of its own in each column that it passes."""
    source, target = along
    between = range(columns[source] + 1, columns[target])
    return [source, *(f"{pair[0]}\0{pair[1]}\0{column}" for column in between), target]


def _links(ways: Iterable[Sequence[str]]) -> dict[str, list[str]]:
    near: defaultdict[str, list[str]] = defaultdict(list)
    for way in ways:
        for one, other in pairwise(way):
            near[one].append(other)
            near[other].append(one)
    return near


def _ordered(nodes: Sequence[str], columns: Mapping[str, int], ways: Iterable[Sequence[str]]) -> list[list[str]]:
    """Return the nodes of each column from top to bottom, waypoints too."""
    ways = list(ways)
    order: list[list[str]] = [[] for _ in range(max(columns.values(), default=0) + 1)]
    for node in nodes:
        order[columns[node]].append(node)
    for way in ways:
        for offset, node in enumerate(way[1:-1], columns[way[0]] + 1):
            order[offset].append(node)
    near = _links(ways)
    best, fewest = [list(column) for column in order], _crossings(order, near)
    for sweep in range(_SWEEPS):
        forth = sweep % 2 == 0
        numbers = range(1, len(order)) if forth else range(len(order) - 2, -1, -1)
        for number in numbers:
            fixed = {node: row for row, node in enumerate(order[number - 1 if forth else number + 1])}
            _sort_by_neighbours(order[number], fixed, near)
        crossings = _crossings(order, near)
        if crossings < fewest:
            best, fewest = [list(column) for column in order], crossings
    return best


def _sort_by_neighbours(column: list[str], fixed: Mapping[str, int], near: Mapping[str, Sequence[str]]) -> None:
    means: dict[str, float] = {}
    for row, node in enumerate(column):
        rows = [fixed[one] for one in near.get(node, ()) if one in fixed]
        means[node] = sum(rows) / len(rows) if rows else float(row)
    column.sort(key=means.__getitem__)


def _crossings(order: Sequence[Sequence[str]], near: Mapping[str, Sequence[str]]) -> int:
    """Return how many edges cross between columns."""
    total = 0
    for left, right in pairwise(order):
        rows = {node: row for row, node in enumerate(right)}
        seen: list[int] = []
        for node in left:
            ends = sorted(rows[one] for one in near.get(node, ()) if one in rows)
            total += sum(len(seen) - bisect_left(seen, end + 1) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _rows(order: Sequence[Sequence[str]], near: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return the row of each node: near the mean of its neighbours, at least one from the next in its column."""
    rows = {node: float(row) for column in order for row, node in enumerate(column)}
    for turn in range(_EVENING):
        for column in order if turn % 2 == 0 else reversed(order):
            wanted = [_mean([rows[one] for one in near.get(node, ())], rows[node]) for node in column]
            for node, row in zip(column, _spaced(wanted), strict=True):
                rows[node] = row
    top = min(rows.values(), default=0.0)
    return {node: row - top for node, row in rows.items()}


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _spaced(wanted: Sequence[float]) -> list[float]:
    """Return places in the same order, each one from the next at least, as near to the wanted ones as can be.

    Where wanted places run together they become a block around their mean (pool adjacent violators).
    """
    blocks: list[tuple[float, int]] = []  # the mean of what its places would be if the first stood there, and how many
    for index, place in enumerate(wanted):
        mean, count = place - index, 1
        while blocks and blocks[-1][0] > mean:
            other, several = blocks.pop()
            mean = (mean * count + other * several) / (count + several)
            count += several
        blocks.append((mean, count))
    starts = [mean for mean, count in blocks for _ in range(count)]
    return [start + index for index, start in enumerate(starts)]
