"""A lane: one run of an agent's code over one partition, and the effects of the event it is at.

What the code writes and sends while it handles an event stays in its lane until the event is complete; then all of it
becomes part of the task's staged effects in one step (invariant I1). A lane that is suspended in the middle of an
event, or whose event fails, leaves nothing behind.

The current lane is found through a context variable, so that a table or a topic, which are global objects of the
program, know on whose behalf they are used. It is set once a lane, never once an event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from heapq import merge as merge_sorted
from operator import itemgetter
from typing import Any, Protocol, cast

from pelton.batch import Headers, RecordBatch
from pelton.state.cache import TableCache

__all__ = ["CURRENT_LANE", "Chunk", "Lane", "Outbox", "Send", "TableSlot"]

_MISSING = object()


@dataclass(slots=True)
class Chunk:
    """A slice of a decoded batch: what a lane iterates without suspending.

    batch: the batch that the rows come from.
    rows: the index into the batch's columns of each value.
    values: decoded, one a row.
    decode_key: what turns the bytes of a key into a key; few agents ask, so it is done when they do.
    end_offset: the position once every row of the chunk is done.
    alone: the chunk is to be handled by itself, not gathered with others (one of them failed).
    """

    batch: RecordBatch
    rows: Sequence[int]
    values: Sequence[object]
    decode_key: Callable[[bytes], object]
    end_offset: int
    alone: bool = False

    def offset(self, index: int) -> int:
        """Return the offset of the index-th event."""
        return self.batch.offsets[self.rows[index]]

    def key(self, index: int) -> object:
        """Return the decoded key of the index-th event; None when it has none."""
        raw = self.batch.keys[self.rows[index]]
        return None if raw is None else self.decode_key(raw)

    def headers(self, index: int) -> Headers:
        """Return the headers of the index-th event."""
        headers = self.batch.headers
        return headers[self.rows[index]] if headers is not None else ()

    def split(self, index: int) -> Chunk:
        """Return the rest of the chunk, from the index-th event on."""
        return Chunk(self.batch, self.rows[index:], self.values[index:], self.decode_key, self.end_offset, self.alone)


@dataclass(slots=True)
class Send:
    """One staged message. partition is None where the key decides."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers


class Outbox(Protocol):
    """Where the messages of complete events go."""

    def extend(self, sends: Sequence[Send]) -> None:
        """Take over the messages of one event, in order."""
        ...


class TableSlot:
    """One table as one lane sees it: the writes of its unfinished event over those of all complete events."""

    __slots__ = (
        "_cache",
        "_lane",
        "located",
        "located_key",
        "located_value",
        "overlay",
        "prefix",
        "stage",
        "start_ms",
        "window_from",
        "window_to",
    )

    def __init__(self, lane: Lane, cache: TableCache, stage: dict[bytes, bytes | None] | None) -> None:
        self.overlay: dict[bytes, bytes | None] = {}
        #: The writes of complete events that wait for earlier ones; shared by all lanes of a task, None for a single
        #: lane.
        self.stage = stage
        self._lane = lane
        self._cache = cache
        #: The store key that a windowed table worked out last, and for which event and key; the window's start
        #: likewise.
        self.located = self.prefix = b""
        self.located_key: object = None
        self.located_value: object = None
        self.start_ms = -1
        self.window_from = self.window_to = 0.0

    def get(self, key: bytes) -> bytes | None:
        """Return the value under a key, or None."""
        value: Any = _MISSING
        if self.overlay:
            value = self.overlay.get(key, _MISSING)
        if value is _MISSING and self.stage:
            value = self.stage.get(key, _MISSING)
        if value is _MISSING:
            cache = self._cache
            if key < cache.horizon:
                return None
            value = cache.dirty.get(key, _MISSING)
            if value is _MISSING:
                return cache.get(key)
        return cast("bytes | None", value)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write a value, or delete the key with None, as an effect of the lane's event."""
        if not self.overlay:
            self._lane.touched.append(self)
            self._lane.dirty = True
        self.overlay[key] = value

    def scan(self, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) for start <= key < end in order, with the effects of the lane's own event."""
        newer = {**(self.stage or {}), **self.overlay}
        mine = sorted(k for k in newer if k >= start and (end is None or k < end))
        below = (item for item in self._cache.scan(start, end) if item[0] not in newer)
        for key, value in merge_sorted(below, ((k, newer[k]) for k in mine), key=itemgetter(0)):
            if value is not None:
                yield key, value

    def merge(self) -> None:
        """Make the event's writes visible to others: it is complete."""
        overlay, cache = self.overlay, self._cache
        if self.stage is not None:
            self.stage.update(overlay)
        elif cache.expires:
            cache.merge(overlay)
        else:
            cache.dirty.update(overlay)
        overlay.clear()

    def discard(self) -> None:
        """Forget the writes of an event that failed."""
        self.overlay.clear()


