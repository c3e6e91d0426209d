"""Topology: which agents read which topics, what they keep and where they send it, and how much flows there now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web

from pelton.console.answers import answer, refusal
from pelton.console.drawing import drawn
from pelton.console.frame import rendered
from pelton.console.gathering import GATHERING, Gathering
from pelton.console.graph import Graph, Node, around, as_json
from pelton.console.home import merged_lags
from pelton.console.live import send_events
from pelton.console.report import AgentNow
from pelton.console.surroundings import CONSOLE

__all__ = ["live", "page", "state"]


async def page(request: web.Request) -> web.Response:
    """Answer with the drawing: the whole, or with ?around= what is next to one node; ?changelogs=1 shows these too."""
    whole = request.app[CONSOLE].worker.graph()
    name, changelogs = request.query.get("around", ""), bool(request.query.get("changelogs"))
    if whole is None:
        status, graph = HTTPStatus.SERVICE_UNAVAILABLE, Graph((), ())
    else:
        graph = whole if changelogs else whole.without_changelogs()
        graph = around(graph, name) if name else graph
        status = HTTPStatus.OK if graph.nodes else HTTPStatus.NOT_FOUND
    return rendered(
        request,
        "topology.html",
        title="Topology",
        scripts=["/static/console/topology.js"],
        status=status,
        starting=whole is None,
        around=name,
        changelogs=changelogs,
        centre=[node for node in graph.nodes if node.name == name],
        names=sorted({node.name for node in whole.nodes}) if whole is not None else [],
        drawing=drawn(graph),
        agents=list(_agents(graph)),
    )


def _agents(graph: Graph) -> Iterable[dict[str, Any]]:
    """Return each agent with what it reads, keeps and sends to: the drawing in words."""
    by_id = {node.id: node for node in graph.nodes}

    def ends(ids: Iterable[str], kinds: Sequence[str]) -> list[Node]:
        return [by_id[one] for one in ids if by_id[one].kind in kinds]

    for node in graph.nodes:
        if node.kind == "agent":
            into = [edge.source for edge in graph.edges if edge.target == node.id]
            out = [edge.target for edge in graph.edges if edge.source == node.id]
            yield {
                "node": node,
                "reads": ends(into, ["topic", "changelog", "table", "channel"]),
                "sends": ends(out, ["topic", "changelog", "channel"]),
                "tables": ends(out, ["table"]),
            }


async def state(request: web.Request) -> web.Response:
    """Answer with the graph and what flows in it now, for programs; 503 while the worker starts."""
    graph = request.app[CONSOLE].worker.graph()
    if graph is None:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the worker starts")
    return answer({**as_json(graph), "now": await _now(request.app[GATHERING])})


async def live(request: web.Request) -> web.StreamResponse:
    """Send what flows, again and again."""
    return await send_events(request, lambda: _now(request.app[GATHERING]))


async def _now(gathering: Gathering) -> dict[str, Any]:
    """Return, of all workers together, what is read and written of each topic, its lag, and what each agent does."""
    told = [one.report for one in await gathering.workers() if one.report is not None]
    agents: dict[str, AgentNow] = {}
    for one in told:
        for name, now in one.agents.items():
            known = agents.setdefault(name, AgentNow(0.0, 0, 0, 0, 0))
            known.rate += now.rate
            known.queued_bytes += now.queued_bytes
            known.queued_bytes_max += now.queued_bytes_max
            known.failures += now.failures
            known.dead_lettered += now.dead_lettered
            known.paused = known.paused or now.paused
    lags = {lag.topic: {"lag": lag.lag, "lag_s": lag.lag_s, "status": lag.status} for lag in merged_lags(told)}
    read, written = _summed(one.read for one in told), _summed(one.written for one in told)
    topics = {
        name: {"read": read.get(name), "written": written.get(name), **lags.get(name, {})}
        for name in sorted({*read, *written, *lags})
    }
    return {"agents": agents, "topics": topics}


def _summed(rates: Iterable[dict[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for one in rates:
        for name, rate in one.items():
            total[name] = total.get(name, 0.0) + rate
    return total
