"""`faust -A app agent list|pause|resume`: which agents there are, how far they are, and having them stand still."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import click
import orjson
from faust.cli.base import cli

from pelton.batch import TopicPartition
from pelton.log.contract import Log
from pelton.runtime.partition import decode_agent_positions
from pelton.runtime.pauses import Pause, Pauses
from pelton.runtime.spec import AgentSpec
from pelton.shell.commands.columns import columns_text
from pelton.shell.commands.on_log import LogCommand
from pelton.shell.pausing import agent_named, pause_json, pauses_of
from pelton.shell.program import build_program

__all__ = ["agent"]

_COLUMNS = ("agent", "topics", "lag", "state")


@cli.group("agent")
def agent() -> None:
    """List the agents, and pause and resume them.

    A paused agent hands out no more events, on any worker of the application, until it is resumed: also after restarts.
    The event under way comes to its end, the agent keeps its position, and other agents on its topics go on. NAME is an
    agent's full name, or the end of it behind a dot.
    """


@dataclass(frozen=True, slots=True)
class _Row:
    """An agent as `list` shows it. lag: offsets that the log holds behind its position."""

    name: str
    topics: Sequence[str]
    lag: int
    pause: Pause | None

    def cells(self) -> tuple[str, ...]:
        """Return the columns as text."""
        told = pause_json(self.pause)
        state = f"paused since {told['since']} {told['reason']}".rstrip() if self.pause else ""
        return self.name, ",".join(self.topics), f"{self.lag:,}", state


class _AgentCommand(LogCommand):
    """A subcommand of `agent`."""

    abstract: ClassVar[bool] = True
    group: ClassVar[Any] = agent


class ListAgents(_AgentCommand):
    """List the agents, those too that forward for a group_by: topics, lag, and whether they are paused.

    The lag is the number of offsets between an agent's committed position and the end of its topics.
    """

    name = "list"
    options: Any = (click.option("--json", "as_json", is_flag=True, help="Print JSON: one object an agent and line."),)

    def work(self, as_json: bool = False) -> int:
        """Print the agents."""
        rows = self.with_log(self._rows)
        if as_json or self.json:
            for row in rows:
                told = {"agent": row.name, "topics": row.topics, "lag": row.lag, **pause_json(row.pause)}
                click.echo(orjson.dumps(told))
            return 0
        click.echo(columns_text([_COLUMNS, *(row.cells() for row in rows)]))
        return 0

    async def _rows(self, log: Log) -> list[_Row]:
        program = await build_program(self.application)
        pauses = Pauses(log, self.application.conf.id, self.application.clock)
        await pauses.read()
        lags = await _lags(log, self.application.conf.id, program.agents)
        return [
            _Row(name, sorted(spec.sources), lags[name], pauses.paused.get(name.partition(":")[0]))
            for name, spec in sorted(program.agents.items())
        ]


async def _lags(log: Log, app_id: str, agents: Mapping[str, AgentSpec]) -> dict[str, int]:
    """Return how far behind each agent is, as committed."""
    counts = await log.partitions({topic for spec in agents.values() for topic in spec.sources})
    sources = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
    spans, committed = await log.offsets(sources), await log.group_positions(app_id, sources)
    lags = dict.fromkeys(agents, 0)
    for source in sources:
        for name in [name for name, spec in agents.items() if source.topic in spec.sources]:
            position = committed.get(source)
            stands = decode_agent_positions(position, [name])[name] if position is not None else spans[source].start
            lags[name] += max(0, spans[source].end - stands)
    return lags


class _ChangeAgent(_AgentCommand):
    """What pause and resume have in common."""

    abstract: ClassVar[bool] = True

    def change(self, given: str, reason: str | None) -> str:
        """Pause an agent for a reason, or resume it with None; return its name."""
        app = self.application
        name = agent_named(given, app.agents)

        async def job(log: Log) -> None:
            pauses = await pauses_of(app)
            if reason is None:
                await pauses.resume(name)
            else:
                await pauses.pause(name, reason)

        self.with_log(job)
        return name


class PauseAgent(_ChangeAgent):
    """Pause an agent on all workers, until it is resumed; running workers follow within a second.

    Example: faust -A app agent pause velocity --reason "the model is retrained"
    """

    name = "pause"
    options: Any = (click.argument("name"), click.option("--reason", default="", help="Why, for those who look later."))

    def work(self, name: str = "", reason: str = "") -> int:
        """Pause the agent."""
        click.echo(f"paused {self.change(name, reason)}")
        return 0


class ResumeAgent(_ChangeAgent):
    """Resume a paused agent on all workers, from where it stood; running workers follow within a second."""

    name = "resume"
    options: Any = (click.argument("name"),)

    def work(self, name: str = "") -> int:
        """Resume the agent."""
        click.echo(f"resumed {self.change(name, None)}")
        return 0
