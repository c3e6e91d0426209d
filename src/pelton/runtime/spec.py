"""What the runtime is told to run: descriptions of agents and tables, without anything of Faust's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pelton.codec.contract import Codec
from pelton.log.contract import TopicSpec
from pelton.stream.lane import Lane
from pelton.stream.stream import Feed

__all__ = ["AgentSpec", "SourceSpec", "TableSpec"]

#: Calls an agent's function with a stream over this feed and lane.
AgentRun = Callable[[Feed, Lane], AsyncGenerator[Any, None] | Awaitable[Any]]
#: Hands what the function yielded to the agent's sinks; awaited when it returns an awaitable.
AgentEmit = Callable[[Lane, Any], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A topic that an agent reads, and how its bytes become keys and values.

    tombstones: whether the agent wants records without a value, as None; they are dead-lettered otherwise.
    """

    topic: TopicSpec
    key_codec: Codec[Any]
    value_codec: Codec[Any]
    tombstones: bool = False


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """An agent: its name, what it reads, and what it runs.

    concurrency: lanes a partition; events of one key always go to the same lane.
    tables: names of the tables that its code refers to, as far as start-up could tell.
    """

    name: str
    sources: Mapping[str, SourceSpec]
    run: AgentRun
    emit: AgentEmit
    concurrency: int = 1
    tables: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table: its name, its changelog, and when its windows expire.

    window_size_ms: length of its windows, None for a plain table; retention_ms: how long a window is kept past its end.
    replicated: every worker holds all partitions (a global table).
    """

    name: str
    changelog: TopicSpec
    window_size_ms: int | None = None
    retention_ms: int | None = None
    replicated: bool = False
