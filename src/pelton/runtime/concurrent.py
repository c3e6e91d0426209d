"""A task with several lanes (`concurrency=`): events overlap inside, and become effects in the log's order.

It works in rounds. A round takes some rows, deals them to the lanes by key, so that the events of one key stay in order
(invariant I5), and ends when every lane asks for more. Only then do the effects of the round join the partition's
staged ones, in log order, and the position moves past it: in the middle of a round a commit sees none of it (I2).

Until then it has the keys of tables that its events have written. So it begins anew as a whole, with all its rows, when
it cannot go on: because it waits for an event of another agent, while an earlier one waits for it, in a pause, or while
its code gathers events (`take`) that do not come.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from zlib import crc32

from pelton.batch import RecordBatch, TopicPartition
from pelton.runtime.task import Task
from pelton.state.claims import Stage, WriteConflict, next_ticket
from pelton.stream.lane import Chunk, Lane, Send
from pelton.stream.stream import StreamEnded

__all__ = ["ConcurrentTask"]

#: Rows a lane and a round: enough that a slow event does not idle the other lanes at once, few enough that a commit
#: need not wait long for the round's end.
_ROUND_ROWS_PER_LANE = 16
#: How long a round that waits for rows keeps keys from others that wait for them, and how often it looks, in seconds.
#: Far less than how long these wait before they fail.
_KEEPS_KEYS_S = 4.0
_LOOK_S = 0.1


class _LaneOutbox:
    """Keeps the messages of a lane's events, with the offset they belong to, until the round's end."""

    def __init__(self) -> None:
        self.lane: Lane | None = None
        self.sends: list[tuple[int, Send]] = []

    def extend(self, sends: Sequence[Send]) -> None:
        lane = self.lane
        offset = lane.chunk.offset(lane.cursor) if lane is not None and lane.chunk is not None else 0
        self.sends.extend((offset, message) for message in sends)


class ConcurrentTask(Task):
    """One agent over one partition number, with as many lanes as its concurrency."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._stages: dict[str, Stage] = {}
        self._outboxes: list[_LaneOutbox] = []
        self._mail: list[deque[Chunk]] = []
        self._waiting: set[int] = set()
        self._mail_came: list[asyncio.Event] = []
        #: Lanes that wait for a key, those that are to give back what they have gathered, and those that have done so.
        self._lined_up: set[int] = set()
        self._recalled: set[int] = set()
        self._gave_back: set[int] = set()
        #: What the round was dealt, and its number among all that claim keys; it keeps it when it begins anew.
        self._round: list[Chunk] = []
        self._round_number = 0
        self._round_start: dict[TopicPartition, int] = {}
        self._ended = self._round_answers = 0
        self._round_began_s: float | None = None
        #: Since when others have waited for a key of the round.
        self._wanted_s: float | None = None
        #: Whether the round is begun anew only when there are more rows: without them it would come no further.
        self._for_more = False
        super().__init__(*args, **options)

    def _make_lanes(self) -> list[Lane]:
        self._stages = {name: Stage() for name in self.caches}
        lanes: list[Lane] = []
        for index in range(self.spec.concurrency):
            outbox = _LaneOutbox()
            lane = outbox.lane = self._make_lane(index, outbox, self._stages)
            lanes.append(lane)
            self._outboxes.append(outbox)
            self._mail.append(deque())
            self._mail_came.append(asyncio.Event())
        return lanes

    async def stop(self, timeout_s: float) -> None:
        """Let the round come to its end, or cancel its lanes after a while; an unfinished round leaves no effects."""
        for event in self._mail_came:
            event.set()
        await super().stop(timeout_s)
        if self._round_done():
            self._end_round()

    def positions(self) -> dict[TopicPartition, int]:
        """Return the position before the round, for the partition it reads; the others are where they were."""
        return {**self._taken, **self._round_start}

    @property
    def events(self) -> int:
        """How many events are complete: those of rounds that have ended."""
        return self._ended

    def _unfinished(self) -> Iterable[Chunk]:
        yield from super()._unfinished()
        for mail in self._mail:
            yield from mail

    def _round_done(self) -> bool:
        return next(iter(self._unfinished()), None) is None

    async def next_chunk(self, lane: Lane, *, limit: int | None = None, timeout_s: float | None = None) -> Chunk | None:
        """Return the next rows dealt to a lane; what it had before is complete, unless it holds it."""
        self._finish(lane)
        await asyncio.sleep(0)  # `_rounds` takes the turn
        mail, came = self._mail[lane.index], self._mail_came[lane.index]
        deadline_s = None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s
        while not self._stopping:
            if mail and not self.paused:
                lane.chunk, lane.cursor = self._deal_out(mail, limit), 0
                lane.dirty = bool(lane.ticket)  # an event that began anew has an end, whatever it does this time
                self._handed += len(lane.chunk.rows)
                if self._trace is not None:
                    self._trace.begin(lane, lane.chunk)
                return lane.chunk
            lane.stand_back()  # with nothing to do, it keeps nobody from a key
            came.clear()
            self._waiting.add(lane.index)
            if len(self._waiting) == len(self.lanes):
                self._arrived.set()
            late = False
            try:
                async with asyncio.timeout_at(None if self.paused else deadline_s):
                    await came.wait()
            except TimeoutError:
                late = not self.paused
            finally:
                self._waiting.discard(lane.index)
            if lane.index in self._recalled:
                self._recalled.discard(lane.index)
                self._gave_back.add(lane.index)
                break
            if late:
                return None
        raise StreamEnded

    def _piece(self, batch: RecordBatch, rows: Sequence[int]) -> int:
        return len(rows)  # a round is dealt first, and cut at each lane

    def _deal_out(self, mail: deque[Chunk], limit: int | None) -> Chunk:
        self._pushed, mine = mail, self._pushed
        try:
            return self._take_pushed(limit)
        finally:
            self._pushed = mine

    def start(self) -> None:
        """Start the agent's code, and what deals rows to it."""
        super().start()
        self._coroutines.append(asyncio.create_task(self._rounds(), name=f"{self.spec.name}[{self.partition}].rounds"))

    async def _rounds(self) -> None:
        """Deal rows whenever all lanes wait."""
        while not self._stopping:
            self._arrived.clear()
            if len(self._waiting) == len(self.lanes):
                if self._round_done():
                    self._end_round()
                elif self.paused and any(self._stages.values()):
                    self._undo_round()
                if self._for_more and not self.inbox and self._begun() is None:
                    self._rest()
                elif not any(self._mail):
                    if await self._turn(self._rank) and not self._begin_round():
                        self._rest()
                elif self.paused:
                    self._rest()
            await self._wait_for_rows()

    async def _wait_for_rows(self) -> None:
        """Wait for rows, or for the lanes. Rows may never come: whoever waits for the round's keys has them then."""
        while any(self._stages.values()) and len(self._waiting) == len(self.lanes) and not self._arrived.is_set():
            if not self._wanted():
                self._wanted_s = None
            elif self._wanted_s is None:
                self._wanted_s = self.monotonic()
            elif self.monotonic() - self._wanted_s >= _KEEPS_KEYS_S:
                self._for_more = not any(lane.gathers_s for lane in self.lanes)
                self._undo_round()
                break
            await self.options.clock.wait(self._arrived, _LOOK_S, due=self._wanted_s is not None)
        await self._arrived.wait()

    def _wanted(self) -> bool:
        return any(self.caches[name].claims.wanted(stage) for name, stage in self._stages.items() if stage)

    def _rest(self) -> None:
        self.idle = True
        self.options.settled()

    def pause(self) -> None:
        """Hand nothing out any more; a round that has keys of tables gives them back."""
        super().pause()
        self._arrived.set()

    def _cut_short(self) -> None:
        """Let the lanes go on: a round that is complete is worth more than one that begins anew."""

    def resume(self) -> None:
        """Hand out what comes, and what the lanes have not done."""
        super().resume()
        for came in self._mail_came:
            came.set()

    def _begin_round(self) -> bool:
        chunk = None if self.paused else self._slice(_ROUND_ROWS_PER_LANE * len(self.lanes))
        if chunk is None:
            return False
        self._for_more = False
        # Rows that were rejected just before are dead-lettered already: the round begins behind them. Where a lane
        # holds events of the round before, that one is not over, and its start stays.
        self._round_start.setdefault(chunk.batch.source, chunk.offset(0))
        self._round_began_s = self._round_began_s or self.monotonic()
        self._round.append(chunk)
        if not self._round_number:
            self._round_number = next_ticket()
            for stage in self._stages.values():
                stage.number = self._round_number
        for index, part in self._deal(chunk).items():
            self._mail[index].append(part)
            self._mail_came[index].set()
        return True

    def _deal(self, chunk: Chunk) -> Mapping[int, Chunk]:
        """Split a chunk by key: the same key always goes to the same lane; null keys go round."""
        rows: dict[int, list[int]] = {}
        for index, row in enumerate(chunk.rows):
            key = chunk.batch.keys[row]
            lane = row % len(self.lanes) if key is None else crc32(key) % len(self.lanes)
            rows.setdefault(lane, []).append(index)
        return {
            lane: Chunk(
                chunk.batch,
                [chunk.rows[index] for index in indexes],
                [chunk.values[index] for index in indexes],
                chunk.decode_key,
                chunk.end_offset,
            )
            for lane, indexes in rows.items()
        }

    def _push_back(self, lane: Lane, chunks: list[Chunk]) -> None:
        """Give rows back to the lane that had them."""
        self._handed -= sum(len(chunk.rows) for chunk in chunks)
        self._mail[lane.index].extendleft(reversed(chunks))
        self._mail_came[lane.index].set()

    async def _conflicted(self, lane: Lane, conflict: WriteConflict) -> None:
        self._lined_up.add(lane.index)
        try:
            await super()._conflicted(lane, conflict)
        finally:
            self._lined_up.discard(lane.index)

    def _look_around(self, lane: Lane) -> None:
        """Let an earlier event have its key that waits for this round, which waits for others: it may be for that."""
        waits = self._lined_up | {index for index in self._waiting if self.paused or not self._mail[index]}
        if len(waits) == len(self.lanes) and any(
            self.caches[name].claims.keeps_waiting(stage) for name, stage in self._stages.items() if stage
        ):
            self._undo_round()
            for index in self._lined_up - {lane.index}:
                self.lanes[index].stand_back()  # the round begins anew when one has been waited for, not all

    def _undo_round(self) -> None:
        """Take the round's rows back, and drop what came of them; every lane waits. It is begun anew by and by."""
        for lane in self.lanes:
            if lane.held and lane.index in self._waiting:
                self._recalled.add(lane.index)
                self._mail_came[lane.index].set()
            lane.held.clear()
            lane.chunk = None
        for mail, outbox in zip(self._mail, self._outboxes, strict=True):
            mail.clear()
            outbox.sends.clear()
        for name, stage in self._stages.items():
            self.caches[name].claims.end_round(stage)
            stage.clear()
        undone = {(chunk.batch.source, chunk.batch.offsets[row]) for chunk in self._round for row in chunk.rows}
        self._letters = [letter for letter in self._letters if letter[:2] not in undone]
        self._round_answers, self._handed = 0, self._ended
        for chunk in self._round:
            self._decode_anew(chunk, len(chunk.rows))
        self._pushed.extendleft(reversed(self._round))
        self._round.clear()
        self._wanted_s = None

    def _returned(self, lane: Lane) -> None:
        if lane.index in self._gave_back:
            self._gave_back.discard(lane.index)  # its stream has ended, for the code to let go of what it had gathered
        else:
            super()._returned(lane)

    def _answered(self, lane: Lane) -> None:
        self._round_answers += lane.answers
        lane.answers = 0

    def _end_round(self) -> None:
        """Every event of the round is complete: its effects join the partition's, in log order."""
        for name, stage in self._stages.items():
            if stage:
                cache = self.caches[name]
                cache.merge(stage)
                cache.claims.end_round(stage)
                stage.clear()
        sends = [item for outbox in self._outboxes for item in outbox.sends]
        if sends:
            sends.sort(key=lambda item: item[0])
            self.outbox.extend([message for _, message in sends])
            for outbox in self._outboxes:
                outbox.sends.clear()
        self._round_start.clear()
        self._round.clear()
        self._round_number, self._wanted_s = 0, None
        if self._round_began_s is not None:
            self.options.measures.process_s[self.spec.name].observe(self.monotonic() - self._round_began_s)
            self._round_began_s = None
        self.answers, self._round_answers = self.answers + self._round_answers, 0
        self._ended = self._completed()
