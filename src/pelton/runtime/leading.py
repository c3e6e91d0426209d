"""Leadership: the worker that owns partition number 0 does what only one of them may do.

So a leader changes as partitions do: an orderly one has ended its work before the next one begins, and one that dies is
followed once the group has noticed. A worker that was suspended past its session cannot know, until it wakes up, that
it was replaced; what it begins afterwards is refused, because it asks the log first, and an answer does not outlive a
suspension.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pelton.clock import Clock
from pelton.errors import FencedError, UnavailableError
from pelton.log.contract import Group
from pelton.runtime.assignment import Assignment

__all__ = ["LEADER_NUMBER", "Leading"]

LEADER_NUMBER = 0


class Leading:
    """Whether this worker leads.

    ending: awaited when it is about to lead no longer, before the group may give partition 0 to another.
    lease_s: how long the group gives partition 0 to nobody else, whatever becomes of this worker, from a moment on at
        which it took this worker for the leader.
    """

    def __init__(
        self,
        assignment: Assignment,
        group: Callable[[], Group],
        commit_lock: asyncio.Lock,
        clock: Clock,
        lease_s: float,
    ) -> None:
        self.ending: Callable[[], Awaitable[None]] | None = None
        self._clock = clock
        self._lease_s = lease_s
        self._sure_until = 0.0
        self._assignment = assignment
        self._group = group
        self._commit_lock = commit_lock
        assignment.leaving = self._leaving

    def leads(self) -> bool:
        """Return whether this worker is the leader, as far as it knows."""
        partition = self._assignment.partitions.get(LEADER_NUMBER)
        return partition is not None and partition.state == "running"

    def epoch(self) -> int | None:
        """Return a number that is greater for each later leader; None when this worker is none."""
        return self._group().generation if self.leads() else None

    async def confirm(self) -> bool:
        """Return whether the group takes this worker for the leader: by a fenced commit that changes nothing."""
        asked = self._clock.monotonic()
        # Not cut off when leadership ends meanwhile: a transaction must come to its end.
        confirmed = await asyncio.shield(asyncio.ensure_future(self._confirm()))
        if confirmed:
            self._sure_until = max(self._sure_until, asked + self._lease_s)
        return confirmed and self.sure()

    def sure(self) -> bool:
        """Return whether what `confirm` heard still holds: not when the process was suspended since it asked."""
        return self.leads() and self._clock.monotonic() < self._sure_until

    async def _confirm(self) -> bool:
        async with self._commit_lock:
            partition = self._assignment.partitions.get(LEADER_NUMBER)
            if partition is None or partition.state != "running" or not partition.committed_positions:
                return False
            try:
                await self._group().commit([], partition.committed_positions)
            except (FencedError, UnavailableError):
                return False
        return self.leads()

    async def _leaving(self, number: int) -> None:
        if number == LEADER_NUMBER and self.ending is not None:
            await self.ending()
