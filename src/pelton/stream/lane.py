"""A lane: one run of an agent's code over one partition, and the effects of the event it is at.

What the code writes and sends while it handles an event stays in its lane until the event is complete; then all of it
becomes part of the task's staged effects in one step (invariant I1). A lane that is suspended in the middle of an
event, or whose event fails, leaves nothing behind.

The current lane is found through a context variable, so that a table or a topic, which are global objects of the
program, know on whose behalf they are used. It is set once a lane, never once an event.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from heapq import merge as merge_sorted
from operator import itemgetter
from typing import Any, NamedTuple, Protocol, cast

from pelton.batch import Headers, RecordBatch, record_bytes
from pelton.errors import DecodeError, RecordRefusedError, RecordTooLargeError
from pelton.state.cache import TableCache
from pelton.state.claims import Stage, WriteConflict, next_ticket

__all__ = [
    "CURRENT_LANE",
    "ENTRY_BYTES",
    "JUDGED",
    "Accepts",
    "Apart",
    "Chunk",
    "GivenUp",
    "Lane",
    "Outbox",
    "Send",
    "StreamEnded",
    "TableSlot",
    "too_large",
]

logger = logging.getLogger(__name__)

_MISSING = object()
#: About what a staged write or message takes beside its value: objects' headers, a key, a place in a dict or a list.
ENTRY_BYTES = 160
_PREVIEW_BYTES = 80
_NO_LIMIT = sys.maxsize
#: In place of a limit: the topic asks for more than a size, and each message is judged.
JUDGED = -1
_TOO_LARGE_HINT = "make it smaller, or raise max.message.bytes of {topic!r} and start the workers anew"


class StreamEnded(Exception):
    """The partition is leaving, or the worker stops: a stream takes it as its end."""


@dataclass(slots=True)
class Chunk:
    """A slice of a decoded batch: what a lane iterates without suspending.

    batch: the batch that the rows come from.
    rows: the index into the batch's columns of each value.
    values: decoded, one a row; no other chunk has the same list.
    decode_key: what turns the bytes of a key into a key; few agents ask, so it is done when they do.
    end_offset: the position once every row of the chunk is done.
    alone: the chunk is to be handled by itself, not gathered with others (one of them failed).
    """

    batch: RecordBatch
    rows: Sequence[int]
    values: list[Any]
    decode_key: Callable[[bytes], object]
    end_offset: int
    alone: bool = False

    def offset(self, index: int) -> int:
        """Return the offset of the index-th event."""
        return self.batch.offsets[self.rows[index]]

    def key(self, index: int) -> object:
        """Return the decoded key of the index-th event; None when it has none. Raises: DecodeError."""
        raw = self.batch.keys[self.rows[index]]
        if raw is None:
            return None
        try:
            return self.decode_key(raw)
        except Exception as error:  # decoding runs the user's code too, which may raise anything
            raise DecodeError(
                f"could not decode the key: {error or type(error).__name__}",
                hint=f"the key begins with {raw[:_PREVIEW_BYTES]!r}",
                topic=self.batch.topic,
                partition=self.batch.partition,
                offset=self.offset(index),
            ) from error

    def headers(self, index: int) -> Headers:
        """Return the headers of the index-th event."""
        headers = self.batch.headers
        return headers[self.rows[index]] if headers is not None else ()

    def split(self, index: int) -> Chunk:
        """Return the rest of the chunk, from the index-th event on."""
        return Chunk(self.batch, self.rows[index:], self.values[index:], self.decode_key, self.end_offset, self.alone)

    def cut(self, index: int) -> Chunk:
        """Return the rest, which the chunk has no longer: whoever iterates its values comes to their end before it."""
        rest = self.split(index)
        self.end_offset, self.rows = rest.offset(0), self.rows[:index]
        del self.values[index:]
        return rest


@dataclass(slots=True)
class Apart:
    """What the code is at, where an operator hands it out apart from the log's order: one thing, complete by itself.

    chunk: a single row. When it is a record of the log, it is among the chunks that the lane holds.
    give_up: called instead of that when it is the operator's own (a timer, a result) and never tried again.
    divide: set where that are several rows: called instead of `give_up`, so that they come one by one from then on.
    """

    chunk: Chunk
    give_up: Callable[[], GivenUp] | None = None
    divide: Callable[[], None] | None = None


class GivenUp(NamedTuple):
    """What a dead letter says of something that is no record. name: what it was. value: what is kept of it."""

    name: str
    value: bytes | None


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


class Accepts(Protocol):
    """What topics take.

    sizes: topic -> how large a record of it may be, where that is known.
    limits: the same, but JUDGED where there is more to ask.
    """

    sizes: dict[str, int]
    limits: dict[str, int]

    def judge(self, message: Send, nbytes: int) -> None:
        """Raise RecordRefusedError when a topic that is JUDGED does not take a message."""
        ...


class TableSlot:
    """One table as one lane sees it: the writes of its unfinished event over those of all complete events.

    name: the table's, changelog: that of its topic.
    """

    __slots__ = (
        "_bytes_max",
        "_cache",
        "_lane",
        "_shared",
        "changelog",
        "claims",
        "located",
        "located_key",
        "located_value",
        "name",
        "overlay",
        "plain",
        "prefix",
        "stage",
        "start_ms",
        "window_from",
        "window_to",
    )

    def __init__(
        self,
        lane: Lane,
        cache: TableCache,
        stage: Stage | None,
        name: str = "",
        changelog: str = "",
    ) -> None:
        self.name = name
        self.changelog = changelog
        self.overlay: dict[bytes, bytes | None] = {}
        #: The writes of complete events that wait for earlier ones; shared by all lanes of a task, None for a single
        #: lane.
        self.stage = stage
        self._lane = lane
        self._cache = cache
        self.claims = cache.claims
        #: Whether other lanes write the table, too.
        self._shared = False
        self._bytes_max = _NO_LIMIT if lane.accepts is None else lane.accepts.sizes.get(changelog, _NO_LIMIT)
        #: The cache, where merging is no more than adding to what is dirty: nothing expires, nothing waits.
        self.plain = cache if stage is None and not cache.expires else None
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
            # What `cache.get` looks at first, written out: a call less for most reads.
            value = cache.dirty.get(key, _MISSING)
            if value is _MISSING:
                value = cache.values.get(key, _MISSING)
            if value is _MISSING:
                return cache.get(key)
        return cast("bytes | None", value)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write a value, or delete the key with None, as an effect of the lane's event.

        Raises: RecordTooLargeError when the changelog does not take it: found out at the commit, it would fail that of
            all other events too. WriteConflict when another event is at the key.
        """
        nbytes = len(value) if value is not None else 0
        if len(key) + nbytes > self._bytes_max:
            raise too_large(f"store in table {self.name!r}", self.changelog, len(key) + nbytes, self._bytes_max)
        if self.claims.only is not self:
            self.claim(key)
        if not self.overlay:
            self._lane.touched.append(self)
            self._lane.dirty = True
        self.overlay[key] = value
        self._lane.written += ENTRY_BYTES + nbytes

    def claim(self, key: bytes) -> None:
        """Claim a key for the lane's event, which cannot be complete without it. Raises: WriteConflict."""
        if self._lane.spoiled is not None:
            raise self._lane.spoiled
        try:
            self.claims.take(key, self)
        except WriteConflict as conflict:
            self.wound(conflict)
            raise

    def wound(self, conflict: WriteConflict) -> None:
        """Have the lane's event begin anew, whatever its code does."""
        self._lane.spoiled = conflict
        self._lane.dirty = True  # it is asked about that when it comes to its end

    def draw(self) -> int:
        """Return the number of the lane's event among those that claim keys, drawn now if it has none."""
        if not self._lane.ticket:
            self._lane.ticket = next_ticket()
        return self._lane.ticket

    def scan(self, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) for start <= key < end in order, with the effects of the lane's own event."""
        newer = {**(self.stage or {}), **self.overlay}
        mine = sorted(k for k in newer if k >= start and (end is None or k < end))
        below = (item for item in self._cache.scan(start, end) if item[0] not in newer)
        for key, value in merge_sorted(below, ((k, newer[k]) for k in mine), key=itemgetter(0)):
            if value is not None:
                yield key, value

    def record(self, key: bytes, value: bytes | None) -> None:
        """Write, or delete, what is true whether or not the lane's event is ever complete; the next commit takes it.

        Raises: RecordTooLargeError when the changelog does not take it.
        """
        nbytes = len(value) if value is not None else 0
        if len(key) + nbytes > self._bytes_max:
            raise too_large(f"store in table {self.name!r}", self.changelog, len(key) + nbytes, self._bytes_max)
        self._cache.dirty[key] = value
        self._lane.written += ENTRY_BYTES + nbytes

    def merge(self) -> None:
        """Make the event's writes visible to others: it is complete."""
        overlay, cache = self.overlay, self._cache
        if self.stage is not None:
            self.stage.update(overlay)
        else:
            cache.merge(overlay)
        if self._shared:
            self.claims.complete(self)
        overlay.clear()

    def discard(self) -> None:
        """Forget the writes of an event that failed."""
        if self._shared:
            self.claims.give_up(self)
        self.overlay.clear()

    def share(self) -> None:
        """Tell the claims from now on what becomes of an event: other lanes write the table, too."""
        self._shared, self.plain = True, None


