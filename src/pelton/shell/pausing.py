"""Pausing agents and resuming them: by name, from the program, the command line and the web."""

# pyright: basic
# Faust is only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from faust.web import View

from pelton.console.security import read_only, writes_allowed
from pelton.errors import ConfigurationError
from pelton.runtime.pauses import Pause, Pauses

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["agent_named", "pause_json", "pauses_of", "serve_agents"]


def agent_named(given: str, agents: Collection[str]) -> str:
    """Return the agent that a name means: the whole of it, or the end of it behind a dot, or with Faust's @.

    Raises: ConfigurationError when there is none, or more than one.
    """
    name = given.removeprefix("@")
    if name in agents:
        return name
    ends = sorted(agent for agent in agents if agent.endswith(f".{name}"))
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise ConfigurationError(f"{given!r} is the name of {len(ends)} agents", hint=f"say which: {', '.join(ends)}")
    close = get_close_matches(name, {*agents, *(agent.rpartition(".")[2] for agent in agents)}, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(agents)) or 'none'}"
    raise ConfigurationError(f"there is no agent {given!r}", hint=hint)


async def pauses_of(app: App) -> Pauses:
    """Return what pauses and resumes agents, with the log open for it."""
    await app.open_log()
    return Pauses(app.log_connection, app.conf.id, app.clock)


def pause_json(pause: Pause | None) -> dict[str, Any]:
    """Return a pause, or that there is none, for programs."""
    if pause is None:
        return {"paused": False}
    since = datetime.fromtimestamp(pause.since_ms / 1000, UTC).isoformat(timespec="seconds")
    return {"paused": True, "since": since, "reason": pause.reason}


def serve_agents(app: App) -> None:
    """Have the worker's web server tell which agents are paused, and pause and resume them.

    GET `/agents`: agent -> its topics, and since when and why it is paused. POST `/agents/NAME/pause` and
    `/agents/NAME/resume`; the reason may come as `?reason=`. They answer 202: all workers follow within a second; 403
    without a token, as everything that the web view could change.
    """

    def told(name: str, paused: Mapping[str, Pause]) -> dict[str, Any]:
        agent: Any = app.agents[name]
        return {"agent": name, "topics": list(agent.get_topic_names()), **pause_json(paused.get(name))}

    async def agents(view: Any, request: Any) -> Any:
        return view.json([told(name, app.engine.pauses()) for name in sorted(app.agents)])

    class _Change(View):
        pauses: bool

        async def post(self, request: Any, name: str) -> Any:
            if not writes_allowed(request):
                return read_only()
            try:
                agent: Any = app.agents[agent_named(name, app.agents)]
            except ConfigurationError as error:
                return self.json({"error": error.message, "hint": error.hint}, status=404)
            if self.pauses:
                await agent.pause(request.query.get("reason", ""))
            else:
                await agent.resume()
            return self.json({"agent": agent.name, "paused": self.pauses}, status=202)

    app.page("/agents", name="agents")(agents)
    for word, pauses in (("pause", True), ("resume", False)):
        view = type(f"Agent{word.title()}", (_Change,), {"pauses": pauses})
        app.page(f"/agents/{{name}}/{word}", name=f"agents:{word}")(view)
