"""Waiting for what others write into the file: one look for all who wait for a partition, soon or less soon."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from pelton.batch import TopicPartition
from pelton.errors import PeltonError, UnavailableError
from pelton.log.sqlite import records
from pelton.log.sqlite.database import Database

__all__ = ["POLL_MIN_S", "Ends", "longer"]

#: How often the file is looked at while nothing comes: soon after something came, more rarely when it is quiet.
POLL_MIN_S = 0.001
_POLL_MAX_S = 0.02


def longer(pause_s: float) -> float:
    """Return how long to wait before the next look, when the one after this pause has found nothing."""
    return min(pause_s * 1.2, _POLL_MAX_S)


class Ends:
    """Tells those who wait for a partition when it has got longer: one look from time to time, for all of them.

    Most changes of a file are of other partitions. If each of a worker's global tables and replies looked at each
    change for itself, with a query in the thread that all read in, an idle worker would do little else. A file that
    nobody has written since the last look is not asked again.
    """

    def __init__(self, watcher: Database, woken: asyncio.Event) -> None:
        self._watcher = watcher
        self._woken = woken
        self._waiting: dict[asyncio.Future[None], tuple[TopicPartition, int]] = {}
        self._looking: asyncio.Task[None] | None = None
        #: The file's version before the last look; None where that does not stand for all who wait now.
        self._looked_at: int | None = None

    async def moved(self, partition: TopicPartition, end: int, timeout_s: float) -> None:
        """Wait until a partition ends elsewhere, or is gone, or for so long. Raises: UnavailableError."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[future] = partition, end
        self._looked_at = None
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_on(), name="sqlite ends")
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await future
        finally:
            self._waiting.pop(future, None)

    async def _look_on(self) -> None:
        """Look for as long as anybody waits: soon after something moved, more rarely when it is quiet."""
        pause = POLL_MIN_S
        while self._waiting:
            self._woken.clear()
            pause = POLL_MIN_S if self._look() else longer(pause)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    def _look(self) -> bool:
        """Tell those whose partition has moved. Returns: whether there was one."""
        waiting = [(future, *waited) for future, waited in self._waiting.items() if not future.done()]
        try:
            version = self._watcher.version()
            if version == self._looked_at:
                return False
            with self._watcher.reading():
                ends = records.offset_ranges(self._watcher, [partition for _, partition, _ in waiting])
        except PeltonError as error:
            for future, _, _ in waiting:
                future.set_exception(error)
            return bool(waiting)
        self._looked_at = version  # from before: what was written in between is looked at once more
        there = [future for future, partition, end in waiting if partition not in ends or ends[partition].end != end]
        for future in there:
            future.set_result(None)
        return bool(there)

    async def close(self) -> None:
        """Look no more; whoever still waits hears that the log is closed."""
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        for future in self._waiting:
            if not future.done():
                future.set_exception(UnavailableError("the log was closed meanwhile"))
