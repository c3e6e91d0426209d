"""What the tasks of a worker share, and what each of them tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pelton.backoff import Backoff
from pelton.batch import TopicPartition
from pelton.clock import Clock
from pelton.runtime.acceptance import Acceptance
from pelton.runtime.measures import Measures
from pelton.runtime.pressure import Pressure
from pelton.runtime.tracing import Tracing
from pelton.runtime.turns import Turns

__all__ = ["TaskOptions", "TaskStatistics"]


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """What all tasks of a worker share.

    backoff: when the events that fail of agents without a policy of their own are tried again.
    dead_letters: the dead-letter topic. settled: called when a task has done all that it was given, or has to wait for
        a commit.
    turns: has the tasks run one after the other, a slice each. pressure: takes the lanes' reports of what they staged,
        and has them wait when it is too much.
    acceptance: what records topics take, where that is known. changelogs: table -> its topic.
    owed: tells the topics of which the log may have more than was fetched, of these partitions.
    answering_since_s: tells since when the log has answered, in elapsed seconds.
    measures: what the worker's engine measures. tracing: where spans go, None where nobody wants any.
    """

    clock: Clock
    backoff: Backoff
    dead_letters: str
    settled: Callable[[], None]
    pressure: Pressure
    turns: Turns
    acceptance: Acceptance | None = None
    changelogs: Mapping[str, str] = field(default_factory=dict[str, str])
    owed: Callable[[Iterable[TopicPartition]], set[str]] = lambda _: set()
    answering_since_s: Callable[[], float] = lambda: 0.0
    measures: Measures = field(default_factory=Measures)
    tracing: Tracing | None = None


@dataclass(frozen=True, slots=True)
class TaskStatistics:
    """Counts since the task began; queued_bytes and paused are of now. late_events: those whose windows were closed.

    reached_ms: the latest time that an event had of those that were handed out; None before the first.
    """

    agent: str
    partition: int
    events: int
    dead_lettered: int
    failures: int
    late_events: int
    queued_bytes: int
    paused: bool = False
    reached_ms: int | None = None
