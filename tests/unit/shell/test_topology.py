"""The graph of an application, from its declarations and its code; and what is printed of it."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pelton
from pelton.console.drawing import drawn, standalone_svg
from pelton.console.graph import Edge, Graph, Node, around, as_json, as_mermaid
from pelton.shell.program import build_program
from pelton.shell.topology import graph_of


def shop(directory: Path) -> pelton.App:
    """Return an application that sends in all the ways there are."""
    app = pelton.App("shop", datadir=str(directory))
    orders, bills = app.topic("orders", value_type=int), app.topic("bills", value_type=int)
    letters = app.topic("letters", value_type=int)
    app.topic("never-used", value_type=int)
    totals = app.Table("totals", default=int, help="What each customer owes.\nMore of it.")

    hurry: pelton.Channel[int] = app.channel(value_type=int)

    async def write(letter: int) -> None:
        await letters.send(value=letter)
        await hurry.send(value=letter)

    @app.agent(orders, name="bill", sink=[bills])
    async def bill(stream: pelton.Stream[int]) -> Any:
        """Write bills."""
        async for order in stream:
            totals["all"] += order
            yield order

    @app.agent(bills, name="remind")
    async def remind(stream: pelton.Stream[int]) -> Any:
        async for one in stream:
            await write(one)
            await bill.send(value=one)

    @app.agent(hurry, name="call", sink=[bills])
    async def call(stream: pelton.Stream[int]) -> Any:
        """Call who owes much."""
        async for one in stream:
            if totals["all"] > one:
                await note.send(value=one)
            yield one

    @app.agent(app.channel(), name="note")
    async def note(stream: pelton.Stream[int]) -> None:
        async for _ in stream:
            pass

    return app


def graph(directory: Path) -> Graph:
    app = shop(directory)
    return graph_of(app, asyncio.run(build_program(app)))


def test_what_reads_keeps_and_sends(tmp_path: Path) -> None:
    found = graph(tmp_path)
    assert set(found.edges) == {
        Edge("topic:orders", "agent:bill"),
        Edge("agent:bill", "table:totals"),
        Edge("table:totals", "changelog:shop-totals-changelog"),
        Edge("agent:bill", "topic:bills"),
        Edge("topic:bills", "agent:remind"),
        Edge("agent:remind", "topic:letters"),
        Edge("agent:remind", "topic:orders"),
        Edge("agent:remind", "channel:call channel"),
        Edge("channel:call channel", "agent:call"),
        Edge("agent:call", "table:totals"),
        Edge("agent:call", "topic:bills"),
        Edge("agent:call", "channel:note channel"),
        Edge("channel:note channel", "agent:note"),
    }
    by_id = {node.id: node for node in found.nodes}
    assert "topic:never-used" not in by_id
    assert (by_id["agent:bill"].help, by_id["table:totals"].help) == ("Write bills.", "What each customer owes.")
    assert by_id["agent:call"].help == "Call who owes much."
    assert by_id["channel:call channel"].path == "/topology?around=call%20channel", "it has no page of its own"
    assert "changelog:shop-totals-changelog" not in {node.id for node in found.without_changelogs().nodes}


def test_who_reads_a_changelog_reads_the_table() -> None:
    nodes = [Node("table", "t"), Node("changelog", "t-changelog"), Node("agent", "a")]
    edges = [Edge("table:t", "changelog:t-changelog"), Edge("changelog:t-changelog", "agent:a")]
    assert Graph(nodes, edges).without_changelogs() == Graph([nodes[0], nodes[2]], [Edge("table:t", "agent:a")])


def test_around_one_node(tmp_path: Path) -> None:
    near = around(graph(tmp_path), "remind")
    assert {node.name for node in near.nodes} == {"remind", "bills", "letters", "orders", "call channel"}
    assert around(near, "nobody") == Graph([], [])


HOSTILE = Graph([Node("topic", '<script>"&x'), Node("agent", "a]", "-->")], [Edge('topic:<script>"&x', "agent:a]")])


def test_as_mermaid(tmp_path: Path) -> None:
    text = as_mermaid(around(graph(tmp_path), "letters"))
    assert text == 'flowchart LR\n    n0["remind"]\n    n1(["letters"])\n    n0 --> n1\n'
    assert 'n1{{"note channel"}}' in as_mermaid(around(graph(tmp_path), "note"))
    assert '"#60;script#62;#34;#38;x"' in as_mermaid(HOSTILE)


def test_as_json(tmp_path: Path) -> None:
    assert as_json(around(graph(tmp_path), "letters")) == {
        "nodes": [
            {"id": "agent:remind", "kind": "agent", "name": "remind", "help": ""},
            {"id": "topic:letters", "kind": "topic", "name": "letters", "help": ""},
        ],
        "edges": [{"source": "agent:remind", "target": "topic:letters"}],
    }


def test_as_svg(tmp_path: Path) -> None:
    svg = ElementTree.fromstring(standalone_svg(graph(tmp_path)))
    boxes = svg.findall(".//{*}g")
    assert len(boxes) == 11
    assert len(svg.findall(".//{*}path[@class='edge']")) == 13
    assert svg.find(".//{*}a") is None
    page = ElementTree.fromstring(str(drawn(HOSTILE)))
    assert page.find(".//{*}script") is None
    assert page.find(".//{*}style") is None, "the policy of the page forbids it"
    assert [link.get("href") for link in page.findall(".//{*}a")] == [
        "/topics/%3Cscript%3E%22%26x",
        "/topology?around=a%5D",
    ]
