"""What the pages ask of the worker that serves them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pelton.clock import Clock
from pelton.console.graph import Graph
from pelton.log.contract import MemberInfo
from pelton.metrics.lag import PartitionLag
from pelton.runtime.statistics import RuntimeStatistics
from pelton.runtime.watchdog import Health
from pelton.web.letters_api import LetterApi
from pelton.web.topics_api import TopicApi

__all__ = ["Worker"]


class Worker(Protocol):
    """What the pages ask of the worker that serves them; the shell gives it."""

    @property
    def app_id(self) -> str:
        """The application's id, which is its group's."""
        ...

    @property
    def address(self) -> str:
        """Where other workers reach this one's web server."""
        ...

    @property
    def clock(self) -> Clock:
        """The application's clock."""
        ...

    @property
    def topics(self) -> TopicApi:
        """What answers questions about topics."""
        ...

    @property
    def letters(self) -> LetterApi:
        """What answers questions about dead letters."""
        ...

    async def close(self) -> None:
        """Let go of what the pages have opened. Idempotent."""
        ...

    def statistics(self) -> RuntimeStatistics | None:
        """Return the engine's counters; None before it started."""
        ...

    def health(self) -> Health:
        """Return what the watchdog thinks of this worker."""
        ...

    def waiting(self) -> Sequence[str]:
        """Return what this worker waits for before it is ready."""
        ...

    def lags(self) -> Sequence[PartitionLag]:
        """Return how far each partition is behind that runs here."""
        ...

    def members(self) -> Sequence[MemberInfo]:
        """Return all workers of the application, as the group knows them."""
        ...

    def partition_count(self) -> int:
        """Return how many partition numbers there are for the workers to have; 0 before anybody knows."""
        ...

    @property
    def queue_bytes_max(self) -> int:
        """How much may wait in front of all agents before the fetch is paused."""
        ...

    def graph(self) -> Graph | None:
        """Return the topology; None before the engine started."""
        ...

    async def ask_peer(self, address: str, path: str) -> bytes:
        """Return what another worker answers with at an address of its own. Raises: UnavailableError."""
        ...
