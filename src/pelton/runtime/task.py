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
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import cast

from pelton.batch import RecordBatch, TopicPartition
from pelton.codec import decode_column
from pelton.errors import UserCodeError
from pelton.runtime.attempts import Attempts, ends_the_worker
from pelton.runtime.cancelling import cancel
from pelton.runtime.deadletter import dead_letter
from pelton.runtime.inbox import Inbox
from pelton.runtime.source import DecodedBatch, SharedBatch
from pelton.runtime.spec import AgentSpec
from pelton.runtime.task_options import TaskOptions, TaskStatistics
from pelton.state.cache import TableCache
from pelton.state.claims import Stage, WriteConflict, conflict_in
from pelton.stream.lane import CURRENT_LANE, ENTRY_BYTES, Chunk, Lane, Outbox, Send
from pelton.stream.stream import StreamEnded
from pelton.stream.versioned import slot_over

__all__ = ["Task"]

logger = logging.getLogger(__name__)

_SLICE_ROWS_MAX = 8_192
#: How often a task that waits for room looks whether it is to stop, in seconds.
_ROOM_S = 0.05
#: How soon, and then how often, an event that waits for a key looks whether it is free; and for how long, in seconds:
#: whoever has it may wait for this very agent.
_KEY_LOOKS_S = (0.001, 0.02)
_KEY_S = 10.0


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
        self._trace = options.tracing.task(spec.name) if options.tracing is not None else None
        self._topics = frozenset(source.topic for source in starts)
        self.lanes = self._make_lanes()
        self.dead_lettered = 0
        self.failures = 0
        #: How many answers to requests complete events have given, dead letters too.
        self.answers = 0
        #: Called once what is complete now is durable; a commit takes them with it.
        self.when_durable: list[Callable[[], None]] = []
        self.idle = False
        #: Whether a commit soon is worth it, though there is more to read: what is staged waits for nothing in here.
        self.urgent = False
        self._taken = dict(starts)
        self._dead_lettering = dead_lettering
        self.paused = False
        self._resumed_s = 0.0
        self.inbox = Inbox(spec.sources)
        self._shared: SharedBatch | None = None
        self._current: DecodedBatch | None = None
        self._row = 0
        self._slice_rows = 64
        self._handed_at = 0.0
        self._handed_rows = 0
        self._reached_ms: int | None = None
        self._pushed: deque[Chunk] = deque()
        self._handed = 0
        self._gathered = False
        #: (partition, offset, letter) of records that were given up, until the position has passed them.
        self._letters: list[tuple[TopicPartition, int, Send]] = []
        self._barren_failures = 0
        self._attempts = Attempts(spec.backoff or options.backoff)
        self._arrived = asyncio.Event()
        self._stopping = False
        self._coroutines: list[asyncio.Task[None]] = []

    def _make_lanes(self) -> list[Lane]:
        return [self._make_lane(0, self.outbox, None)]

    def _make_lane(self, index: int, outbox: Outbox, stages: Mapping[str, Stage] | None) -> Lane:
        if self._trace is None:
            lane = Lane(self.spec.name, self.partition, index, outbox, self.options.acceptance)
        else:
            lane = self._trace.lane(self.partition, index, outbox, self.options.acceptance)
        lane.topics = self._topics
        lane.key_decoder = next(iter(self.spec.sources.values())).key_codec.decode
        for name, cache in self.caches.items():
            stage = stages[name] if stages is not None else None
            lane.tables[name] = slot_over(cache, lane, stage, name, self.options.changelogs.get(name, ""))
        return lane

    # -- life --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the agent's code."""
        name = f"{self.spec.name}[{self.partition}]"
        self._coroutines = [asyncio.create_task(self._run(lane), name=f"{name}.{lane.index}") for lane in self.lanes]
        for coroutine in self._coroutines:
            coroutine.add_done_callback(self._lane_ended)

    def _lane_ended(self, coroutine: asyncio.Task[None]) -> None:
        if not coroutine.cancelled() and coroutine.exception() is not None:
            self.options.settled()  # whoever looks finds the error in `crash`

    def put(self, shared: SharedBatch) -> None:
        """Take a batch that follows the last one of its partition."""
        if not self.paused and shared.batch.next_offset > self.wanted(shared.batch.source):
            self.inbox.append(shared)
            self.idle = False
            self._arrived.set()

    @property
    def queued_bytes(self) -> int:
        """The bytes that wait in front of it."""
        return self.inbox.nbytes

    def wanted(self, source: TopicPartition) -> int:
        """Return the offset behind all that it has of a partition, handed out or not."""
        return max(self._taken[source], self.inbox.end(source))

    def pause(self) -> None:
        """Hand nothing out any more. What waits is read again later: others on the topic must not wait for this one."""
        self.paused = True
        self._cut_short()
        for lane in self.lanes:
            lane.stand_back()
        self.inbox.clear()
        self._shared = self._current = None
        self.options.turns.release()

    def _cut_short(self) -> None:
        """Take back what the lane has and has not come to: a slice of slow events takes many times what it should."""
        (lane,) = self.lanes
        if (rest := lane.cut_short()) is not None:
            self._push_back(lane, [rest])
            self._handed_rows = 0  # how long it took says nothing of a whole slice

    def resume(self) -> None:
        """Hand out what comes; the caller has it fetched from where `wanted` says."""
        self.paused = self.idle = False
        self._resumed_s = self.monotonic()
        self._arrived.set()

    async def stop(self, timeout_s: float) -> None:
        """Let the lanes come to the end of their event, or cancel them: an unfinished event leaves no effects."""
        self._stopping = True
        self._cut_short()
        self._arrived.set()
        self.options.turns.release()
        running = [task for task in self._coroutines if not task.done()]
        if running:
            _, late = await asyncio.wait(running, timeout=timeout_s)
            await cancel(late, self.spec.name)

    async def cancel(self) -> None:
        """Stop at once."""
        self._stopping = True
        await cancel(self._coroutines, self.spec.name)

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

    def handed_out(self) -> Mapping[TopicPartition, int]:
        """Return, for each partition, the offset behind what was handed to the lanes, complete or not."""
        return self._taken

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
    def gathers_s(self) -> float:
        """For how long its code gathers events at most, before it handles them together."""
        return max(lane.gathers_s for lane in self.lanes)

    @property
    def has_letters(self) -> bool:
        """Whether dead letters wait for a commit, and for nothing else."""
        if not self._letters:
            return False
        positions = self.positions()
        return any(offset < positions[source] for source, offset, _ in self._letters)

    @property
    def letter_bytes(self) -> int:
        """About the memory of the dead letters that wait; looks at each of them."""
        return sum(ENTRY_BYTES + len(message.value or b"") for *_, message in self._letters)

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
        late_events = sum(lane.late_events for lane in self.lanes)
        counts = self.events, self.dead_lettered, self.failures, late_events, self.queued_bytes
        return TaskStatistics(self.spec.name, self.partition, *counts, self.paused, self._reached_ms)

    # -- the feed of its lane ------------------------------------------------------------------------

    def monotonic(self) -> float:
        """Return elapsed time in seconds."""
        return self.options.clock.monotonic()

    def time_ms(self) -> int:
        """Return the wall clock, in milliseconds since the epoch."""
        return self.options.clock.time_ms()

    def waiting(self) -> set[str]:
        """Return the topics of which rows are here, or in the log, and have not been handed out."""
        batches = [chunk.batch for chunk in self._pushed]
        if (begun := self._begun()) is not None:
            batches.append(begun)
        return self.inbox.topics() | {batch.topic for batch in batches} | self.options.owed(self._taken)

    def listening_since_s(self) -> float:
        """Return since when records come as they are written: it was paused before, or the log did not answer."""
        return max(self._resumed_s, self.options.answering_since_s())

    async def next_chunk(self, lane: Lane, *, limit: int | None = None, timeout_s: float | None = None) -> Chunk | None:
        """Return the next rows; what the lane had is complete, unless it holds it. No time runs out in a pause."""
        self._finish(lane)
        deadline_s: float | None = None
        while await self._turn(self._rank):
            chunk = None if self.paused else self._slice(limit)
            if chunk is not None:
                lane.chunk, lane.cursor = chunk, 0
                lane.dirty = bool(lane.ticket)  # an event that began anew has an end, whatever it does this time
                self._handed_at, self._handed_rows = self.monotonic(), len(chunk.rows)
                self._handed += len(chunk.rows)
                if self._trace is not None:
                    self._trace.begin(lane, chunk)
                return chunk
            lane.stand_back()  # with nothing to do, it keeps nobody from a key
            if deadline_s is None and timeout_s is not None:
                deadline_s = asyncio.get_running_loop().time() + timeout_s
            if not await self._wait(None if self.paused else deadline_s) and not self.paused:
                return None
        raise StreamEnded

    def _rank(self) -> int | None:
        """Return the priority of what it would hand out next, None when there is nothing."""
        if self.paused or self._stopping:
            return None
        at = self._pushed[0].batch if self._pushed else self._begun()
        ranks = (self.inbox.rank(), self.inbox.rank(at.topic) if at is not None else None)
        return max((rank for rank in ranks if rank is not None), default=None)

    def _begun(self) -> RecordBatch | None:
        """Return the batch that has rows left of those that were opened."""
        current = self._current
        return current.batch if current is not None and self._row < len(current.values) else None

    async def _turn(self, rank: Callable[[], int | None]) -> bool:
        """Wait until the other tasks, the web server and the heartbeats have had their turn, and there is room.

        Returns: False when it is to stop.
        """
        await self.options.turns.take(rank)
        while await self._room():
            await self.options.turns.take(rank)
        return not self._stopping

    async def _room(self) -> bool:
        """Wait for a commit while too much is staged: all events that were handed out are complete here.

        Returns: whether it had to wait.
        """
        waited = False
        while not self._stopping and self.options.pressure.full():
            self.options.settled()
            await self.options.clock.wait(self.options.pressure.room, _ROOM_S, due=True)
            waited = True
        return waited

    def _finish(self, lane: Lane) -> None:
        """The lane has come to the end of its chunk."""
        if lane.dirty and not lane.held:  # what is gathered only now has not been at any key yet
            lane.finish_event()
        self.options.pressure.report(lane.written)
        lane.written = 0
        if lane.answers:
            self._answered(lane)
        if self._trace is not None and not lane.held:
            self._trace.done(lane)
        if lane.chunk is not None and self._handed_rows:
            elapsed_s = self.monotonic() - self._handed_at
            self.options.measures.process_s[self.spec.name].observe(elapsed_s)
            if self._handed_rows == self._slice_rows:
                self._adapt(elapsed_s)
        lane.chunk = None
        self._take_left(lane)

    def _answered(self, lane: Lane) -> None:
        """Count the answers of a lane's complete events: somebody waits for the commit that holds them."""
        self.answers += lane.answers
        lane.answers = 0

    def _adapt(self, elapsed_s: float) -> None:
        """Choose the size of a slice so that one takes about as long as it may, growing fourfold at most."""
        ratio = self.options.turns.slice_s / max(elapsed_s, 1e-6)
        rows = int(self._slice_rows * min(ratio, 4.0))
        self._slice_rows = max(1, min(_SLICE_ROWS_MAX, rows))

    async def _wait(self, deadline_s: float | None) -> bool:
        """Wait for a batch. Returns: False when none came in time."""
        self._arrived.clear()
        self.idle = True
        self.options.settled()
        try:
            async with asyncio.timeout_at(deadline_s):
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
                end = min(end, self._row + rows)
                return self._cut(decoded, self._row + self._piece(decoded.batch, range(self._row, end)))
            self._reject(decoded, self._row)
        return None

    def _open_batch(self) -> DecodedBatch | None:
        """Return the batch that has rows left, opening the next one when the last is done."""
        if self._current is not None and self._shared is not None and self.inbox.outranks(self._current.batch.topic):
            self.inbox.put_back(self._shared)
            self._current = None
        while self._current is None or self._row >= len(self._current.values):
            if not self.inbox:
                self._shared = self._current = None
                return None
            shared = self._shared = self.inbox.take()
            source = shared.batch.source
            began_s = self.monotonic()
            self._current = shared.decode(self.spec.sources[source.topic])
            self.options.measures.decode_s[source.topic].observe(self.monotonic() - began_s)
            self._row = bisect_left(shared.batch.offsets, self._taken[source])
            self._taken[source] = self._current.position(self._row)
        return self._current

    def _piece(self, batch: RecordBatch, rows: Sequence[int]) -> int:
        """Return how many of the first rows may be handed out together."""
        return len(rows) if self._trace is None else self._trace.piece(self.lanes[0], batch, rows)

    def _cut(self, decoded: DecodedBatch, end: int) -> Chunk:
        start, self._row = self._row, end
        self._taken[decoded.batch.source] = position = decoded.position(end)
        self._reached_ms = max(self._reached_ms or 0, decoded.batch.timestamps_ms[end - 1])
        return Chunk(
            decoded.batch, range(start, end), decoded.values[start:end], decoded.source.key_codec.decode, position
        )

    def _reject(self, decoded: DecodedBatch, row: int) -> None:
        """Dead-letter a row that could not be decoded, and step over it."""
        if decoded.batch.topic in self._dead_lettering:
            self._dead_letter(decoded.batch, row, decoded.rejected[row], 1)
        self._row = row + 1
        self._taken[decoded.batch.source] = decoded.position(row + 1)

    def _dead_letter(self, batch: RecordBatch, row: int, error: Exception, attempts: int) -> None:
        if self._trace is not None:
            self._trace.given_up(batch, row, error)
        told = [dead_letter(self.options.dead_letters, batch, row, self.spec.name, error, attempts)]
        refusal = self.spec.refuse(batch, row, error) if self.spec.refuse is not None else None
        if refusal is not None and self.lanes[0].may_send(refusal):
            told.append(refusal)
            self.answers += 1
        self._letters += [(batch.source, batch.offsets[row], message) for message in told]
        self.options.pressure.report(sum(ENTRY_BYTES + len(message.value or b"") for message in told))
        self.dead_lettered += 1

    def _take_pushed(self, limit: int | None) -> Chunk:
        """Return rows that were handed out before; one by one when a batch of them failed."""
        chunk = self._pushed.popleft()
        rows = 1 if chunk.alone else limit or len(chunk.rows)
        if self._trace is not None:
            rows = min(rows, self._trace.piece(self.lanes[0], chunk.batch, chunk.rows))
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
                self._returned(lane)
            except asyncio.CancelledError as error:
                if self._stopping or cast("asyncio.Task[None]", asyncio.current_task()).cancelling():
                    raise
                # Nobody cancelled this lane: its code awaited something that was cancelled. A lane must not end of it.
                await self._failed(lane, UserCodeError(f"what the agent awaited was cancelled: {error!r}"))
            except BaseException as error:
                if (conflict := conflict_in(error)) is not None:
                    await self._conflicted(lane, conflict)
                elif isinstance(error, Exception):
                    await self._failed(lane, error)
                else:
                    raise
            else:
                idle_returns = idle_returns + 1 if self._completed() == before else 0
                if idle_returns and not self._stopping:
                    await self._pause(self.options.backoff.pause_s(idle_returns, self.spec.name))

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
        if self._trace is not None:
            self._trace.failed(lane, error)
        lane.discard_event()
        if ends_the_worker(error):
            raise error
        self._attempts.forget(self.positions())
        unit = self._failed_unit(lane)
        if not unit:
            self._barren_failures += 1
            logger.error("agent %s failed before its first event", self.spec.name, exc_info=error)
            await self._pause(self.options.backoff.pause_s(self._barren_failures, self.spec.name))
            return
        self._barren_failures = 0
        first = unit[0].batch.source, unit[0].offset(0)
        attempts = self._attempts.failed(first)
        place: dict[str, object] = {"topic": first[0].topic, "partition": first[0].partition, "offset": first[1]}
        logger.warning(
            "agent %s failed at %s@%d, attempt %d", self.spec.name, *first, attempts, exc_info=error, extra=place
        )
        self._restore_values(unit)
        if self._attempts.gives_up(first, error):
            self._give_up(lane, unit, error, attempts)
        else:
            self._push_back(lane, unit)
            await self._pause(self._attempts.pause_s(first))

    async def _conflicted(self, lane: Lane, conflict: WriteConflict) -> None:
        """Begin the event anew once it is its turn at the key that it came to write."""
        if self._trace is not None:
            self._trace.failed(lane, UserCodeError("another event is at a key that it writes: it begins anew"))
        lane.line_up(conflict)
        deadline_s, look_s = self.monotonic() + _KEY_S, _KEY_LOOKS_S[0]
        while lane.conflict is conflict and not conflict.over() and not self._stopping:
            if self.monotonic() > deadline_s:
                await self._failed(lane, conflict.unsolved(self.spec.name))
                return
            self._look_around(lane)
            await self.options.clock.sleep(look_s)
            look_s = min(look_s * 2, _KEY_LOOKS_S[1])
        self._take_back(lane)

    def _look_around(self, lane: Lane) -> None:
        """Called from time to time while a lane waits for a key."""

    def _take_back(self, lane: Lane) -> None:
        """Take back what the lane is at, with the rows behind it, as if it had not begun."""
        unit = self._failed_unit(lane)
        self._restore_values(unit)
        self._push_back(lane, unit)

    def _failed_unit(self, lane: Lane) -> list[Chunk]:
        """Take from the lane what failed together, with the rows behind it."""
        unit = list(lane.held)
        if not unit and lane.chunk is not None:
            unit = [lane.chunk.split(lane.cursor)]
        self._gathered = bool(lane.held)
        lane.held.clear()
        lane.chunk = None
        return unit

    def _restore_values(self, unit: list[Chunk]) -> None:
        """Decode again what the code has seen: it may have changed the values, and a failed event leaves nothing."""
        for chunk in unit:
            self._decode_anew(chunk, len(chunk.rows) if self._gathered else 1)

    def _decode_anew(self, chunk: Chunk, seen: int) -> None:
        """Decode the first values of a chunk, which the code has seen."""
        codec = self.spec.sources[chunk.batch.topic].value_codec
        values, _ = decode_column(codec, [chunk.batch.values[row] for row in chunk.rows[:seen]])
        chunk.values = [*values, *chunk.values[seen:]]

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

    async def _pause(self, delay_s: float) -> None:
        """Wait before another attempt; a stop cuts it short."""
        deadline = self.monotonic() + delay_s
        while not self._stopping and (left := deadline - self.monotonic()) > 0:
            await self.options.clock.sleep(min(left, 0.05))
