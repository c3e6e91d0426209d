"""Freshness: the stores of the partitions that run here note now and then that they are up to date.

So that one that comes back knows whether its changelogs can still bring it up from there; `pelton.runtime.facts` says
why they may not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from pelton.clock import Clock
from pelton.errors import PeltonError
from pelton.log.contract import Group
from pelton.runtime.assignment import Assignment
from pelton.runtime.facts import note_current
from pelton.runtime.partition import Partition
from pelton.runtime.replicated import ReplicatedTables
from pelton.runtime.threads import in_thread

__all__ = ["Freshness"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Look:
    """When a partition was seen to run here, by both clocks."""

    time_ms: int
    at_s: float


class Freshness:
    """Has stores note it.

    What was seen at one look is noted at a later one, when the group is known to have had this worker in between: one
    that stood still may have lost its partitions without having heard of it.
    commit_lock: while it is held, all that was committed is in the stores.
    """

    def __init__(
        self,
        assignment: Assignment,
        group: Callable[[], Group],
        replicated: Callable[[], ReplicatedTables | None],
        commit_lock: asyncio.Lock,
        clock: Clock,
    ) -> None:
        self._assignment = assignment
        self._group = group
        self._replicated = replicated
        self._commit_lock = commit_lock
        self._clock = clock
        self._looks: dict[Partition, _Look] = {}

    async def run(self, every_s: float) -> None:
        """Look now and then."""
        while True:
            await self._clock.sleep(every_s, idle=True)
            async with self._commit_lock:
                await self.look()
            if (replicated := self._replicated()) is not None:
                try:
                    await replicated.note_current()
                except PeltonError as error:
                    logger.warning("could not look how far the global tables are: %s", error)

    async def look(self) -> None:
        """Note what was seen before, and see how it is now; with the commit lock in hand."""
        now = _Look(self._clock.time_ms(), self._clock.monotonic())
        confirmed_at_s = self._group().confirmed_at_s()
        looks: dict[Partition, _Look] = {}
        for partition in self._assignment.running():
            if partition.state != "running":
                continue  # it has gone while another one's store was written
            seen = self._looks.get(partition)
            if seen is None or (confirmed_at_s >= seen.at_s and await self._note(partition, seen)):
                seen = now
            looks[partition] = seen
        self._looks = looks

    async def _note(self, partition: Partition, seen: _Look) -> bool:
        try:
            await in_thread(note_current, partition.store, partition.tables, seen.time_ms)
        except PeltonError as error:
            # A commit meets it too, and sees to it. Until then the store is taken for older than it is.
            logger.warning("partition %d: could not note that its store is up to date: %s", partition.number, error)
            return False
        return True
