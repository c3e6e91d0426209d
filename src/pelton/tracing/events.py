"""What a task tells: spans of the slices that it hands out, and of single events by choice.

    slice    process transactions        a trace of its own, linked to those of its records
    event    process transactions        part of its record's trace; the first of one where the record has none
               ├ create alerts           one for each message that it sends, whose headers carry this span's context
               └ call ask_model          what runs within it, or for it

An event that has a span is a slice by itself, so nothing is done per event for the others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from pelton.batch import Headers, RecordBatch
from pelton.stream.lane import Accepts, Chunk, Lane, Outbox, Send
from pelton.tracing.context import (
    TRACEPARENT,
    TRACESTATE,
    TraceContext,
    headers_of,
    own_headers,
    read,
    root_trace_id,
    roots_below,
    sampled,
    span_id,
)
from pelton.tracing.spans import LINKS_MAX, SpanSource, context_of, make_current, to_end_with, within

__all__ = ["EventSpans"]

_Place = tuple[str, int, int]


@dataclass(slots=True, eq=False)
class _Work:
    """Rows under way under one span.

    rows: how many of them are not released. event: whether it is a single event, which keeps its span over attempts.
    created: the topic, id and time of each message that it has sent.
    """

    span: Span
    rows: int
    event: bool
    created: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])


class _TracedLane(Lane):
    """A lane whose messages say in their headers which trace they belong to."""

    __slots__ = ("_spans",)

    def __init__(self, spans: EventSpans, partition: int, index: int, outbox: Outbox, accepts: Accepts | None) -> None:
        super().__init__(spans.agent, partition, index, outbox, accepts)
        self._spans = spans

    def send(self, message: Send) -> None:
        """Stage a message as an effect of the event. Raises: RecordRefusedError."""
        super().send(self._spans.marked(self, message))

    def release(self, chunk: Chunk) -> None:
        """Hold a chunk no longer; it is done."""
        super().release(chunk)
        self._spans.released(chunk)


class EventSpans:
    """The spans of one task. agent: whose it is."""

    def __init__(self, source: SpanSource, agent: str) -> None:
        self.agent = agent
        self._source = source
        #: What each lane is at, by its index.
        self._at: dict[int, list[_Work]] = {}
        #: The work that a row belongs to, where it is an event's, or comes to its end by itself.
        self._rows: dict[_Place, _Work] = {}
        self._marked: tuple[RecordBatch | None, frozenset[int]] = None, frozenset()

    def lane(self, partition: int, index: int, outbox: Outbox, accepts: Accepts | None) -> Lane:
        """Return a lane that says in what it sends of which trace that is."""
        return _TracedLane(self, partition, index, outbox, accepts)

    # -- which events have a span of their own ---------------------------------------------------------

    def piece(self, lane: Lane, batch: RecordBatch, rows: Sequence[int]) -> int:
        """Return how many of the first rows go together: an event with a span of its own goes alone."""
        if not self._source.sampling.events or lane.gathers:
            return len(rows)
        marked = self._marks(batch)
        return next((max(1, index) for index, row in enumerate(rows) if row in marked), len(rows))

    def _marks(self, batch: RecordBatch) -> frozenset[int]:
        """Return the rows whose traces are kept."""
        if self._marked[0] is not batch:
            self._marked = batch, frozenset(self._kept(batch))
        return self._marked[1]

    def _kept(self, batch: RecordBatch) -> Sequence[int]:
        roots = roots_below(batch, self._source.bound)
        if batch.headers is None:
            return roots
        beginning, kept = set(roots), list[int]()
        for row, headers in enumerate(batch.headers):
            context = read(headers) if headers else None
            if row in beginning if context is None else context.sampled:
                kept.append(row)
        return kept

    # -- what becomes of them --------------------------------------------------------------------------

    def begin(self, lane: Lane, chunk: Chunk, *, singly: bool = False) -> None:
        """Begin the span of rows; an event that is tried again, or was not released, goes on with the one it has."""
        work = self._rows.get(_place(chunk.batch, chunk.rows[0]))
        if work is None:
            event = not lane.gathers and self._source.sampling.events and chunk.rows[0] in self._marks(chunk.batch)
            work = self._begin_event(chunk) if event else self._begin_slice(chunk)
            if event or singly:
                self._rows |= {_place(chunk.batch, row): work for row in chunk.rows}
        if not singly:
            self._at.setdefault(lane.index, []).append(work)
            make_current(work.span)

    def _begin_event(self, chunk: Chunk) -> _Work:
        batch, row = chunk.batch, chunk.rows[0]
        parent = read(chunk.headers(0))
        trace_id = parent.trace_id if parent is not None else root_trace_id(batch, row)
        attributes = {**self._attributes(batch), "messaging.kafka.offset": batch.offsets[row]}
        span = self._source.start(
            "process",
            "process",
            batch.topic,
            attributes,
            parent=context_of(parent),
            ids=(trace_id, self._span_id(batch, row)),
        )
        return _Work(span, 1, event=True)

    def _begin_slice(self, chunk: Chunk) -> _Work:
        batch = chunk.batch
        attributes = {**self._attributes(batch), "messaging.batch.message_count": len(chunk.rows)}
        links = sampled((batch.headers[row] for row in chunk.rows), LINKS_MAX) if batch.headers is not None else ()
        return _Work(
            self._source.start("process", "process", batch.topic, attributes, links=links), len(chunk.rows), False
        )

    def _attributes(self, batch: RecordBatch) -> dict[str, AttributeValue]:
        return {
            **self._source.of_group(),
            "messaging.destination.partition.id": str(batch.partition),
            "pelton.agent": self.agent,
        }

    def _span_id(self, batch: RecordBatch, row: int) -> int:
        """Return the id of an event's span: the same whenever the event is handled."""
        return span_id(self._source.app_id, self.agent, *_place(batch, row))

    def done(self, lane: Lane) -> None:
        """End what a lane was at."""
        for work in self._at.pop(lane.index, ()):
            self._end(work, None)
        make_current(None)

    def released(self, chunk: Chunk) -> None:
        """A row is done by itself; with the last of them the span ends."""
        work = self._rows.pop(_place(chunk.batch, chunk.rows[0]), None)
        if work is not None:
            work.rows -= 1
            if not work.rows:
                self._end(work, None)

    def failed(self, lane: Lane, error: Exception) -> None:
        """Say so in the spans of what a lane was at. Those of slices end: what is tried again begins anew."""
        for work in self._at.pop(lane.index, ()):
            if work.event:
                self._attempt_failed(work, error)
            else:
                self._end(work, error)
        if lane.apart is not None:
            chunk = lane.apart.chunk
            apart = self._rows.get(_place(chunk.batch, chunk.rows[0]))
            if apart is not None:
                self._attempt_failed(apart, error)
        make_current(None)

    def _attempt_failed(self, work: _Work, error: Exception) -> None:
        work.span.record_exception(error)
        work.created.clear()  # it has sent nothing

    def given_up(self, batch: RecordBatch, row: int, error: Exception) -> None:
        """End the span of an event that is dead-lettered; what could not be decoded has had none so far."""
        work = self._rows.pop(_place(batch, row), None)
        if work is not None and work.event:
            self._end(work, error)
        elif work is None and self._source.sampling.events and row in self._marks(batch):
            self._end(self._begin_event(Chunk(batch, (row,), [None], bytes, 0)), error)
        elif work is not None:
            self._rows[_place(batch, row)] = work

    def _end(self, work: _Work, error: Exception | None) -> None:
        for topic, created, time_ns in work.created:
            ids = work.span.get_span_context().trace_id, created
            span = self._source.start(
                "create",
                "create",
                topic,
                kind=SpanKind.PRODUCER,
                parent=context_of(work.span),
                ids=ids,
                start_ns=time_ns,
            )
            span.end(time_ns)
        to_end_with(work.span, error)

    def call(self, chunk: Chunk, name: str, spawn: Callable[[], asyncio.Task[None]]) -> asyncio.Task[None]:
        """Begin work that is done for a row beside its lane: a call to the outside."""
        work = self._rows.get(_place(chunk.batch, chunk.rows[0]))
        span = self._source.start_inner(name, None if work is None else work.span)
        with within(span):
            task = spawn()
        task.add_done_callback(lambda _: span.end())
        return task

    # -- what they send --------------------------------------------------------------------------------

    def marked(self, lane: Lane, message: Send) -> Send:
        """Return a message with the context that it is to carry, in place of the event's own where it was forwarded.

        Several events at once, timers and results of windows belong to no single trace: their messages carry none, for
        which events come together is chance, and what is sent must not depend on that (invariant I9).
        """
        chunk = lane.chunk
        gathered = lane.gathers or (lane.held and lane.apart is None)
        if chunk is None or gathered or chunk.batch.topic not in lane.topics:
            return message
        came = chunk.headers(lane.cursor)
        own = own_headers(came)
        given = own_headers(message.headers)
        if given and given != own:
            return message  # the program's own
        headers = self._carried(lane, chunk, came, own, message.topic)
        if headers == given:
            return message
        rest = tuple(header for header in message.headers if header[0] not in (TRACEPARENT, TRACESTATE))
        return replace(message, headers=rest + headers)

    def _carried(self, lane: Lane, chunk: Chunk, came: Headers, own: Headers, topic: str) -> Headers:
        """Return the headers of what an event sends. came: all of the event's headers; own: those of a trace."""
        if not self._source.sampling.events:
            return own
        batch, row = chunk.batch, chunk.rows[lane.cursor]
        context = read(came)
        kept = context.sampled if context is not None else row in self._marks(batch)
        if not kept:
            if context is not None:
                return own
            return headers_of(TraceContext(root_trace_id(batch, row), self._span_id(batch, row), sampled=False))
        trace_id = context.trace_id if context is not None else root_trace_id(batch, row)
        created = span_id(self._source.app_id, self.agent, *_place(batch, row), len(lane.sends))
        work = self._rows.get(_place(batch, row))
        if work is not None:
            work.created.append((topic, created, time.time_ns()))
        state = next((data for name, data in own if name == TRACESTATE), None)
        return headers_of(TraceContext(trace_id, created, sampled=True), state)


def _place(batch: RecordBatch, row: int) -> _Place:
    return batch.topic, batch.partition, batch.offsets[row]
