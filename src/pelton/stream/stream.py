"""What an agent iterates: the events of one partition, one at a time or in batches, through the stream's operators.

A stream is an asynchronous iterator over chunks that the runtime has decoded already: iterating suspends only between
chunks, so one step costs a tenth of a microsecond. An event is complete when the code asks for the next one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from inspect import isawaitable
from operator import attrgetter, itemgetter
from typing import Any, Generic, Protocol, TypeVar, cast

import polars as pl

from pelton.errors import ConfigurationError
from pelton.stream.event import Event, Sends
from pelton.stream.lane import Chunk, Lane, Send
from pelton.stream.refused import Refused

__all__ = ["Batch", "Feed", "Processor", "Repartition", "Stream", "StreamEnded", "seconds"]

V = TypeVar("V")
T = TypeVar("T")

Processor = Callable[[Any], Any]

#: What a processor returns for a value that goes no further.
_SKIPPED: Any = object()


def seconds(duration: float | timedelta) -> float:
    """Return a duration in seconds, given as such or as a timedelta."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


class Feed(Protocol):
    """Where a stream gets its chunks from: the runtime's task."""

    async def next_chunk(self, lane: Lane, *, limit: int | None = None, timeout_s: float | None = None) -> Chunk | None:
        """Return the next rows for a lane, at most limit; the lane's last chunk is done unless it is held.

        Returns: None when nothing came within timeout_s; never an empty chunk.
        Raises: StreamEnded when the lane is to stop reading.
        """
        ...

    def monotonic(self) -> float:
        """Return the engine's elapsed time in seconds."""
        ...


class StreamEnded(Exception):
    """The partition is leaving, or the worker stops: a stream takes it as its end."""


class Repartition(Sends, Protocol):
    """What a stream asks of the program around it: to send, and to go on from another topic."""

    def forward(self, stream: Stream[Any], topic: object, key: Callable[[Any], Any] | None) -> Stream[Any]:
        """Send what the stream yields on to a topic, and return the stream over that topic."""
        ...

    def grouping_topic(self, stream: Stream[Any], name: str, partitions: int | None) -> object:
        """Return the topic that a grouped stream goes through."""
        ...

    def outgoing(self, topic: object) -> Callable[[object, object], Send]:
        """Return what makes a message for a topic out of a key and a value."""
        ...


class Batch(Generic[V]):
    """Whole decoded rows, for agents that work on columns.

    values: the events' values, in log order. Keys, timestamps and offsets are columns of the same length.
    """

    __slots__ = ("_chunk", "values")

    def __init__(self, chunk: Chunk, values: Sequence[V]) -> None:
        self._chunk = chunk
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    @property
    def keys(self) -> list[Any]:
        """The decoded keys."""
        return [self._chunk.key(index) for index in range(len(self._chunk.rows))]

    @property
    def timestamps_ms(self) -> list[int]:
        """The log's timestamps, in milliseconds since the epoch."""
        column = self._chunk.batch.timestamps_ms
        return [column[row] for row in self._chunk.rows]

    @property
    def offsets(self) -> list[int]:
        """The offsets in the partition."""
        column = self._chunk.batch.offsets
        return [column[row] for row in self._chunk.rows]

    def frame(self) -> pl.DataFrame:
        """Return the values as a polars frame: one column a field.

        Works for values that are mappings, or objects with fields (Struct, dataclass, model); other values
        stand in a column named "value".
        """
        return pl.DataFrame([_as_row(value) for value in self.values])


