"""Which agents of an application are paused: a compacted topic says so, and every worker follows it.

    pause, resume ──▶ <app>-control ──▶ each worker's `Pauses` ──▶ Runtime.pause
                      agent ▶ since when, why; a tombstone when it is resumed

So a pause reaches all workers, those too that join later, and outlives every restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

import msgspec

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.clock import Clock
from pelton.errors import ConfigurationError, OffsetOutOfRangeError, UnavailableError
from pelton.log.contract import Log, TopicSpec

__all__ = ["Pause", "Pauses", "control_spec", "control_topic"]

logger = logging.getLogger(__name__)

#: How often a worker looks for news, in seconds.
_LOOK_S = 0.3
_READ_BYTES = 1024 * 1024
_READ_S = 1.0


class Pause(msgspec.Struct, frozen=True):
    """Why an agent hands out nothing. since_ms: the wall clock when it was paused."""

    since_ms: int
    reason: str = ""


def control_topic(app_id: str) -> str:
    """Return the name of the topic that an application is steered by."""
    return f"{app_id}-control"


def control_spec(app_id: str) -> TopicSpec:
    """Return that topic as it is declared."""
    return TopicSpec(control_topic(app_id), 1, cleanup_policy="compact")


class Pauses:
    """The pauses of an application's agents; `start` reads what there is, and follows.

    changed: called when what is paused has changed.
    """

    def __init__(self, log: Log, app_id: str, clock: Clock, changed: Callable[[], None] | None = None) -> None:
        self._log = log
        self._clock = clock
        self._changed = changed
        self._app_id = app_id
        self._source = TopicPartition(control_topic(app_id), 0)
        self._offset = 0
        self._declared = False
        self._again = False
        self._paused: dict[str, Pause] = {}
        self._following: asyncio.Task[None] | None = None

    @property
    def paused(self) -> Mapping[str, Pause]:
        """Agent -> its pause."""
        return self._paused

    # -- reading -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read which agents are paused, and follow from there. Raises: UnavailableError."""
        await self.read()
        self._following = asyncio.create_task(self._follow(), name="pelton pauses")

    async def read(self) -> None:
        """Read on to the end, or from the beginning the first time. Raises: UnavailableError."""
        await self._declare()
        span = (await self._log.offsets([self._source]))[self._source]
        self._offset = max(self._offset, span.start)
        while self._offset < span.end:
            self._take(await self._read(_READ_S))

    async def _declare(self) -> None:
        if not self._declared:
            await self._log.declare([control_spec(self._app_id)])
            self._declared = True

    async def _read(self, timeout_s: float) -> RecordBatch:
        return await self._log.read(self._source, self._offset, bytes_max=_READ_BYTES, timeout_s=timeout_s)

    def _take(self, batch: RecordBatch) -> None:
        self._offset = batch.next_offset
        before = dict(self._paused)
        for key, value in zip(batch.keys, batch.values, strict=True):
            agent = (key or b"").decode(errors="replace")
            if value is None:
                self._paused.pop(agent, None)
                continue
            try:
                self._paused[agent] = msgspec.json.decode(value, type=Pause)
            except msgspec.DecodeError as error:
                logger.warning("a record of %s says nothing of a pause: %s", self._source, error)
        if self._changed is not None and self._paused.keys() != before.keys():
            self._changed()

    async def _follow(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_S, idle=True)
            try:
                if self._again:
                    await self._begin_again()
                else:
                    self._take(await self._read(0.0))
            except UnavailableError as error:
                logger.warning("cannot hear of pauses for a moment: %s", error)
            except (OffsetOutOfRangeError, ConfigurationError) as error:
                logger.warning("%s was deleted, or made again, it is read from its beginning: %s", self._source, error)
                self._again, self._declared = True, False

    async def _begin_again(self) -> None:
        """Read from the beginning; until the end is reached, what was paused stays so. Raises: PeltonError."""
        fresh = Pauses(self._log, self._app_id, self._clock)
        await fresh.read()
        before, self._paused, self._offset = self._paused, fresh._paused, fresh._offset
        self._again, self._declared = False, True
        if self._changed is not None and self._paused.keys() != before.keys():
            self._changed()

    def crash(self) -> BaseException | None:
        """Return the error that ended the following against all rules, if one did."""
        following = self._following
        return (
            following.exception() if following is not None and following.done() and not following.cancelled() else None
        )

    async def stop(self) -> None:
        """Follow no more. Idempotent."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            self._following = None

    # -- writing -----------------------------------------------------------------------------------

    async def pause(self, agent: str, reason: str = "") -> None:
        """Pause an agent on all workers, also where it is paused already; each hears of it within a second."""
        await self._write(agent, msgspec.json.encode(Pause(self._clock.time_ms(), reason)))

    async def resume(self, agent: str) -> None:
        """Resume an agent on all workers, from where it stood."""
        await self._write(agent, None)

    async def _write(self, agent: str, value: bytes | None) -> None:
        await self._declare()
        batch = OutgoingBatch(self._source.topic, self._source.partition)
        batch.append(agent.encode(), value, self._clock.time_ms())
        await self._log.append([batch])
