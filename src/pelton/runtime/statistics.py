"""What a worker's engine tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pelton.batch import TopicPartition
from pelton.runtime.measures import Measured
from pelton.runtime.partition import PartitionStatistics
from pelton.runtime.standby import StandbyStatistics
from pelton.runtime.task_options import TaskStatistics

__all__ = ["RuntimeStatistics"]


@dataclass(frozen=True, slots=True)
class RuntimeStatistics:
    """What the runtime has done since it started, and where it stands.

    records_in: events whose handling is complete; committed_records: those that are committed too.
    records_lost: those that the log deleted before they were read (see the setting on_lost_records).
    lag: for each partition, offsets between what was fetched and its end, as last heard; a paused agent's are not
        counted.
    paused: names of the agents that are paused. measured: durations, sizes and flows.
    log, group: what the log's connection and this worker's membership tell of themselves, in their own words.
    """

    records_in: int
    committed_records: int
    commits: int
    commit_failures: int
    rebalances: int
    dead_lettered: int
    records_lost: int
    lag: Mapping[TopicPartition, int]
    partitions: tuple[PartitionStatistics, ...]
    tasks: tuple[TaskStatistics, ...]
    standbys: tuple[StandbyStatistics, ...] = ()
    paused: tuple[str, ...] = ()
    measured: Measured = field(default_factory=Measured)
    log: object = None
    group: object = None