class Lane:
    """The place of one coroutine of an agent in one partition.

    partition: the partition number, the same for its topics and its tables.
    chunk: what is being iterated, None between chunks; cursor: index into it of the event being handled.
    value: that event's value, as it was before any processor of the stream.
    held: earlier chunks whose events are gathered, but not done (`stream.take`).
    left: rows that an iteration was left with (`leave`); they go back to where they came from.
    dirty: whether the event has effects so far.
    """

    __slots__ = (
        "agent",
        "chunk",
        "cursor",
        "dirty",
        "held",
        "index",
        "left",
        "outbox",
        "partition",
        "sends",
        "tables",
        "touched",
        "value",
    )

    def __init__(self, agent: str, partition: int, index: int, outbox: Outbox) -> None:
        self.agent = agent
        self.partition = partition
        self.index = index
        self.outbox = outbox
        self.tables: dict[str, TableSlot] = {}
        self.chunk: Chunk | None = None
        self.held: list[Chunk] = []
        self.left: list[Chunk] = []
        self.cursor = 0
        self.value: object = None
        self.dirty = False
        self.touched: list[TableSlot] = []
        self.sends: list[Send] = []

    @property
    def timestamp_ms(self) -> int:
        """The log's timestamp of the event being handled."""
        chunk = self.chunk
        if chunk is None:
            return 0
        return chunk.batch.timestamps_ms[chunk.rows[self.cursor]]

    @property
    def key(self) -> object:
        """The key of the event being handled."""
        return self.chunk.key(self.cursor) if self.chunk is not None else None

    @property
    def raw_key(self) -> bytes | None:
        """The bytes of the event's key."""
        return self.chunk.batch.keys[self.chunk.rows[self.cursor]] if self.chunk is not None else None

    @property
    def headers(self) -> Headers:
        """The headers of the event being handled."""
        return self.chunk.headers(self.cursor) if self.chunk is not None else ()

    def send(self, message: Send) -> None:
        """Stage a message as an effect of the event."""
        self.sends.append(message)
        self.dirty = True

    def finish_event(self) -> None:
        """The event is complete: hand its effects over, all of them at once."""
        touched = self.touched
        if touched:
            for slot in touched:
                slot.merge()
            touched.clear()
        if self.sends:
            self.outbox.extend(self.sends)
            self.sends = []
        self.dirty = False

    def leave(self) -> None:
        """The code has left an iteration, if it was in one: the event it was at is complete, those behind it are not.

        Rows that were gathered, but never given to the code (a timeout cut `take` short), are not either.
        """
        if self.dirty:
            self.finish_event()
        chunk, self.chunk = self.chunk, None
        held, self.held = self.held, []
        if chunk is None:
            self.left = held
        elif not held and self.cursor + 1 < len(chunk.rows):
            self.left = [chunk.split(self.cursor + 1)]

    def discard_event(self) -> None:
        """The event failed: nothing of it remains."""
        for slot in self.touched:
            slot.discard()
        self.touched.clear()
        self.sends = []
        self.dirty = False


#: The lane whose code is running, or None outside of agents (web pages, timers, commands).
CURRENT_LANE: ContextVar[Lane | None] = ContextVar("pelton_lane", default=None)
