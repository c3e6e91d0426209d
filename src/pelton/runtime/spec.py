"""What the runtime is told to run: descriptions of agents and tables, without anything of Faust's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from pelton.backoff import Backoff
from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.codec.contract import Codec
from pelton.config import EngineConfig
from pelton.log.contract import Guarantee, TopicSpec
from pelton.runtime.event_time import EventTime
from pelton.state.contract import TableWrites
from pelton.state.versions import History
from pelton.stream.lane import Lane, Send
from pelton.stream.stream import Feed

__all__ = [
    "DELETE_RETENTION",
    "OF_OPERATORS",
    "OF_THE_ENGINE",
    "AgentSpec",
    "ChangelogFormat",
    "Program",
    "RuntimeOptions",
    "SourceSpec",
    "TableSpec",
]

#: For how long a compacted topic says that a key is gone; milliseconds.
DELETE_RETENTION = "delete.retention.ms"

#: Ranks of what a commit writes (`OutgoingBatch.rank`). What tells that an event was handled comes behind everything
#: that came of it, so that it is not passed over while that is lost: messages have rank 0, then come the tables of the
#: program, what the engine keeps of those, and operators' tables, the last operator's of a stream first.
_OF_THE_PROGRAM, OF_THE_ENGINE, OF_OPERATORS = 1, 2, 3

#: Calls an agent's function with a stream over this feed and lane.
AgentRun = Callable[[Feed, Lane], AsyncGenerator[Any, None] | Awaitable[Any]]
#: Hands what the function yielded to the agent's sinks; awaited when it returns an awaitable.
AgentEmit = Callable[[Lane, Any], Awaitable[None] | None]
#: Makes the message that tells of a row's dead letter, to whoever waits for its answer; None when nobody does.
AgentRefuse = Callable[[RecordBatch, int, Exception], Send | None]


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A topic that an agent reads, and how its bytes become keys and values.

    tombstones: whether the agent wants records without a value, as None; they are dead-lettered otherwise.
    priority: what is higher is handled first.
    event_time: where the events have their time; the log's timestamp when None.
    purged: whether its records may be deleted once the application is past them.
    """

    topic: TopicSpec
    key_codec: Codec[Any]
    value_codec: Codec[Any]
    tombstones: bool = False
    event_time: EventTime | None = None
    purged: bool = False
    priority: int = 0


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """An agent: its name, what it reads, and what it runs.

    concurrency: lanes a partition; events of one key always go to the same lane.
    tables: names of the tables that its code refers to, as far as start-up could tell.
    joins: whether it joins its topics, so that they need the same number of partitions.
    replays: whether it begins with the first record of its topics when it is new, also where other agents of the
        application have read them; it begins where those are otherwise.
    refuse: what goes out beside a dead letter, in the same transaction.
    backoff: when its events that fail are tried again; as the worker's settings say when None.
    """

    name: str
    sources: Mapping[str, SourceSpec]
    run: AgentRun
    emit: AgentEmit
    concurrency: int = 1
    tables: frozenset[str] = frozenset()
    joins: bool = False
    replays: bool = False
    refuse: AgentRefuse | None = None
    backoff: Backoff | None = None


class ChangelogFormat(Protocol):
    """How a table's rows are written as records, where the changelog is a topic that others read too."""

    def records(self, target: TopicPartition, writes: Mapping[bytes, bytes | None], now_ms: int) -> OutgoingBatch:
        """Return the writes of a commit as records. now_ms: the wall clock, for what has no time of its own."""
        ...

    def writes(self, batch: RecordBatch) -> TableWrites:
        """Return what records do to the table."""
        ...


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table: its name, its changelog, and when its windows expire.

    window_size_ms: length of its windows, None for a plain table; retention_ms: how long a window is kept past its end.
    replicated: every worker holds all partitions (a global table).
    history: how long its versions are kept, None for a table without history.
    versions_of: the table whose versions it keeps, None for any other table.
    format: how its changelog is written; a record a key, with the value or a tombstone, when None.
    rank: that of its changelog in a commit, see `OutgoingBatch`.
    """

    name: str
    changelog: TopicSpec
    window_size_ms: int | None = None
    retention_ms: int | None = None
    replicated: bool = False
    history: History | None = None
    versions_of: str | None = None
    format: ChangelogFormat | None = None
    rank: int = _OF_THE_PROGRAM

    @property
    def deletions_ms(self) -> int | None:
        """For how long its changelog says that a key is gone; None where it never forgets, or nobody knows."""
        told = self.changelog.config.get(DELETE_RETENTION) if "compact" in self.changelog.cleanup_policy else None
        return None if told is None else int(told)

    def versions(self) -> TableSpec:
        """Return the table that holds the versions of this one, which has history."""
        changelog = replace(self.changelog, name=f"{self.changelog.name.removesuffix('-changelog')}-history-changelog")
        return TableSpec(
            f"{self.name}-history", changelog, history=self.history, versions_of=self.name, rank=OF_THE_ENGINE
        )


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: the agents, the tables, and the topics they send to.

    outputs: topics that agents send to; created, or checked, at start-up.
    """

    agents: Mapping[str, AgentSpec]
    tables: Mapping[str, TableSpec]
    outputs: Mapping[str, TopicSpec]

    def priorities(self) -> set[int]:
        """Return the priorities of what agents read."""
        return {source.priority for agent in self.agents.values() for source in agent.sources.values()}

    def sources(self) -> dict[str, TopicSpec]:
        """Return the topics that agents read."""
        return {name: source.topic for agent in self.agents.values() for name, source in agent.sources.items()}


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """How to run it.

    directory: where the stores are kept. address: host:port of this worker's web server, told to the group.
    partitions: how many a topic gets that does not say and does not exist.
    instance_id, returns: see `GroupOptions`.
    """

    app_id: str
    directory: Path
    config: EngineConfig
    guarantee: Guarantee = "exactly_once"
    partitions: int = 8
    address: str = ""
    instance_id: str | None = None
    returns: bool = False
    standby_replicas: int = 0
    session_timeout_ms: int = 45_000
    heartbeat_interval_ms: int = 3_000
