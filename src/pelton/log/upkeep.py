"""What keeping a log in order asks of it, beside the contract of `pelton.log.contract`.

Commands need it (`faust -A app topics`, `faust -A app doctor`), the engine does not: it only creates what is missing,
and refuses what is not as declared. Both homes implement it; tests/contract/test_log_upkeep.py holds them to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

__all__ = ["Disk", "ServerState", "TopicState", "Upkeep"]


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the log has it.

    replicas: how many copies its first partition has; None where the log has one and knows no others (SQLite).
    config: its settings by their Kafka names, those that are the log's defaults too. "cleanup.policy" and
        "retention.ms" are always there; which others depends on the log.
    """

    name: str
    partitions: int
    replicas: int | None
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk that something lies on. where: what, and the directory. Sizes in bytes."""

    where: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class ServerState:
    """A server of the log: a broker.

    config: its settings by their Kafka names; empty when they may not be read.
    features: feature -> the highest level that it supports, and the one in force in its cluster.
    requests: number of a request -> its highest version. disks: of its log directories, where it tells them.
    """

    name: str
    config: Mapping[str, str] = field(default_factory=dict[str, str])
    features: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    requests: Mapping[int, int] = field(default_factory=dict[int, int])
    disks: Sequence[Disk] = ()


@runtime_checkable
class Upkeep(Protocol):
    """A log whose topics can be looked at, and changed, and whose groups can be told that a member will not be back."""

    async def states(self, topics: Iterable[str]) -> Mapping[str, TopicState]:
        """Return topic -> how it is; topics that do not exist are missing.

        Raises: UnavailableError; ConfigurationError when one may not be looked at.
        """
        ...

    async def configure(self, topic: str, config: Mapping[str, str]) -> None:
        """Change these settings of a topic, and leave all others as they are.

        Raises: ConfigurationError when the log refuses one; UnavailableError.
        """
        ...

    async def grow(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions. The records that it has stay where they are, whatever their keys.

        Raises: ConfigurationError when it has as many, or more; UnavailableError.
        """
        ...

    async def dismiss(self, group_id: str, instance_id: str) -> bool:
        """Take a member with this instance id out of a group, so that its place is free at once.

        One that lives is not ended: it is fenced, as one that was silent for too long, and joins again.
        Returns: whether there was one. Raises: UnavailableError; ConfigurationError when the log does not allow it.
        """
        ...

    async def servers(self) -> Sequence[ServerState]:
        """Return the servers that can be reached; none where the log is a file. Raises: UnavailableError."""
        ...
