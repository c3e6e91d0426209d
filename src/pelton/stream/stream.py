"""What an agent iterates: the events of one partition, one at a time or in batches, through the stream's operators.

A stream is an asynchronous iterator over chunks that the runtime has decoded already: iterating suspends only between
chunks, so one step costs a tenth of a microsecond. An event is complete when the code asks for the next one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import timedelta
from inspect import isawaitable
from typing import Any, Protocol, TypeVar, Unpack, cast

from pelton.aggregate import Aggregate, field_getter
from pelton.errors import ConfigurationError
from pelton.stream.ahead import Ahead
from pelton.stream.ahead_feed import AheadFeed, ahead_feed
from pelton.stream.batches import Batch
from pelton.stream.call_limits import RateLimit, TokenBucket
from pelton.stream.dedupe import Dedupe
from pelton.stream.event import Event, Sends
from pelton.stream.joins import SKIPPED, Joins, JoinSources
from pelton.stream.lane import CURRENT_LANE, Chunk, Lane, Send, StreamEnded
from pelton.stream.operating import Operator, operator_wait_s
from pelton.stream.window_plan import WindowPlan
from pelton.stream.windowing import (
    AggregatedStream,
    WindowedStream,
    Windowing,
    WindowOptions,
    unbounded,
    window_plan,
)
from pelton.window import milliseconds, seconds

__all__ = ["Batch", "Feed", "Processor", "Repartition", "Stream", "StreamEnded"]

V = TypeVar("V")
T = TypeVar("T")

Processor = Callable[[Any], Any]


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

    def time_ms(self) -> int:
        """Return the wall clock, in milliseconds since the epoch."""
        ...

    def waiting(self) -> Collection[str]:
        """Return the topics that have more: records that are here, or in the log, and were not handed out."""
        ...

    def listening_since_s(self) -> float:
        """Return since when records come as they are written, in elapsed seconds: before, nobody looked for them."""
        ...


class Repartition(Sends, Protocol):
    """What a stream asks of the program around it: to send, and to go on from another topic."""

    def forward(self, stream: Stream[Any], topic: object, key: Callable[[Any], Any] | None) -> Stream[Any]:
        """Send what the stream yields on to a topic, and return the stream over that topic."""
        ...

    def grouping_topic(self, stream: Stream[Any], name: str, partitions: int | None) -> object:
        """Return the topic that a grouped stream goes through."""
        ...

    def operator_table(self, stream: Stream[Any], name: str) -> str:
        """Return the name of the table in which an operator of the stream keeps its state."""
        ...

    def note_windows(self, stream: Stream[Any], plan: WindowPlan, aggregates: Mapping[str, Aggregate[Any]]) -> None:
        """Take note of the windows of the stream, so that others than the agent can read them."""
        ...

    def call_bucket(self, stream: Stream[Any], table: str, limit: RateLimit) -> TokenBucket:
        """Return what says when calls of an operator may begin, the same for all partitions of this worker."""
        ...

    def join_sources(
        self, stream: Stream[Any], other: object, name: str, on: tuple[Any, Any] | None
    ) -> JoinSources[Any]:
        """Return what a join of the stream with a topic reads; `on` repartitions both by a field of each."""
        ...

    def outgoing(self, topic: object) -> Callable[[object, object], Send]:
        """Return what makes a message for a topic out of a key and a value."""
        ...


class Stream(Joins[V], Ahead[V]):
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

    def begin(self) -> tuple[Feed, Lane]:
        """Return the feed and the lane for a new iteration; one that the code has left before (`break`) ends here."""
        feed, lane = self.bound()
        lane.leave()
        lane.gathers, lane.gathers_s, lane.singly = False, 0.0, False
        return feed, lane

    # -- one event at a time ---------------------------------------------------------------------

    async def __aiter__(self) -> AsyncIterator[V]:
        """Yield each event's value; the event before is complete when the next is asked for."""
        if self.processors:
            async for value in self._processed():
                yield value
            return
        feed, lane = self.begin()
        lane.singly = True
        while chunk := await _next(feed, lane):
            for lane.cursor, lane.value in enumerate(chunk.values):
                yield cast(V, lane.value)
                if lane.dirty:
                    lane.finish_event()

    async def _processed(self) -> AsyncIterator[V]:
        """Yield what comes out of the processors; an event that a filter drops is complete at once."""
        feed, lane = self.begin()
        lane.singly = True
        while chunk := await _next(feed, lane):
            for lane.cursor, lane.value in enumerate(chunk.values):
                value = await self.process(lane.value)
                if value is not SKIPPED:
                    yield cast(V, value)
                if lane.dirty:
                    lane.finish_event()

    async def expand(
        self, make: Callable[[Lane], Operator[T]], topics: Collection[str] | None = None, *, wakes: bool = False
    ) -> AsyncIterator[T]:
        """Yield all that an operator makes of each event; the event is complete once its own results have been taken.

        What the operator owes besides, brought about by the event but made of others, comes behind it.
        topics: whose events go through the processors; those of all when None.
        wakes: whether the operator may have results although no event comes.
        """
        feed, lane = self.begin()
        ahead = ahead_feed(feed, "what keeps state")
        operator = make(lane) if lane.tables else None
        try:
            while True:
                if operator is not None and operator.pending.rows and not ahead.paused:
                    async for (result,) in operator.pending.hand_out(ahead, None):
                        yield result
                chunk = await feed.next_chunk(lane, timeout_s=operator_wait_s(operator, feed, wakes=wakes))
                operator = operator or make(lane)
                if chunk is None:
                    operator.wake(feed)
                    lane.finish_event()  # no event, but complete: what has changed is part of the next commit
                    continue
                async for result in self._expanded(chunk, operator, ahead, topics):
                    yield result
        except StreamEnded:
            return

    async def _expanded(
        self, chunk: Chunk, operator: Operator[T], feed: AheadFeed, topics: Collection[str] | None
    ) -> AsyncIterator[T]:
        """Yield what an operator makes of the events of a chunk, each behind what was owed before."""
        lane, pending = self.bound()[1], operator.pending
        if pending.rows:  # they came about before a pause
            async for (result,) in pending.hand_out(feed, chunk):
                yield result
        operator.heard(chunk.batch.topic, self.bound()[0])
        processed = self.processors and (topics is None or chunk.batch.topic in topics)
        for lane.cursor, lane.value in enumerate(chunk.values):
            value = await self.process(lane.value) if processed else lane.value
            if value is not SKIPPED:
                for result in operator(value):
                    yield result
                lane.result = None
            if lane.dirty:
                lane.finish_event()
            if pending.rows:
                following = lane.cursor + 1
                rest = chunk.split(following) if following < len(chunk.rows) else None
                async for (result,) in pending.hand_out(feed, rest):
                    yield result

    async def process(self, value: object) -> object:
        """Return what the processors make of a value; SKIPPED when one of them lets it go no further."""
        for processor in self.processors:
            value = processor(value)
            if isawaitable(value):
                value = await value
            if value is SKIPPED:
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
        async for chunk in self.chunks():
            if chunk is not None:
                yield Batch(chunk, cast(Sequence[V], chunk.values))

    async def chunks(self, wait_s: Callable[[Feed], float | None] = lambda _: None) -> AsyncIterator[Chunk | None]:
        """Yield whole chunks as the processors leave them, each one event as far as commits go.

        wait_s: how long to wait for the next one, before None is yielded in its place; for ever by default.
        """
        feed, lane = self.begin()
        lane.gathers = True
        while True:
            try:
                chunk = await feed.next_chunk(lane, timeout_s=wait_s(feed))
            except StreamEnded:
                return
            if chunk is None:
                yield None
                lane.finish_event()
                continue
            lane.held.append(chunk)
            lane.cursor, lane.value = len(chunk.rows) - 1, chunk.values[-1]
            kept = (await self._process_chunk(chunk))[0] if self.processors else chunk
            if kept.values:
                yield kept
            lane.finish_gathered()

    async def _process_chunk(self, chunk: Chunk) -> tuple[Chunk, list[object]]:
        """Run the processors over a chunk, at each row in turn; rows that a filter drops are left out."""
        lane = self.bound()[1]
        before = lane.chunk, lane.cursor, lane.value
        processed: list[object] = []
        lane.chunk = chunk
        for lane.cursor, lane.value in enumerate(chunk.values):
            processed.append(await self.process(lane.value))
        lane.chunk, lane.cursor, lane.value = before
        kept = [index for index, value in enumerate(processed) if value is not SKIPPED]
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
        feed, lane = self.begin()
        lane.gathers, lane.gathers_s = True, within_s
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
                lane.finish_gathered()
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
            return value if verdict else SKIPPED

        self.add_processor(keep)
        return self

    def echo(self, *topics: Any) -> Stream[V]:
        """Send every value on to these topics too, under its key."""
        make = [self.program.outgoing(topic) for topic in topics]

        def send(value: V) -> V:
            lane = CURRENT_LANE.get() or self.lane  # another one where a stream is grouped: what forwards it echoes
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
            key = field_getter(cast(str, field))
        if not name:
            raise ConfigurationError(
                "group_by with a function needs a name",
                hint='write stream.group_by(function, name="by_country"): the name becomes part of the topic',
            )
        topic = topic or self.program.grouping_topic(self, name, partitions)
        return self.program.forward(self, topic, cast(Callable[[Any], Awaitable[Any]], key))

    def window(self, windowing: Windowing, *, name: str = "window", **options: Unpack[WindowOptions]) -> WindowedStream:
        """Put the events into windows, by the key of the stream; `agg` says what becomes of them.

        windowing: `pelton.tumbling(60)`, `hopping(60, 10)`, `session(30)`, `sliding(60)` or `counting(100)`.
        name: names the table of the states, where an agent has several. options: see `WindowOptions`.
        Raises: ConfigurationError.
        """
        table = self.program.operator_table(self, name)
        late = options.get("late")
        send_late = self.program.outgoing(late) if late is not None else None
        return WindowedStream(self, window_plan(windowing, table, options, send_late))

    def agg(self, **aggregates: Aggregate[Any]) -> AggregatedStream:
        """Aggregate all events of each key, without windows: iterate the result for what a key has come to so far."""
        return self.window(unbounded(), name="agg").agg(**aggregates)

    def dedupe(
        self,
        by: Any = None,
        *,
        within: float | timedelta,
        time: Any = None,
        duplicates: Any = None,
        idle: float | timedelta | None = None,
        name: str = "dedupe",
    ) -> Stream[V]:
        """Let an event through unless one with the same id was, not longer ago than `within`, in event time.

        by: the id: a field, or a function of the value; the key of the stream when None. Events with one id must be in
            one partition. duplicates: a topic for those that go no further.
        time: where an event's time is; that of its topic when None. name: names the table of the ids.
        idle: of several topics, how long one may show no record before its time goes on with the others', so that ids
            are forgotten all the same. For ever when None, and then results depend on the records alone.
        Raises: ConfigurationError.
        """
        within_ms, idle_s = milliseconds(within), None if idle is None else seconds(idle)
        if within_ms < 0 or (idle_s or 0) < 0:
            raise ConfigurationError(f"dedupe: expected within and idle of 0 or more, got {within!r} and {idle!r}")
        table = self.program.operator_table(self, name)
        read_id, time_of = (None if field is None else field_getter(field) for field in (by, time))
        send = None if duplicates is None else self.program.outgoing(duplicates)
        self.add_processor(Dedupe(table, within_ms, read_id, time_of, send, SKIPPED, idle_s, self.feed))
        return self

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


def _set_field(value: object, name: str, content: object) -> None:
    if isinstance(value, dict):
        value[name] = content
    else:
        setattr(value, name, content)