class Lane:
    """The place of one coroutine of an agent in one partition.

    partition: the partition number, the same for its topics and its tables.
    chunk: what is being iterated, None between chunks; cursor: index into it of the event being handled.
    value: that event's value, as it was before any processor of the stream.
    held: earlier chunks whose events are gathered, but not done (`stream.take`). gathers: whether such are asked for.
    singly: whether the code takes the events of a chunk one after the other, and nothing besides looks at the chunk.
    apart: set while the code is at one thing that is complete by itself, whatever else the lane holds.
    operators: what operators keep from one call of the agent's code to the next, by the names of their tables.
    left: rows that an iteration was left with (`leave`); they go back to where they came from.
    dirty: whether the event has effects so far.
    spoiled: set where another event was at a key that this one came to write: it is to begin anew, whatever the code
        does about it. conflict: set where it has begun anew, until it has come to an end. ticket: its number among
        those that claim keys; 0 when it claims none.
    written: bytes that were written and sent since the task last looked, also by events that failed; answers: how many
        of the messages answer requests.
    late_events: how many came too late for an operator; one that is tried again counts again.
    accepts: what records topics take, None where nobody knows. limits: its limits.
    result: key and time of the result that the code is at, where an operator made it of other events, too.
    topics: those it reads that have a partition of this number. key_decoder: of the keys of the first of them.
    """

    __slots__ = (
        "accepts",
        "agent",
        "answers",
        "apart",
        "chunk",
        "conflict",
        "cursor",
        "dirty",
        "gathers",
        "gathers_s",
        "held",
        "index",
        "key_decoder",
        "late_events",
        "left",
        "limits",
        "operators",
        "outbox",
        "partition",
        "result",
        "sends",
        "singly",
        "spoiled",
        "tables",
        "ticket",
        "topics",
        "touched",
        "value",
        "written",
    )

    def __init__(
        self,
        agent: str,
        partition: int,
        index: int,
        outbox: Outbox,
        accepts: Accepts | None = None,
    ) -> None:
        self.agent = agent
        self.partition = partition
        self.index = index
        self.outbox = outbox
        self.accepts = accepts
        self.limits: Mapping[str, int] = accepts.limits if accepts is not None else {}
        self.tables: dict[str, TableSlot] = {}
        self.chunk: Chunk | None = None
        self.held: list[Chunk] = []
        self.left: list[Chunk] = []
        self.apart: Apart | None = None
        self.operators: dict[str, Any] = {}
        self.cursor = 0
        self.value: object = None
        self.dirty = self.gathers = self.singly = False
        #: For how long it gathers events at most, before it handles them together; 0 when it does not, or for ever.
        self.gathers_s = 0.0
        self.conflict: WriteConflict | None = None
        self.spoiled: WriteConflict | None = None
        self.ticket = 0
        self.late_events = 0
        self.result: tuple[bytes, int] | None = None
        self.written = self.answers = 0
        self.touched: list[TableSlot] = []
        self.sends: list[Send] = []
        self.topics: frozenset[str] = frozenset()
        self.key_decoder: Callable[[bytes], object] = bytes

    @property
    def timestamp_ms(self) -> int:
        """The log's timestamp of the event being handled, or the time of an operator's result."""
        if self.result is not None:
            return self.result[1]
        chunk = self.chunk
        if chunk is None:
            return 0
        return chunk.batch.timestamps_ms[chunk.rows[self.cursor]]

    @property
    def key(self) -> object:
        """The key of the event being handled, or of an operator's result."""
        if self.result is not None:
            return self.decode_key(self.result[0])
        return self.chunk.key(self.cursor) if self.chunk is not None else None

    def decode_key(self, key: bytes) -> Any:
        """Return a key that an operator kept, as the code is to see it."""
        return (self.chunk.decode_key if self.chunk is not None else self.key_decoder)(key)

    @property
    def raw_key(self) -> bytes | None:
        """The bytes of the event's key."""
        return self.chunk.batch.keys[self.chunk.rows[self.cursor]] if self.chunk is not None else None

    @property
    def raw_value(self) -> bytes | None:
        """The bytes of the event's value."""
        return self.chunk.batch.values[self.chunk.rows[self.cursor]] if self.chunk is not None else None

    @property
    def headers(self) -> Headers:
        """The headers of the event being handled."""
        return self.chunk.headers(self.cursor) if self.chunk is not None else ()

    def send(self, message: Send) -> None:
        """Stage a message as an effect of the event.

        Raises: RecordRefusedError when the topic does not take it: found out at the commit, it would fail that of all
            other events too.
        """
        nbytes = record_bytes(message.key, message.value, message.headers)
        if nbytes > self.limits.get(message.topic, _NO_LIMIT):
            self.check(message)
        self.sends.append(message)
        self.dirty = True
        self.written += ENTRY_BYTES + nbytes

    def check(self, message: Send) -> None:
        """Raise RecordRefusedError when a message's topic does not take it, as far as that is known."""
        nbytes = record_bytes(message.key, message.value, message.headers)
        limit = self.limits.get(message.topic, _NO_LIMIT)
        if limit == JUDGED and self.accepts is not None:
            self.accepts.judge(message, nbytes)
        elif nbytes > limit:
            raise too_large("send", message.topic, nbytes, limit)

    def may_send(self, message: Send) -> bool:
        """Return whether a message's topic takes it; where it does not, the log says why nobody gets it."""
        try:
            self.check(message)
        except RecordRefusedError as error:
            logger.warning("agent %s has something to tell that cannot be told: %s", self.agent, error)
            return False
        return True

    def finish_event(self) -> None:
        """The event is complete: hand its effects over, all of them at once. Raises: WriteConflict."""
        if self.spoiled is not None:
            raise self.spoiled
        touched = self.touched
        if touched:
            for slot in touched:
                if slot.plain is None:
                    slot.merge()
                else:
                    slot.plain.dirty.update(slot.overlay)
                    slot.overlay.clear()
            touched.clear()
        if self.sends:
            self.outbox.extend(self.sends)
            self.sends = []
        self.result = None
        self.dirty = False
        if self.ticket:
            self.ticket = 0
            self.stand_back()

    def finish_gathered(self) -> None:
        """The gathered events are complete, all together."""
        self.finish_event()
        self.held.clear()

    def finish_apart(self) -> None:
        """What the code was at, apart from the rest, is complete; the lane holds it no longer."""
        if self.dirty or self.ticket:
            self.finish_event()
        self.result = None
        if self.apart is not None:
            self.release(self.apart.chunk)
        self.apart = self.chunk = None

    def release(self, chunk: Chunk) -> None:
        """Hold a chunk no longer, if the lane held it."""
        for index, held in enumerate(self.held):
            if held is chunk:
                del self.held[index]
                return

    def leave(self) -> None:
        """The code has left an iteration, if it was in one: the event it was at is complete, those behind it are not.

        Rows that were gathered, but never given to the code (a timeout cut `take` short), are not either.
        """
        if self.dirty:
            self.finish_event()
        self.result = None
        if self.apart is not None:
            self.finish_apart()
        chunk, self.chunk = self.chunk, None
        held, self.held = self.held, []
        if chunk is None:
            self.left = held
        elif not held and self.cursor + 1 < len(chunk.rows):
            self.left = [chunk.split(self.cursor + 1)]

    def cut_short(self) -> Chunk | None:
        """Let the code come to no event of its chunk behind the one that it is at. Returns: those, if there are any."""
        chunk, following = self.chunk, self.cursor + 1
        if chunk is None or self.held or not self.singly or following >= len(chunk.rows):
            return None
        return chunk.cut(following)

    def discard_event(self) -> None:
        """The event failed: nothing of it remains."""
        for slot in self.touched:
            slot.discard()
        self.touched.clear()
        self.sends = []
        self.result = None
        self.dirty = False
        self.spoiled = None
        self.ticket = 0
        self.stand_back()

    def stand_back(self) -> None:
        """Let others come first at the key for which the event waits, if it does."""
        if self.conflict is not None:
            self.conflict.leave()
            self.conflict = None

    def line_up(self, conflict: WriteConflict) -> None:
        """The event begins anew when it is its turn at a key: nothing of it remains so far."""
        if self.conflict is not None and (self.conflict.claims, self.conflict.key) == (conflict.claims, conflict.key):
            self.conflict = None  # it has kept its place
        ticket = self.ticket
        self.discard_event()
        self.ticket, self.conflict = ticket, conflict
        conflict.wait()  # also for a key that an earlier event has taken from it


def too_large(doing: str, topic: str, nbytes: int, limit: int) -> RecordTooLargeError:
    """Return the error of a record that is larger than its topic takes. doing: what failed, to follow "could not"."""
    return RecordTooLargeError(
        f"could not {doing}: the record has {nbytes:,} bytes, {topic!r} takes at most {limit:,}",
        hint=_TOO_LARGE_HINT.format(topic=topic),
        topic=topic,
    )


#: The lane whose code is running, or None outside of agents (web pages, timers, commands).
CURRENT_LANE: ContextVar[Lane | None] = ContextVar("pelton_lane", default=None)
