"""How a source is run: as an agent whose events come from elsewhere.

    control topic, one partition ──▶ task ◀── reader.read()          what is read is staged in the task's lane:
                                      │                              its records, and its positions in a table
                                      ▼
                one transaction: records, positions, the control topic's offset (fenced by the group)
                                      │ only then
                                      ▼
                              reader.committed(batch)

So a source has what every agent has. Its control topic makes it belong to a partition number, which one worker owns;
that worker's commits are refused once another one does. Positions are rows of a table: they are restored from its
changelog, never ahead of what was committed. What lies in the control topic itself are records that are to be sent
again (`faust -A app dlq replay`), and deliveries that any worker took in.

One batch is read ahead while the last is staged; no more, so a source is as fast as commits are.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from pelton.batch import RecordBatch
from pelton.connect.contract import Source, SourceBatch, SourceReader, SourceRecord
from pelton.errors import ConfigurationError, UnavailableError
from pelton.runtime.deadletter import dead_letter
from pelton.stream.ahead_feed import AheadFeed
from pelton.stream.lane import Chunk, Lane, Send, StreamEnded

__all__ = ["Conversion", "SourcePlaces", "SourceRun"]

logger = logging.getLogger(__name__)

#: Makes the messages of a record; none leaves it out.
Conversion = Callable[[SourceRecord], list[Send]]

#: Pauses before the other side is tried again, in seconds; doubled each time.
_RETRY_S, _RETRY_MAX_S = 0.1, 10.0
#: Rows of the control topic that are taken in one go.
_ROWS = 512

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class SourcePlaces:
    """Where a source has what: its name, its table of positions, its control topic, and the dead letters' topic."""

    name: str
    table: str
    control: str
    dead_letters: str


class SourceRun:
    """One run of a source, in its lane."""

    def __init__(self, feed: AheadFeed, lane: Lane, source: Source, convert: Conversion, places: SourcePlaces) -> None:
        self._feed = feed
        self._lane = lane
        self._source = source
        self._convert = convert
        self._places = places
        self._slot = lane.tables[places.table]
        self._reader: SourceReader | None = None
        self._ahead: tuple[SourceReader, SourceBatch] | None = None
        self._room = asyncio.Event()
        self._error: ConfigurationError | None = None
        self._durable: deque[tuple[SourceReader, SourceBatch]] = deque()
        self._letters = 0

    async def run(self) -> None:
        """Stage what comes, until the task stops. Raises: ConfigurationError."""
        pump = self._feed.spawn(self._pump(), "source")
        try:
            while True:
                self._feed.turn(self._lane)
                await self._step()
        except StreamEnded:
            return
        finally:
            pump.cancel()
            await asyncio.wait([pump])
            await self._close()

    async def _step(self) -> None:
        """Do one thing that there is to do, or wait for one."""
        if self._error is not None:
            raise self._error
        if self._durable:
            await self._acknowledge(*self._durable.popleft())
        elif self._feed.paused:
            await self._feed.rest(self._lane, idle=True)
        elif (chunk := self._feed.poll(self._lane, _ROWS)) is not None:
            self._resend(chunk)
            await self._feed.breathe(self._lane)
        elif self._ahead is not None:
            self._stage(*self._ahead)
            self._ahead = None
            self._room.set()
            await self._feed.breathe(self._lane)
        else:
            await self._feed.rest(self._lane, idle=True)

    # -- reading -----------------------------------------------------------------------------------

    async def _pump(self) -> None:
        """Read one batch ahead, beside the lane; begin anew from the positions when that fails."""
        delay = _RETRY_S
        while True:
            try:
                reader = self._reader = await self._source.open(self._positions())
                while True:
                    batch = await reader.read()
                    delay = _RETRY_S
                    self._room.clear()
                    self._ahead = reader, batch
                    self._feed.wake()
                    await self._room.wait()
            except ConfigurationError as error:
                self._error = error
                self._feed.wake()
                return
            except Exception as error:
                # Whatever it was, nothing is lost: what was read and not staged is read again.
                trace = None if isinstance(error, UnavailableError) else error
                name = self._places.name
                logger.warning("source %s: trying again in %.1f s: %s", name, delay, error, exc_info=trace)
            await self._close()
            await self._feed.sleep(delay)
            delay = min(delay * 2, _RETRY_MAX_S)

    def _positions(self) -> dict[str, Any]:
        return {key.decode(): _decode(data) for key, data in self._slot.scan()}

    async def _close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            try:
                await reader.close()
            except Exception as error:  # it is gone either way
                logger.warning("source %s: could not be closed in order: %s", self._places.name, error)

    async def _acknowledge(self, reader: SourceReader, batch: SourceBatch) -> None:
        """Tell the reader, unless another took its place: the other side gives that one the batch again."""
        if reader is not self._reader:
            return
        try:
            await reader.committed(batch)
        except Exception as error:
            logger.warning("source %s: could not acknowledge: %s", self._places.name, error)

    # -- staging -----------------------------------------------------------------------------------

    def _stage(self, reader: SourceReader, batch: SourceBatch) -> None:
        """Make a batch, and the positions behind it, effects of one event."""
        for record in batch.records:
            self._send(record, self._as_row)
        for split, position in batch.positions.items():
            self._slot.put(split.encode(), None if position is None else _encode(position))
        self._lane.finish_event()
        self._feed.on_commit(lambda: self._committed(reader, batch), waiting=batch.waiting)

    def _committed(self, reader: SourceReader, batch: SourceBatch) -> None:
        self._durable.append((reader, batch))
        self._feed.wake()

    def _resend(self, chunk: Chunk) -> None:
        """Send what lies in the control topic: records that come again."""
        self._lane.held.append(chunk)
        batch = chunk.batch
        for row in chunk.rows:
            headers = batch.headers[row] if batch.headers is not None else ()
            record = SourceRecord(batch.values[row], batch.keys[row], batch.timestamps_ms[row] / 1000, headers)
            self._send(record, partial(_at, batch, row))
        self._lane.finish_event()
        self._lane.held.clear()

    def _send(self, record: SourceRecord, place: Callable[[SourceRecord], tuple[RecordBatch, int]]) -> None:
        """Stage what becomes of a record; one that nothing can be made of is dead-lettered."""
        lane = self._lane
        try:
            messages = self._convert(record)
            for message in messages:
                lane.check(message)
        except Exception as error:  # the program's own function may raise anything
            logger.warning("source %s: a record is dead-lettered: %s", self._places.name, error)
            batch, row = place(record)
            lane.send(dead_letter(self._places.dead_letters, batch, row, self._places.name, error, 1))
            return
        for message in messages:
            lane.send(message)

    def _as_row(self, record: SourceRecord) -> tuple[RecordBatch, int]:
        """Return a record as one of the control topic, where a replay of its letter puts it."""
        self._letters += 1
        time_ms = self._feed.time_ms() if record.timestamp is None else int(record.timestamp * 1000)
        places, headers = self._places, [record.headers] if record.headers else None
        key, value = _as_bytes(record.key), _as_bytes(record.value)
        batch = RecordBatch(
            places.control, self._lane.partition, (self._letters,), [time_ms], [key], [value], 0, headers
        )
        return batch, 0


def _at(batch: RecordBatch, row: int, _: SourceRecord) -> tuple[RecordBatch, int]:
    return batch, row


def _as_bytes(data: Any) -> bytes | None:
    if data is None or isinstance(data, bytes):
        return data
    return data.encode() if isinstance(data, str) else _encode(data)
