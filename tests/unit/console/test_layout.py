"""Where a graph's nodes go: forward, apart from each other, with few crossings, and always the same."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from pelton.console.layout import Layout, laid_out

NODES = [f"n{number}" for number in range(12)]
edges_of_any_graph = st.lists(st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)), max_size=40)


def apart(layout: Layout) -> bool:
    """Return whether no two nodes, and no node and passing edge, are at one place."""
    places = [*layout.places.values()]
    places += [point for route in layout.routes.values() for point in route[1:-1]]
    return all(one[0] != two[0] or abs(one[1] - two[1]) > 1 - 1e-6 for one, two in combinations(places, 2))


@settings(max_examples=200, deadline=None)
@given(edges_of_any_graph)
def test_any_graph(edges: list[tuple[str, str]]) -> None:
    layout = laid_out(NODES, edges)
    assert set(layout.places) == set(NODES)
    assert set(layout.routes) == {(one, two) for one, two in edges if one != two}
    for (source, target), route in layout.routes.items():
        assert (route[0], route[-1]) == (layout.places[source], layout.places[target])
        columns = [column for column, _ in route]
        step = 1 if columns[-1] > columns[0] else -1
        assert columns == list(range(columns[0], columns[-1] + step, step)), "it passes every column between"
    assert apart(layout)
    assert all(0 <= column < layout.width and -1e-6 <= row < layout.height for column, row in layout.places.values())
    assert laid_out(NODES, edges) == layout


def test_records_flow_from_left_to_right() -> None:
    layout = laid_out(["t", "a", "u", "b", "v"], [("t", "a"), ("a", "u"), ("u", "b"), ("b", "v")])
    assert [layout.places[node] for node in "taubv"] == [(0, 0.0), (1, 0.0), (2, 0.0), (3, 0.0), (4, 0.0)]


def test_of_a_cycle_one_edge_leads_back() -> None:
    layout = laid_out(["a", "b", "c"], [("a", "b"), ("b", "c"), ("c", "a")])
    assert [layout.places[node][0] for node in "abc"] == [0, 1, 2]
    assert [column for column, _ in layout.routes["c", "a"]] == [2, 1, 0]


def test_what_can_be_drawn_without_crossings_is() -> None:
    edges = [("a", "y"), ("b", "x"), ("c", "z")]
    layout = laid_out(["hub", "a", "b", "c", "x", "y", "z"], [("hub", "a"), ("hub", "b"), ("hub", "c"), *edges])
    rows = {node: row for node, (_, row) in layout.places.items()}
    left = sorted("abc", key=rows.__getitem__)
    right = sorted("xyz", key=rows.__getitem__)
    assert [dict(edges)[node] for node in left] == right


def test_what_does_not_hang_together_is_below_the_larger_part() -> None:
    layout = laid_out(["alone", "a", "b"], [("a", "b")])
    assert layout.places == {"a": (0, 0.0), "b": (1, 0.0), "alone": (0, 1.5)}


def test_nothing() -> None:
    assert laid_out([], []) == Layout({}, {}, 0, 0.0)
