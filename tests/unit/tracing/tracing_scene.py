"""An application under a driver whose spans a test can read."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import pelton
from pelton.testing import Driver
from pelton.tracing.choice import Sampling
from pelton.tracing.spans import SpanSource
from pelton.tracing.tracer import Tracer


class TracedDriver(Driver):
    """A driver that keeps spans."""

    def __init__(self, app: pelton.App, exporter: InMemorySpanExporter, tracer: Tracer) -> None:
        super().__init__(app)
        self._exporter = exporter
        self._tracer = tracer

    def spans(self, name: str = "") -> Sequence[ReadableSpan]:
        """Return the spans that have ended so far, those of a name when given."""
        assert self._tracer._source._provider.force_flush()
        return [span for span in self._exporter.get_finished_spans() if name in ("", span.name)]


@contextmanager
def traced(app: pelton.App, *, events: bool = True, ratio: float = 1.0) -> Generator[TracedDriver]:
    """Drive an application whose work is traced."""
    exporter = InMemorySpanExporter()
    tracer = Tracer(SpanSource(exporter, Sampling(ratio, events), app.conf.id, "driven", "kafka"))
    app.tracing = tracer
    try:
        with TracedDriver(app, exporter, tracer) as driver:
            yield driver
    finally:
        app.tracing = None
        tracer.close()


def parent_of(span: ReadableSpan) -> int | None:
    """Return the id of the span that a span belongs to."""
    return span.parent.span_id if span.parent is not None else None


def id_of(span: ReadableSpan) -> int:
    """Return a span's id."""
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def trace_of(span: ReadableSpan) -> int:
    """Return the id of a span's trace."""
    context = span.get_span_context()
    assert context is not None
    return context.trace_id
