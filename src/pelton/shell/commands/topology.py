"""`faust -A app topology`: what reads what, keeps what and sends where, as a drawing, as Mermaid, or as JSON."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import click
import orjson
from faust.cli.base import cli

from pelton.console.drawing import standalone_svg
from pelton.console.graph import Graph, around, as_json, as_mermaid
from pelton.errors import ConfigurationError
from pelton.shell.commands.on_log import LogCommand
from pelton.shell.program import build_program
from pelton.shell.topology import graph_of

__all__ = ["ShowTopology"]


class ShowTopology(LogCommand):
    """Print the topology: which agents read which topics, which tables they keep, and where they send.

    What an agent sends to is told by its sinks, by what it repartitions, and by the topics, channels and agents that
    its code names. It asks no log and no worker. The web view draws the same, with what flows.
    """

    group: ClassVar[Any] = cli
    name = "topology"
    options: Any = (
        click.option(
            "--format",
            "form",
            type=click.Choice(["svg", "mermaid", "json"]),
            default="mermaid",
            show_default=True,
            help="svg: a drawing. mermaid: a flowchart for Markdown pages. json: nodes and edges.",
        ),
        click.option("--around", default="", help="Only this topic, channel, agent or table, and what is next to it."),
        click.option("--changelogs", is_flag=True, help="Show the changelogs of tables, too."),
    )

    def work(self, form: str = "mermaid", around: str = "", changelogs: bool = False) -> int:
        """Print it."""
        graph = _wanted(self._graph(), around, changelogs)
        if form == "json" or self.json:
            click.echo(orjson.dumps(as_json(graph)))
        else:
            click.echo((standalone_svg if form == "svg" else as_mermaid)(graph).rstrip("\n"))
        return 0

    def _graph(self) -> Graph:
        app = self.application
        return graph_of(app, asyncio.run(build_program(app)))


def _wanted(graph: Graph, name: str, changelogs: bool) -> Graph:
    shown = graph if changelogs else graph.without_changelogs()
    if not name:
        return shown
    part = around(shown, name)
    if not part.nodes:
        names = sorted({node.name for node in shown.nodes})
        near = [one for one in names if name in one][:5] or names[:5]
        raise ConfigurationError(
            f"there is no topic, channel, agent or table {name!r}", hint=f"there are {', '.join(near)} …"
        )
    return part
