"""Spans of this worker: how they begin, what they have in common, and where they go: by OTLP over HTTP, in batches.

Names and attributes are those of OpenTelemetry's semantic conventions for messaging, in the version of `_SCHEMA`.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager

from opentelemetry import context as current
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags, use_span
from opentelemetry.util.types import AttributeValue

from pelton.tracing.choice import Sampling
from pelton.tracing.context import TraceContext

__all__ = [
    "LINKS_MAX",
    "SpanSource",
    "context_of",
    "current_span",
    "make_current",
    "otlp_exporter",
    "to_end_with",
    "within",
]

#: What the attributes mean; what collects spans can translate them to another version by it.
_SCHEMA = "https://opentelemetry.io/schemas/1.37.0"
#: OpenTelemetry's own limit for the links of a span.
LINKS_MAX = 128


def otlp_exporter() -> SpanExporter:
    """Return what sends spans to where OTEL_EXPORTER_OTLP_* say; to http://localhost:4318 when they say nothing."""
    return OTLPSpanExporter()


class _Ids(IdGenerator):
    """Random ids, but for the one span that was announced on the same thread."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self._next = threading.local()

    @contextmanager
    def announced(self, trace_id: int, span_id: int) -> Generator[None]:
        """Give these to the span that is started within."""
        self._next.ids = trace_id, span_id
        try:
            yield
        finally:
            self._next.ids = None

    def generate_span_id(self) -> int:
        """Return 64 bits."""
        ids: tuple[int, int] | None = getattr(self._next, "ids", None)
        return ids[1] if ids is not None else self._random.generate_span_id()

    def generate_trace_id(self) -> int:
        """Return 128 bits."""
        ids: tuple[int, int] | None = getattr(self._next, "ids", None)
        return ids[0] if ids is not None else self._random.generate_trace_id()


class SpanSource:
    """Begins spans, for an application's worker.

    exporter: where they go. instance: this worker's name. system: what the log is. bound: of the lower halves of trace
    ids, those below it are kept where a trace begins here.
    """

    def __init__(self, exporter: SpanExporter, sampling: Sampling, app_id: str, instance: str, system: str) -> None:
        self.sampling = sampling
        self.app_id = app_id
        self.bound = TraceIdRatioBased.get_bound_for_rate(sampling.ratio)
        self._system = system
        self._ids = _Ids()
        named = Resource({SERVICE_NAME: app_id, SERVICE_INSTANCE_ID: instance})
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sampling.ratio)),
            resource=Resource.create().merge(named).merge(OTELResourceDetector().detect()),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("pelton", schema_url=_SCHEMA)

    def start(
        self,
        operation: str,
        type_: str,
        destination: str | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
        *,
        kind: SpanKind = SpanKind.CONSUMER,
        parent: Context | None = None,
        ids: tuple[int, int] | None = None,
        links: Iterable[TraceContext] = (),
        start_ns: int | None = None,
    ) -> Span:
        """Begin a span of an operation on a topic, which is not made the current one.

        operation: what it is called here; type_: what the conventions call it, empty where they have no name for it.
        parent: the root of a trace when None. ids: of the trace and of the span, where they may not be random.
        """
        given: dict[str, AttributeValue] = {"messaging.system": self._system, "messaging.operation.name": operation}
        if type_:
            given["messaging.operation.type"] = type_
        if destination is not None:
            given["messaging.destination.name"] = destination
        options = {
            "context": parent if parent is not None else Context(),
            "kind": kind,
            "attributes": {**given, **(attributes or {})},
            "links": [Link(_span_context(one)) for one in links],
            "start_time": start_ns,
        }
        name = operation if destination is None else f"{operation} {destination}"
        if ids is None:
            return self._tracer.start_span(name, **options)  # type: ignore[arg-type]
        with self._ids.announced(*ids):
            return self._tracer.start_span(name, **options)  # type: ignore[arg-type]

    def start_inner(self, name: str, parent: Span | None) -> Span:
        """Begin a span of something that is no message: a call, a request."""
        return self._tracer.start_span(name, context=context_of(parent), kind=SpanKind.CLIENT)

    def of_group(self) -> dict[str, AttributeValue]:
        """Return the attributes that say who reads."""
        return {"messaging.consumer.group.name": self.app_id}

    def serve_the_program(self) -> None:
        """Take the spans that the program's code begins by itself, unless it has said where they go."""
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(self._provider)

    def close(self) -> None:
        """Send what is left, and stop; it may take as long as the exporter's timeout, 10 s by default."""
        self._provider.shutdown()


def context_of(found: TraceContext | Span | None) -> Context:
    """Return the context whose children belong to a span, here or elsewhere; an empty one when there is none."""
    if found is None:
        return Context()
    span = trace.NonRecordingSpan(_span_context(found)) if isinstance(found, TraceContext) else found
    return trace.set_span_in_context(span, Context())


def _span_context(found: TraceContext) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if found.sampled else TraceFlags.DEFAULT)
    return SpanContext(found.trace_id, found.span_id, is_remote=True, trace_flags=flags)


def to_end_with(span: Span, error: BaseException | None) -> None:
    """End a span, which failed where there is an error."""
    if error is not None:
        span.record_exception(error)
        span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        span.set_attribute("error.type", type(error).__qualname__)
    span.end()


def make_current(span: Span | None) -> None:
    """Have spans that the code of this asyncio task begins belong to a span; to none when None."""
    current.attach(context_of(span))


def current_span() -> Span | None:
    """Return the span that the running code belongs to; None when there is none."""
    span = trace.get_current_span()
    return span if span.get_span_context().is_valid else None


def within(span: Span) -> AbstractContextManager[Span]:
    """Return a context manager within which a span is the current one; it does not end it."""
    return use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)
