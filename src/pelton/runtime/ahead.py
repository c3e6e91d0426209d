"""A task whose lane may take rows ahead of the one that its code is at, and give them back one by one.

That is what `stream.map_async` and timers stand on. Rows that were taken are held by the lane until each is complete,
so the position is that of the first that is not, however many behind it are (invariant I2). What the code is at is then
*apart*: when it fails, it alone is tried again, or dead-lettered, and the others only go back to where they came from.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from contextvars import copy_context
from dataclasses import replace
from typing import Any

from pelton.backoff import Backoff
from pelton.runtime.attempts import ends_the_worker
from pelton.runtime.cancelling import cancel
from pelton.runtime.deadletter import dead_letter
from pelton.runtime.task import Task
from pelton.stream.lane import CURRENT_LANE, Apart, Chunk, Lane, StreamEnded

__all__ = ["AheadTask"]

logger = logging.getLogger(__name__)


class AheadTask(Task):
    """One agent over one partition number, with a single lane."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._side_work = _SideWork()
        self._going = asyncio.Event()
        self._going.set()

    # -- the feed of its operators -----------------------------------------------------------------

    @property
    def backoff(self) -> Backoff:
        """How what fails is tried again."""
        return self._attempts.backoff

    async def sleep(self, delay_s: float) -> None:
        """Return after so many seconds."""
        await self.options.clock.sleep(delay_s)

    def turn(self, lane: Lane) -> None:
        """Begin to look for something to do; what comes from here on ends the next `rest`. Raises: StreamEnded."""
        self._report(lane)
        self._take_left(lane)
        if self._stopping:
            raise StreamEnded
        self._arrived.clear()

    def poll(self, lane: Lane, limit: int) -> Chunk | None:
        """Return rows that are there already, for the lane to hold; None when there are none, or it is paused."""
        chunk = None if self.paused else self._slice(limit)
        if chunk is not None:
            self._handed += len(chunk.rows)
            if self._trace is not None:
                self._trace.begin(lane, chunk, singly=True)
        return chunk

    async def breathe(self, lane: Lane) -> None:
        """Let the other tasks have their turn, and wait while too much is staged."""
        self._report(lane)
        await self._turn(self._pressing)

    def _pressing(self) -> int | None:
        """Return the priority of what it does next: results and timers, where there are no rows."""
        if self.paused or self._stopping:
            return None
        rank = self._rank()
        return rank if rank is not None else min(source.priority for source in self.spec.sources.values())

    async def rest(self, lane: Lane, *, idle: bool, timeout_s: float | None = None) -> None:
        """Wait until rows come, `wake` is called, or the time has passed. idle: nothing that was taken is undone."""
        lane.stand_back()  # with nothing to do, it keeps nobody from a key
        await self._room()
        self.idle, self.urgent = idle or (self.paused and not any(self._side_work)), not idle
        if self.idle:
            self.options.settled()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        self.idle = False

    async def resumed(self) -> None:
        """Return once it is not paused. Raises: StreamEnded when it stops before."""
        while self.paused:
            await self._going.wait()
            if self._stopping:
                raise StreamEnded

    def wake(self) -> None:
        """Have the lane look again."""
        self._arrived.set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str, at: Chunk | None = None) -> asyncio.Task[None]:
        """Run something beside the lane, until the task ends. at: the row that it is done for, if it is."""
        full_name = f"{self.spec.name}[{self.partition}].{name}"
        if self._trace is not None and at is not None:
            return self._trace.call(at, name, lambda: self._side_work.spawn(work, full_name))
        return self._side_work.spawn(work, full_name)

    def on_commit(self, then: Callable[[], None], *, waiting: bool = False) -> None:
        """Call something once all that is complete by now is durable. waiting: whether somebody waits for that."""
        self.answers += waiting
        self.when_durable.append(then)

    def give_up(self, lane: Lane, chunk: Chunk, error: Exception, attempts: int) -> None:
        """Dead-letter a row that the lane holds, though its code never saw it.

        Raises: the error itself when it is not the event's fault.
        """
        if ends_the_worker(error):
            raise error
        self.failures += attempts
        self._dead_letter(chunk.batch, chunk.rows[0], error, attempts)
        lane.release(chunk)

    def _report(self, lane: Lane) -> None:
        self.options.pressure.report(lane.written)
        lane.written = 0

    # -- what differs from a task whose lane takes rows in order -------------------------------------

    def pause(self) -> None:
        """Hand nothing out any more, and begin nothing beside the lane."""
        super().pause()
        self._going.clear()
        self._arrived.set()

    def resume(self) -> None:
        """Hand out what comes; the caller has it fetched from where `wanted` says."""
        super().resume()
        self._going.set()

    def _at(self, lane: Lane) -> list[Chunk]:
        return lane.held if lane.apart is not None else super()._at(lane)

    async def stop(self, timeout_s: float) -> None:
        """Let the lane come to the end of its event, or cancel it; what runs beside it is cancelled behind it."""
        self._going.set()
        await super().stop(timeout_s)
        await cancel(self._side_work, self.spec.name)

    async def cancel(self) -> None:
        """Stop at once."""
        self._stopping = True
        await cancel([*self._coroutines, *self._side_work], self.spec.name)

    async def _failed(self, lane: Lane, error: Exception) -> None:
        apart = lane.apart
        if apart is None or ends_the_worker(error):
            await super()._failed(lane, error)
            return
        self.failures += 1
        if self._trace is not None:
            self._trace.failed(lane, error)
        lane.discard_event()
        self._attempts.forget(self.positions())
        chunk, held = apart.chunk, self._held_by(lane)
        event = chunk.batch.source, chunk.offset(0)
        attempts = self._attempts.failed(event)
        logger.warning("agent %s failed at %s@%d, attempt %d", self.spec.name, *event, attempts, exc_info=error)
        self._restore_values(held)
        pause_s = self._attempts.pause_s(event)
        given_up = self._attempts.gives_up(event, error)
        if given_up:
            held = [one for one in held if one is not chunk]
            self._give_up_apart(apart, error, attempts)
        self._push_back(lane, held)
        if not given_up:
            await self._pause(pause_s)

    def _take_back(self, lane: Lane) -> None:
        if lane.apart is None:
            super()._take_back(lane)
            return
        held = self._held_by(lane)
        self._restore_values(held)
        self._push_back(lane, held)

    def _held_by(self, lane: Lane) -> list[Chunk]:
        """Take from the lane what it holds; what its code is at is in it, if that is a record."""
        held = lane.held
        lane.held, lane.chunk, lane.apart, self._gathered = [], None, None, True
        return held

    def _give_up_apart(self, apart: Apart, error: Exception, attempts: int) -> None:
        """Dead-letter what failed; of what is no record the letter goes out with what the operator makes of it."""
        batch, row = apart.chunk.batch, apart.chunk.rows[0]
        if apart.give_up is None:
            self._dead_letter(batch, row, error, attempts)
        elif apart.divide is not None:
            apart.divide()
        else:
            given_up = apart.give_up()
            batch = replace(batch, values=[given_up.value])
            self.dead_lettered += 1
            self.outbox.extend(
                [dead_letter(self.options.dead_letters, batch, row, self.spec.name, error, attempts, given_up.name)]
            )


class _SideWork:
    """Coroutines that run beside a lane.

    They are at no event: tables are read as complete events left them, and what they send leaves at once.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __iter__(self) -> Iterator[asyncio.Task[Any]]:
        return iter(list(self._running))

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        context = copy_context()
        context.run(CURRENT_LANE.set, None)
        task = asyncio.create_task(_until_ended(work), name=name, context=context)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda _: work.close())  # cancelled before its first step, it was never awaited
        return task


async def _until_ended(work: Coroutine[Any, Any, None]) -> None:
    with suppress(StreamEnded):  # it waited for a resume as the task stopped
        await work
