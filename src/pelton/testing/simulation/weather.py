"""How bad a run gets: which faults there are, and how often, drawn once a run.

Every run has its own mix, with most kinds of faults left out ("swarm testing", Groce et al., ISSTA 2012): a fault that
is always there hides what only happens without it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pelton.testing.simulation.chance import Chance

__all__ = ["Weather", "draw_weather"]


#: How often changelogs say for a moment only that a key is gone, and what is quick in that.
_FORGETTING = 0.4
_QUICK_S = 0.002


@dataclass(slots=True)
class Weather:
    """Probabilities and times; `calm` ends all faults, so that a run can come to its end.

    latency_s, disk_s: mean times of a message one way, and of work handed to a thread.
    straggles: of a message, to take a hundred times as long.
    lost_requests, lost_replies: of a call to the log.
    undecided_s: how long the broker takes to make a transaction visible; 0 for a log where that is one step.
    eager: whether a rebalance takes everybody's partitions at once (Kafka), or only those that move (SQLite).
    fencings: of a transaction, to be given up by the broker, which fences its producer.
    gaps: whether transactions leave offsets that hold no record.
    compaction: of a changelog, at the end of a transaction.
    deletions_ms: for how long changelogs say that a key is gone; None for much longer than a run takes.
    torn_writes: of a store's write, to be the last thing its process does.
    power_cuts: of a death, to lose the tail of what was written and not synced.
    rot: of a power cut, to leave a store unreadable, or none.
    disk_full: of a store's write, to fail.
    deaths, freezes: of a worker, to end or to stand still, after about `life_steps`.
    shared_disk: all workers see one directory.
    names: workers have instance ids, under which their successors return.
    standbys: how many warm copies each partition has.
    """

    latency_s: float
    straggles: float
    lost_requests: float
    lost_replies: float
    disk_s: float
    undecided_s: float
    fencings: float
    eager: bool
    gaps: bool
    compaction: float
    deletions_ms: int | None
    torn_writes: float
    power_cuts: float
    rot: float
    disk_full: float
    deaths: float
    freezes: float
    life_steps: int
    comings_and_goings: int
    shared_disk: bool
    names: bool
    standbys: int

    def calm(self) -> None:
        """End the faults; what is slow stays slow."""
        self.straggles = self.lost_requests = self.lost_replies = 0.0
        self.fencings = self.torn_writes = self.disk_full = self.deaths = self.freezes = 0.0


def draw_weather(chance: Chance) -> Weather:
    """Return the faults of a run."""

    def perhaps(often: float, most: float) -> float:
        """Return a probability up to `most`, or, unless it happens so often, 0."""
        return chance.uniform(0.0, most) if chance.happens(often) else 0.0

    weather = Weather(
        latency_s=chance.pick([0.0002, 0.001, 0.005]),
        straggles=perhaps(0.3, 0.03),
        lost_requests=perhaps(0.4, 0.05),
        lost_replies=perhaps(0.5, 0.10),
        disk_s=chance.pick([0.0, 0.0005, 0.005]),
        undecided_s=chance.pick([0.0, 0.0, 0.001, 0.02]),
        fencings=perhaps(0.2, 0.1),
        eager=chance.happens(0.5),
        gaps=chance.happens(0.5),
        compaction=perhaps(0.3, 0.3),
        deletions_ms=None,
        torn_writes=perhaps(0.3, 0.1),
        power_cuts=perhaps(0.4, 1.0),
        rot=perhaps(0.2, 0.5),
        disk_full=perhaps(0.2, 0.05),
        deaths=perhaps(0.6, 1.0),
        freezes=perhaps(0.5, 1.0),
        life_steps=chance.pick([100, 300, 1_000]),
        comings_and_goings=chance.between(1, 5) if chance.happens(0.6) else 0,
        shared_disk=chance.happens(0.5),
        names=chance.happens(0.3),
        standbys=1 if chance.happens(0.3) else 0,
    )
    if chance.happens(_FORGETTING):
        # A restore must be quicker than that.
        quick = max(weather.latency_s, weather.disk_s) < _QUICK_S
        weather.deletions_ms = chance.pick([50, 200] if quick else [300, 600])
        weather.compaction = max(weather.compaction, 0.5)
    return weather