def _as_row(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return cast(dict[str, Any], value)
    fields = getattr(value, "__struct_fields__", None) or getattr(value, "__dataclass_fields__", None)
    if fields is None:
        fields = getattr(type(value), "model_fields", None)
    return {name: getattr(value, name) for name in fields} if fields else {"value": value}


class Stream(Generic[V]):
    """The events of a topic, as one lane of an agent sees them."""

    def __init__(self, feed: Feed | None, lane: Lane | None, program: Repartition) -> None:
        self.feed = feed
        self.lane = lane
        self.program = program
        self.processors: list[Processor] = []

    def bound(self) -> tuple[Feed, Lane]:
        """Return the feed and the lane it reads. Raises: ConfigurationError when it has none."""
        if self.feed is None or self.lane is None:
            raise ConfigurationError(
                "this stream has no partition to read",
                hint="iterate the stream that the agent was called with, or what its operators return",
            )
        return self.feed, self.lane

    def _begin(self) -> tuple[Feed, Lane]:
        """Return the feed and the lane for a new iteration; one that the code has left before (`break`) ends here."""
        feed, lane = self.bound()
        lane.leave()
        return feed, lane

    # -- one event at a time ---------------------------------------------------------------------

    async def __aiter__(self) -> AsyncIterator[V]:
        """Yield each event's value; the event before is complete when the next is asked for."""
        if self.processors:
            async for value in self._processed():
                yield value
            return
        feed, lane = self._begin()
        while chunk := await _next(feed, lane):
            for lane.cursor, lane.value in enumerate(chunk.values):
                yield cast(V, lane.value)
                if lane.dirty:
                    lane.finish_event()

    async def _processed(self) -> AsyncIterator[V]:
        """Yield what comes out of the processors; an event that a filter drops is complete at once."""
        feed, lane = self._begin()
        while chunk := await _next(feed, lane):
            for lane.cursor, lane.value in enumerate(chunk.values):
                value = await self._process(lane.value)
                if value is not _SKIPPED:
                    yield cast(V, value)
                if lane.dirty:
                    lane.finish_event()

    async def _process(self, value: object) -> object:
        for processor in self.processors:
            value = processor(value)
            if isawaitable(value):
                value = await value
            if value is _SKIPPED:
                break
        return value

    async def events(self) -> AsyncIterator[Event[V]]:
        """Yield events: key, value, headers and the message they came in."""
        lane = self.bound()[1]
        async for value in self:
            chunk = lane.chunk
            if chunk is not None:
                yield Event(chunk, lane.cursor, value, self.program)

    async def items(self) -> AsyncIterator[tuple[Any, V]]:
        """Yield (key, value)."""
        lane = self.bound()[1]
        async for value in self:
            yield lane.key, value

    async def enumerate(self, start: int = 0) -> AsyncIterator[tuple[int, V]]:
        """Yield (number, value), counting from start in each partition."""
        number = start
        async for value in self:
            yield number, value
            number += 1

    def noack(self) -> Stream[V]:
        """Return the stream itself: acknowledging is what a commit does, never the program."""
        return self

    # -- several events at a time ----------------------------------------------------------------

    async def batches(self) -> AsyncIterator[Batch[V]]:
        """Yield whatever has arrived, as whole batches; a batch is one event as far as commits go."""
        feed, lane = self._begin()
        while chunk := await _next(feed, lane):
            lane.held.append(chunk)
            lane.cursor, lane.value = len(chunk.rows) - 1, chunk.values[-1]
            kept, values = await self._process_chunk(chunk) if self.processors else (chunk, chunk.values)
            if values:
                yield Batch(kept, cast(Sequence[V], values))
            _finish_gathered(lane)

    async def _process_chunk(self, chunk: Chunk) -> tuple[Chunk, list[object]]:
        """Run the processors over a chunk, at each row in turn; rows that a filter drops are left out."""
        lane = self.bound()[1]
        before = lane.chunk, lane.cursor, lane.value
        processed: list[object] = []
        lane.chunk = chunk
        for lane.cursor, lane.value in enumerate(chunk.values):
            processed.append(await self._process(lane.value))
        lane.chunk, lane.cursor, lane.value = before
        kept = [index for index, value in enumerate(processed) if value is not _SKIPPED]
        rows = [chunk.rows[index] for index in kept]
        values = [processed[index] for index in kept]
        return Chunk(chunk.batch, rows, values, chunk.decode_key, chunk.end_offset, chunk.alone), values

    async def take(self, max_: int, within: float | timedelta) -> AsyncIterator[list[V]]:
        """Yield lists of up to max_ values; a shorter one when `within` has passed since its first.

        within: seconds or a timedelta of wall-clock time; 0 waits for max_ values, however long it takes.
        The events of a list are complete together. When the code raises, they are handled one by one, so that only the
        one that fails is dead-lettered.
        """
        async for events in self.take_events(max_, within):
            yield [event.value for event in events]

    async def take_events(self, max_: int, within: float | timedelta) -> AsyncIterator[list[Event[V]]]:
        """Yield lists of up to max_ events, like `take`."""
        async for gathered in self._gather(max_, seconds(within)):
            events: list[Event[V]] = []
            for chunk in gathered:
                kept, values = await self._process_chunk(chunk) if self.processors else (chunk, chunk.values)
                events += [Event(kept, index, cast(V, value), self.program) for index, value in enumerate(values)]
            if events:
                yield events

    async def _gather(self, max_: int, within_s: float) -> AsyncIterator[list[Chunk]]:
        """Yield runs of chunks that hold max_ events together, or what came within the time."""
        feed, lane = self._begin()
        deadline: float | None = None
        while True:
            missing = max_ - sum(len(chunk.rows) for chunk in lane.held)
            left = None if deadline is None else max(0.0, deadline - feed.monotonic())
            try:
                chunk = await feed.next_chunk(lane, limit=missing, timeout_s=left)
            except StreamEnded:
                return
            if chunk is not None:
                lane.held.append(chunk)
                missing -= len(chunk.rows)
                if deadline is None and within_s:
                    deadline = feed.monotonic() + within_s
            if missing <= 0 or chunk is None or chunk.alone:
                lane.chunk = lane.held[-1]
                lane.cursor = len(lane.chunk.rows) - 1
                lane.value = lane.chunk.values[-1]
                yield list(lane.held)
                _finish_gathered(lane)
                deadline = None

    noack_take = take

    async def take_with_timestamp(
        self, max_: int, within: float | timedelta, timestamp_field_name: str
    ) -> AsyncIterator[list[V]]:
        """Yield lists like `take`, with each value's log timestamp, in seconds, put into a field or key of it.

        timestamp_field_name: an attribute of the values, or a key where they are dicts.
        """
        async for events in self.take_events(max_, within):
            for event in events:
                _set_field(event.value, timestamp_field_name, event.message.timestamp)
            yield [event.value for event in events]

    # -- operators -------------------------------------------------------------------------------

    def add_processor(self, processor: Processor) -> None:
        """Pass every value through a function, or a coroutine function, before the agent sees it."""
        self.processors.append(processor)

    def filter(self, predicate: Callable[[V], Any]) -> Stream[V]:
        """Keep the events for which the predicate, plain or async, is true."""

        async def keep(value: V) -> object:
            verdict = predicate(value)
            if isawaitable(verdict):
                verdict = await verdict
            return value if verdict else _SKIPPED

        self.add_processor(keep)
        return self

    def echo(self, *topics: Any) -> Stream[V]:
        """Send every value on to these topics too, under its key."""
        lane = self.lane
        make = [self.program.outgoing(topic) for topic in topics]

        def send(value: V) -> V:
            if lane is not None:
                for message in make:
                    lane.send(message(lane.key, value))
            return value

        self.add_processor(send)
        return self

    def through(self, topic: Any) -> Stream[V]:
        """Send every value on to a topic and go on from there; keys stay as they are."""
        return self.program.forward(self, topic, None)

    def group_by(
        self,
        key: Any,
        *,
        name: str | None = None,
        topic: Any = None,
        partitions: int | None = None,
    ) -> Stream[V]:
        """Repartition the stream by another key, through a topic of its own.

        key: a field of the model (`Transaction.account`), the name of one, or a function (plain or async) of the value.
        name: names the grouping; needed for functions, so that the topic keeps its name when the code moves.
        Raises: ConfigurationError when a function comes without a name.
        """
        field = key if isinstance(key, str) else getattr(key, "__name__", None) or getattr(key, "field", None)
        if not callable(key) or (hasattr(key, "__get__") and not hasattr(key, "__code__")):
            name = name or cast(str, field)
            key = _field_getter(cast(str, field))
        if not name:
            raise ConfigurationError(
                "group_by with a function needs a name",
                hint='write stream.group_by(function, name="by_country"): the name becomes part of the topic',
            )
        topic = topic or self.program.grouping_topic(self, name, partitions)
        return self.program.forward(self, topic, cast(Callable[[Any], Awaitable[Any]], key))

    join = left_join = inner_join = outer_join = combine = Refused(
        "keep one side in a table and look it up, or read both topics as one: app.topic(first, second)"
    )

    @property
    def current_event(self) -> Event[V] | None:
        """The event that is being handled; None before the first."""
        lane = self.lane
        if lane is None or lane.chunk is None:
            return None
        return Event(lane.chunk, lane.cursor, cast(V, lane.value), self.program)

    async def ack(self, event: Event[V]) -> bool:
        """Do nothing: an event is acknowledged by the commit that holds its effects. Returns: True."""
        return event.ack()


async def _next(feed: Feed, lane: Lane) -> Chunk | None:
    """Return the next chunk, or None at the stream's end."""
    try:
        return await feed.next_chunk(lane)
    except StreamEnded:
        return None


def _field_getter(field: str) -> Callable[[Any], Any]:
    by_attribute, by_key = attrgetter(field), itemgetter(field)

    def get(value: Any) -> Any:
        return (by_key if isinstance(value, dict) else by_attribute)(value)  # pyright: ignore[reportUnknownArgumentType]

    return get


def _set_field(value: object, name: str, content: object) -> None:
    if isinstance(value, dict):
        value[name] = content
    else:
        setattr(value, name, content)


def _finish_gathered(lane: Lane) -> None:
    """The gathered events are complete, all together."""
    lane.finish_event()
    lane.held.clear()
