"""A task: one agent over one partition number. It hands decoded rows to the agent's lane and knows where it stands.

    batches ──▶ queue ──▶ slices ──▶ lane (the agent's code) ──▶ effects, position

The position of a task is the offset of its first event that is not complete: handed out, gathered, pushed back after a
failure, or not handed out yet. A commit reads it at any moment the lane is suspended (invariants I1, I2).
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from pelton.batch import RecordBatch, TopicPartition
from pelton.clock import Clock
from pelton.errors import ConfigurationError, DecodeError, InternalError, UserCodeError
from pelton.runtime.deadletter import dead_letter
from pelton.runtime.source import DecodedBatch, SharedBatch
from pelton.runtime.spec import AgentSpec
from pelton.state.cache import TableCache
from pelton.stream.lane import CURRENT_LANE, Chunk, Lane, Outbox, Send, TableSlot
from pelton.stream.stream import StreamEnded

__all__ = ["Task", "TaskOptions", "TaskStatistics"]

logger = logging.getLogger(__name__)

_SLICE_ROWS_MIN = 1
_SLICE_ROWS_MAX = 8_192
#: The longest wait between two attempts at an event that fails.
_BACKOFF_MAX_S = 30.0
#: A pause that was doubled so often is longer than the longest; a larger power would not fit a float.
_DOUBLINGS_MAX = 20


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """What all tasks of a worker share.

    slice_s: how long a lane may run before others get a turn, in seconds.
    retries_max: attempts after the first before an event is dead-lettered; retry_backoff_s: the first wait, doubled
    each time.
    dead_letters: the dead-letter topic. settled: called when a task has done all that it was given.
    """

    clock: Clock
    slice_s: float
    retries_max: int
    retry_backoff_s: float
    dead_letters: str
    settled: Callable[[], None]


@dataclass(frozen=True, slots=True)
class TaskStatistics:
    """Counts since the task began; queued_bytes is of now."""

    agent: str
    partition: int
    events: int
    dead_lettered: int
    failures: int
    queued_bytes: int


class Task:
    """One agent over one partition number, with a single lane.

    starts: where each of its partitions begins.
    dead_lettering: the topics whose undecodable records it is this task's duty to dead-letter (each topic
        has one such agent, so that a record is dead-lettered once).
    """

    def __init__(
        self,
        spec: AgentSpec,
        partition: int,
        caches: Mapping[str, TableCache],
        outbox: Outbox,
        starts: Mapping[TopicPartition, int],
        dead_lettering: frozenset[str],
        options: TaskOptions,
    ) -> None:
        self.spec = spec
        self.partition = partition
        self.outbox = outbox
        self.caches = caches
        self.options = options
        self.lanes = self._make_lanes()
        self.dead_lettered = 0
        self.failures = 0
        self.queued_bytes = 0
        self.idle = False
        self._taken = dict(starts)
        self._dead_lettering = dead_lettering
        self._queue: deque[SharedBatch] = deque()
        self._current: DecodedBatch | None = None
        self._row = 0
        self._slice_rows = 64
        self._handed_at = 0.0
        self._handed_rows = 0
        self._pushed: deque[Chunk] = deque()
        self._handed = 0
        self._gathered = False
        #: (partition, offset, letter) of records that were given up, until the position has passed them.
        self._letters: list[tuple[TopicPartition, int, Send]] = []
        self._barren_failures = 0
        self._attempts: dict[tuple[TopicPartition, int], int] = {}
        self._arrived = asyncio.Event()
        self._stopping = False
        self._coroutines: list[asyncio.Task[None]] = []

    def _make_lanes(self) -> list[Lane]:
        return [self._make_lane(0, self.outbox, None)]

    def _make_lane(self, index: int, outbox: Outbox, stages: Mapping[str, dict[bytes, bytes | None]] | None) -> Lane:
        lane = Lane(self.spec.name, self.partition, index, outbox)
        for name, cache in self.caches.items():
            lane.tables[name] = TableSlot(lane, cache, stages[name] if stages is not None else None)
        return lane

    # -- life --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the agent's code."""
        name = f"{self.spec.name}[{self.partition}]"
        self._coroutines = [asyncio.create_task(self._run(lane), name=f"{name}.{lane.index}") for lane in self.lanes]

    def put(self, shared: SharedBatch) -> None:
        """Take a batch that follows the last one of its partition."""
        source = shared.batch.source
        if shared.batch.next_offset <= self._taken[source]:
            return
        self._queue.append(shared)
        self.queued_bytes += shared.batch.nbytes
        self.idle = False
        self._arrived.set()

    async def stop(self, timeout_s: float) -> None:
        """Let the lanes come to the end of their event, or cancel them: an unfinished event leaves no effects."""
        self._stopping = True
        self._arrived.set()
        running = [task for task in self._coroutines if not task.done()]
        if running:
            _, late = await asyncio.wait(running, timeout=timeout_s)
            await self._cancel(late)

    async def cancel(self) -> None:
        """Stop at once."""
        self._stopping = True
        await self._cancel(self._coroutines)

    async def _cancel(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        pending = [task for task in tasks if not task.done()]
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)

    def crash(self) -> BaseException | None:
        """Return the error that ended a lane against all rules, if one did."""
        for task in self._coroutines:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                return error
        return None

    # -- where it stands -----------------------------------------------------------------------------

    def positions(self) -> dict[TopicPartition, int]:
        """Return, for each partition, the offset of the first event that is not complete."""
        positions = dict(self._taken)
        for chunk in reversed(list(self._unfinished())):
            positions[chunk.batch.source] = chunk.offset(0)
        return positions

    def _unfinished(self) -> Iterable[Chunk]:
        """Yield what was handed out and is not complete, lowest offsets first."""
        for lane in self.lanes:
            yield from self._at(lane)
        yield from self._pushed

    @property
    def events(self) -> int:
        """How many events are complete."""
        return self._completed()

    def _completed(self) -> int:
        return self._handed - sum(len(chunk.rows) for lane in self.lanes for chunk in self._at(lane))

    def _at(self, lane: Lane) -> list[Chunk]:
        """Return what the lane has been handed and has not completed."""
        if lane.held or lane.chunk is None:
            return lane.held
        return [lane.chunk.split(lane.cursor)]

    @property
    def has_letters(self) -> bool:
        """Whether dead letters wait for a commit."""
        return bool(self._letters)

    def take_letters(self) -> list[Send]:
        """Hand over the dead letters of the records that the position has passed, in log order.

        A record may be given up while earlier ones are gathered and not done: its letter must not become visible
        before the position says so, or a restart would write it again.
        """
        if not self._letters:
            return []
        positions = self.positions()
        passed = [letter for letter in self._letters if letter[1] < positions[letter[0]]]
        self._letters = [letter for letter in self._letters if letter[1] >= positions[letter[0]]]
        return [message for *_, message in sorted(passed, key=lambda letter: letter[:2])]

    def statistics(self) -> TaskStatistics:
        """Return the task's counts."""
        return TaskStatistics(
            self.spec.name, self.partition, self.events, self.dead_lettered, self.failures, self.queued_bytes
        )

    # -- the feed of its lane ------------------------------------------------------------------------

    def monotonic(self) -> float:
        """Return elapsed time in seconds."""
        return self.options.clock.monotonic()

    async def next_chunk(self, lane: Lane, *, limit: int | None = None, timeout_s: float | None = None) -> Chunk | None:
        """Return the next rows; what the lane had before is complete, unless it holds it."""
        self._finish(lane)
        await asyncio.sleep(0)  # the other tasks, the web server and the heartbeats have their turn
        while not self._stopping:
            chunk = self._slice(limit)
            if chunk is not None:
                lane.chunk, lane.cursor = chunk, 0
                self._handed_at, self._handed_rows = self.monotonic(), len(chunk.rows)
                self._handed += len(chunk.rows)
                return chunk
            if not await self._wait(timeout_s):
                return None
        raise StreamEnded

    def _finish(self, lane: Lane) -> None:
        """The lane has come to the end of its chunk."""
        if lane.dirty:
            lane.finish_event()
        if lane.chunk is not None and self._handed_rows == self._slice_rows:
            self._adapt(self.monotonic() - self._handed_at)
        lane.chunk = None
        self._take_left(lane)

    def _adapt(self, elapsed_s: float) -> None:
        """Choose the size of a slice so that one takes about slice_s, growing fourfold at most."""
        ratio = self.options.slice_s / max(elapsed_s, 1e-6)
        rows = int(self._slice_rows * min(ratio, 4.0))
        self._slice_rows = max(_SLICE_ROWS_MIN, min(_SLICE_ROWS_MAX, rows))

    async def _wait(self, timeout_s: float | None) -> bool:
        """Wait for a batch. Returns: False when none came in time."""
        self._arrived.clear()
        self.idle = True
        self.options.settled()
        try:
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        except TimeoutError:
            return False
        return True

    def _slice(self, limit: int | None) -> Chunk | None:
        """Cut the next rows off; dead-letters the rejected rows that come first."""
        if self._pushed:
            return self._take_pushed(limit)
        while (decoded := self._open_batch()) is not None:
            end = decoded.next_reject(self._row)
            if end > self._row:
                rows = self._slice_rows if limit is None else min(limit, self._slice_rows)
                return self._cut(decoded, min(end, self._row + rows))
            self._reject(decoded, self._row)
        return None

    def _open_batch(self) -> DecodedBatch | None:
        """Return the batch that has rows left, opening the next one when the last is done."""
        while self._current is None or self._row >= len(self._current.values):
            if not self._queue:
                self._current = None
                return None
            shared = self._queue.popleft()
            self.queued_bytes -= shared.batch.nbytes
            source = shared.batch.source
            self._current = shared.decode(self.spec.sources[source.topic])
            self._row = bisect_left(shared.batch.offsets, self._taken[source])
            self._taken[source] = self._current.position(self._row)
        return self._current

    def _cut(self, decoded: DecodedBatch, end: int) -> Chunk:
        start, self._row = self._row, end
        position = decoded.position(end)
        self._taken[decoded.batch.source] = position
        values = decoded.values[start:end] if end - start < len(decoded.values) else decoded.values
        return Chunk(decoded.batch, range(start, end), values, decoded.source.key_codec.decode, position)

    def _reject(self, decoded: DecodedBatch, row: int) -> None:
        """Dead-letter a row that could not be decoded, and step over it."""
        if decoded.batch.topic in self._dead_lettering:
            self._dead_letter(decoded.batch, row, decoded.rejected[row], 1)
        self._row = row + 1
        self._taken[decoded.batch.source] = decoded.position(row + 1)

    def _dead_letter(self, batch: RecordBatch, row: int, error: Exception, attempts: int) -> None:
        message = dead_letter(self.options.dead_letters, batch, row, self.spec.name, error, attempts)
        self._letters.append((batch.source, batch.offsets[row], message))
        self.dead_lettered += 1

    def _take_pushed(self, limit: int | None) -> Chunk:
        """Return rows that were handed out before; one by one when a batch of them failed."""
        chunk = self._pushed.popleft()
        rows = 1 if chunk.alone else limit or len(chunk.rows)
        if rows < len(chunk.rows):
            self._pushed.appendleft(chunk.split(rows))
            return Chunk(
                chunk.batch, chunk.rows[:rows], chunk.values[:rows], chunk.decode_key, chunk.offset(rows), chunk.alone
            )
        return chunk

    # -- the agent's code ------------------------------------------------------------------------------

    async def _run(self, lane: Lane) -> None:
        """Run the agent's code, again after each failure, until the task stops."""
        CURRENT_LANE.set(lane)
        idle_returns = 0
        while not self._stopping:
            before = self._completed()
            try:
                await self._call(lane)
            except asyncio.CancelledError as error:
                if self._stopping or cast("asyncio.Task[None]", asyncio.current_task()).cancelling():
                    raise
                # Nobody cancelled this lane: its code awaited something that was cancelled. A lane must not end of it.
                await self._failed(lane, UserCodeError(f"what the agent awaited was cancelled: {error!r}"))
            except Exception as error:
                await self._failed(lane, error)
            else:
                self._returned(lane)
                idle_returns = idle_returns + 1 if self._completed() == before else 0
                if idle_returns and not self._stopping:
                    await self._pause(idle_returns)

    async def _call(self, lane: Lane) -> None:
        result = self.spec.run(self, lane)
        if not isinstance(result, AsyncGenerator):
            await result
            return
        async with aclosing(result) as outputs:
            async for value in outputs:
                emitted = self.spec.emit(lane, value)
                if emitted is not None:
                    await emitted

    def _returned(self, lane: Lane) -> None:
        """The code returned: the event it was at is complete, the rows behind it are not."""
        if self._stopping:
            return
        logger.warning("agent %s returned before its stream ended; it is called again", self.spec.name)
        lane.leave()
        self._take_left(lane)

    def _take_left(self, lane: Lane) -> None:
        """Take back the rows behind the place where the code left an iteration."""
        if lane.left:
            self._push_back(lane, lane.left)
            lane.left = []

    def _push_back(self, lane: Lane, chunks: list[Chunk]) -> None:
        """Take rows back that the lane had and has not done; they come first again."""
        self._handed -= sum(len(chunk.rows) for chunk in chunks)
        self._pushed.extendleft(reversed(chunks))

    async def _failed(self, lane: Lane, error: Exception) -> None:
        """Undo the event, and try it again after a while or dead-letter it."""
        self.failures += 1
        lane.discard_event()
        if isinstance(error, ConfigurationError | InternalError):
            raise error
        positions = self.positions()
        self._attempts = {event: n for event, n in self._attempts.items() if event[1] >= positions[event[0]]}
        unit = self._failed_unit(lane)
        if not unit:
            self._barren_failures += 1
            logger.error("agent %s failed before its first event", self.spec.name, exc_info=error)
            await self._pause(self._barren_failures)
            return
        self._barren_failures = 0
        first = unit[0].batch.source, unit[0].offset(0)
        attempts = self._attempts[first] = self._attempts.get(first, 0) + 1
        logger.warning("agent %s failed at %s@%d, attempt %d", self.spec.name, *first, attempts, exc_info=error)
        final = attempts > self.options.retries_max or isinstance(error, DecodeError)
        if final:
            self._attempts.pop(first)
            self._give_up(lane, unit, error, attempts)
        else:
            self._push_back(lane, unit)
            await self._pause(attempts)

    def _failed_unit(self, lane: Lane) -> list[Chunk]:
        """Take from the lane what failed together, with the rows behind it."""
        unit = list(lane.held)
        if not unit and lane.chunk is not None:
            unit = [lane.chunk.split(lane.cursor)]
        self._gathered = bool(lane.held)
        lane.held.clear()
        lane.chunk = None
        return unit

    def _give_up(self, lane: Lane, unit: list[Chunk], error: Exception, attempts: int) -> None:
        """Dead-letter the event that failed; of several that failed together, find the one first."""
        if self._gathered and sum(len(chunk.rows) for chunk in unit) > 1:
            for chunk in unit:
                chunk.alone = True
            self._push_back(lane, unit)
            return
        chunk = unit[0]
        self._dead_letter(chunk.batch, chunk.rows[0], error, attempts)
        if len(chunk.rows) > 1:
            self._push_back(lane, [chunk.split(1), *unit[1:]])

    async def _pause(self, attempt: int) -> None:
        """Wait before another attempt, longer each time; a stop cuts it short."""
        delay = min(self.options.retry_backoff_s * 2 ** min(attempt - 1, _DOUBLINGS_MAX), _BACKOFF_MAX_S)
        deadline = self.monotonic() + delay
        while not self._stopping and (left := deadline - self.monotonic()) > 0:
            await self.options.clock.sleep(min(left, 0.05))
