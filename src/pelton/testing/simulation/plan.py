"""What a run is about: its program, its input, its settings and its workers, drawn once a run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pelton.config import EngineConfig
from pelton.stream.calling import Order
from pelton.testing.simulation.ahead_agents import CallStyle
from pelton.testing.simulation.chance import Chance
from pelton.testing.simulation.program import AGENTS
from pelton.testing.simulation.sharing import LEFT, RIGHT, SharingStyle
from pelton.testing.simulation.workload import MORE, Workload

__all__ = ["Plan", "draw_plan"]

#: How often a run has an agent. Some cost many steps: of a replicated table every worker follows all partitions, and
#: each call is a task of its own.
_OFTEN = 0.4
_SELDOM: dict[str, float] = dict.fromkeys(("spread", "past", "calls", "timers"), 0.22)
#: How often two further agents share a table.
_SHARING = 0.25
_ORDERS: tuple[Order, ...] = ("key", "log", "none")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is about.

    concurrency: of the agent "chain". style: of the agent "calls". sharing: of the agents that share a table.
    workloads: the input, one for each topic. weight: by how much records are said to be larger than they are, so that
    few fill the queues. skew_ms: how wrong the workers' wall clocks are, at most: less where timers wait for them.
    """

    partitions: int
    agents: tuple[str, ...]
    concurrency: int
    style: CallStyle
    sharing: SharingStyle
    workloads: tuple[Workload, ...]
    config: EngineConfig
    weight: int
    workers: int
    skew_ms: int


def draw_plan(seed: int, chance: Chance) -> Plan:
    """Return the plan of a run."""
    partitions = chance.between(1, 4)
    agents = tuple(agent for agent in AGENTS if chance.happens(_SELDOM.get(agent, _OFTEN)))
    concurrency = chance.between(2, 4)
    style = CallStyle(chance.pick(_ORDERS), chance.between(2, 6), cached=chance.happens(0.3))
    workload = Workload(
        str(seed),
        partitions,
        records=chance.pick([5, 20, 50]),
        keys=chance.between(1, 5),
        odd=chance.pick([0.0, 0.05, 0.3]),
    )
    sharing = chance.of("sharing")
    shares = sharing.happens(_SHARING)
    return Plan(
        partitions=partitions,
        agents=(agents or AGENTS[:1]) + ((LEFT, RIGHT) if shares else ()),
        concurrency=concurrency,
        style=style,
        sharing=SharingStyle(_lanes(sharing), _lanes(sharing), gathers=sharing.happens(0.3)),
        workloads=(workload, replace(workload, seed=f"{seed}/{MORE}", topic=MORE)) if shares else (workload,),
        config=EngineConfig(
            commit_interval_ms=chance.pick([1, 20, 100, 1_000]),
            commit_records_max=chance.pick([1, 5, 1_000]),
            agent_retries_max=chance.between(1, 2),
            agent_retry_backoff_ms=chance.pick([0, 1, 20]),
            task_queue_bytes_max=64 * 1024,
            slice_ms=1,
        ),
        weight=chance.pick([1, 1, 1_000]),
        workers=chance.between(1, 3),
        skew_ms=200 if "timers" in agents else 10_000,
    )


def _lanes(chance: Chance) -> int:
    """Return the lanes of an agent that shares a table: one, or several."""
    return chance.between(2, 4) if chance.happens(0.4) else 1
