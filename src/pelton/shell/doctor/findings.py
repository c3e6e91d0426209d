"""What the doctor found, and what it says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pelton.config import EngineConfig
from pelton.log.upkeep import Disk, ServerState, TopicState
from pelton.runtime.topic_plan import Change

__all__ = ["SEVERITIES", "Examined", "Finding", "Lag", "Settings"]

Severity = Literal["note", "warning", "error"]

#: Which is worse; also the exit status that each asks for.
SEVERITIES: Mapping[str, int] = {"note": 0, "warning": 1, "error": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say. check: a name that lasts, for programs. hint: what to do."""

    severity: Severity
    check: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that the checks compare. Times in milliseconds.

    synchronous: of the embedded log. web_refused: why the web server would not start,
    "" when it would. web_host: the name by which other workers are to reach it, "" where it has no web server.
    """

    guarantee: str
    session_timeout_ms: int
    heartbeat_interval_ms: int
    standby_replicas: int
    instance_id: str
    transaction_timeout_ms: int
    web_refused: str
    web_host: str
    synchronous: str
    engine: EngineConfig


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the group is in a partition of a source. age_s: of the first record that is not committed, 0 for none.

    committed: None where nothing was ever committed.
    """

    topic: str
    partition: int
    committed: int | None
    start: int
    end: int
    age_s: float


@dataclass(frozen=True, slots=True)
class Examined:
    """All that was looked at.

    internal: Kafka's own topics, as far as they matter. changes: how topics differ from what is declared.
    mispartitioned: what is wrong with topics that belong together, "" when nothing. workers: how many run.
    numbers: how many partition numbers there are to share. under_replicated: topic -> partitions that lack a replica.
    clock_ahead_s: how far this machine's clock is ahead of the log's; None where nobody could tell. clock_why: why.
    disks: those under data, tables and log, each once. places: what -> (directory, type of its file system).
    unwritable: directories that are.
    descriptors: how many files a process may have open. memory_bytes: of the machine; 0 where it does not tell.
    host_known: whether the web server's name means something here. letters: dead letters that wait.
    """

    application: str
    settings: Settings
    servers: Sequence[ServerState] = ()
    topics: Mapping[str, TopicState] = field(default_factory=dict[str, TopicState])
    internal: Mapping[str, TopicState] = field(default_factory=dict[str, TopicState])
    sources: frozenset[str] = frozenset()
    changes: Sequence[Change] = ()
    mispartitioned: str = ""
    workers: int = 0
    numbers: int = 0
    under_replicated: Mapping[str, int] = field(default_factory=dict[str, int])
    clock_ahead_s: float | None = None
    clock_why: str = ""
    disks: Sequence[Disk] = ()
    places: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    unwritable: Sequence[str] = ()
    descriptors: int = 0
    memory_bytes: int = 0
    host_known: bool = True
    tables: int = 0
    lags: Sequence[Lag] = ()
    letters: int = 0
