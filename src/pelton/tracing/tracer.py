"""A worker's traces as a whole: what its tasks, its commits and its requests tell."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from opentelemetry.trace import Span, SpanKind

from pelton.runtime.tracing import CommitTrace, TaskTrace
from pelton.stream.lane import Send
from pelton.tracing.choice import Sampling
from pelton.tracing.commits import CommitSpans
from pelton.tracing.context import TraceContext, headers_of, own_headers
from pelton.tracing.events import EventSpans
from pelton.tracing.spans import SpanSource, context_of, current_span, otlp_exporter, to_end_with, within

__all__ = ["Tracer", "otlp_tracer"]


class Tracer:
    """Where a worker's spans go, once traces are wanted."""

    def __init__(self, source: SpanSource) -> None:
        self._source = source

    def task(self, agent: str) -> TaskTrace:
        """Return what a task of an agent tells."""
        return EventSpans(self._source, agent)

    def commit(self) -> CommitTrace:
        """Begin to tell of a commit."""
        return CommitSpans(self._source)

    def sending(self, message: Send, receipt: asyncio.Future[Any]) -> Send:
        """Return a message that leaves from outside of a transaction, with the context that it is to carry.

        receipt: done when the message is durable, or failed.
        """
        parent = current_span()
        if own_headers(message.headers) or (parent is None and not self._source.sampling.events):
            return message
        span = self._source.start("send", "send", message.topic, kind=SpanKind.PRODUCER, parent=context_of(parent))
        _end_with(span, receipt)
        return replace(message, headers=message.headers + headers_of(_trace_context(span)))

    @contextmanager
    def asking(self, asked: str, answer: asyncio.Future[Any]) -> Generator[None]:
        """Have a request that is sent within belong to a span that lasts until its answer is there.

        asked: who answers. answer: done, or failed, or cancelled when nobody waits any more.
        """
        parent = current_span()
        if parent is None and not self._source.sampling.events:
            yield
            return
        span = self._source.start_inner(f"ask {asked}", parent)
        _end_with(span, answer)
        with within(span):
            yield

    def close(self) -> None:
        """Send what is left, and stop."""
        self._source.close()


def otlp_tracer(sampling: Sampling, app_id: str, instance: str, system: str) -> Tracer:
    """Return a tracer that sends by OTLP; see `SpanSource`. The program's own spans go there too."""
    source = SpanSource(otlp_exporter(), sampling, app_id, instance, system)
    source.serve_the_program()
    return Tracer(source)


def _trace_context(span: Span) -> TraceContext:
    own = span.get_span_context()
    return TraceContext(own.trace_id, own.span_id, own.trace_flags.sampled)


def _end_with(span: Span, future: asyncio.Future[Any]) -> None:
    future.add_done_callback(lambda done: to_end_with(span, None if done.cancelled() else done.exception()))
