"""W3C trace context in headers of records, and ids that are the same each time.

An event that is handled again, after a crash or a rebalance, has to send the same bytes (invariant I9), so nothing in
the headers of what it sends may be random: the ids of its spans follow from where the event is in the log.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from pelton.batch import Headers, RecordBatch

__all__ = [
    "TRACEPARENT",
    "TRACESTATE",
    "TraceContext",
    "headers_of",
    "own_headers",
    "parse",
    "read",
    "root_trace_id",
    "roots_below",
    "sampled",
    "span_id",
]

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
# Later versions may have more fields behind a dash; ff is none, and ids of zeros are no ids.
_FORM = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1
_MASK = 2**64 - 1
#: The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): it spreads neighbouring numbers over 64 bits.
_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


class TraceContext(NamedTuple):
    """Where in which trace something belongs: 128 and 64 bits, and whether the trace is kept."""

    trace_id: int
    span_id: int
    sampled: bool


def parse(data: bytes | None) -> TraceContext | None:
    """Return what a traceparent says; None when it is none.

    >>> parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").sampled
    True
    """
    found = _FORM.fullmatch(data) if data is not None else None
    if found is None or (found[1] == b"00" and found[5] is not None):
        return None
    return TraceContext(int(found[2], 16), int(found[3], 16), bool(int(found[4], 16) & _SAMPLED))


def read(headers: Headers) -> TraceContext | None:
    """Return the context in a record's headers; of several, the last. None when there is none that is well-formed."""
    for name, data in reversed(headers):
        if name == TRACEPARENT:
            return parse(data)
    return None


def own_headers(headers: Headers) -> Headers:
    """Return the headers that carry a context, as they came."""
    return tuple(header for header in headers if header[0] in (TRACEPARENT, TRACESTATE))


def headers_of(context: TraceContext, state: bytes | None = None) -> Headers:
    """Return the headers that carry a context. state: what came as tracestate, for it goes on unchanged."""
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.sampled:02x}".encode()
    return ((TRACEPARENT, parent),) if state is None else ((TRACEPARENT, parent), (TRACESTATE, state))


def sampled(records: Iterable[Headers], most: int) -> list[TraceContext]:
    """Return the contexts of records whose trace is kept, each once, at most so many."""
    found: dict[TraceContext, None] = {}
    for headers in records:
        if headers and (context := read(headers)) is not None and context.sampled:
            found[context] = None
            if len(found) == most:
                break
    return list(found)


def span_id(*place: object) -> int:
    """Return the id of what is at a place: 64 bits, the same each time, never 0."""
    text = "\0".join(map(str, place)).encode("utf-8", "surrogateescape")
    return int.from_bytes(blake2b(text, digest_size=8, person=b"pelton span").digest()) or 1


def root_trace_id(batch: RecordBatch, row: int) -> int:
    """Return the id of the trace that begins with a record: the same for whoever reads it.

    The lower half says whether the trace is kept, by OpenTelemetry's TraceIdRatioBased as by `roots_below`.
    """
    offset = batch.offsets[row]
    place = f"{batch.topic}\0{batch.partition}\0{offset}\0{batch.log_time_ms(row)}"
    upper = blake2b(place.encode("utf-8", "surrogateescape"), digest_size=8, person=b"pelton trace").digest()
    mixed = (_seed(batch) + offset * _STEP) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * _FIRST) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * _SECOND) & _MASK
    return (int.from_bytes(upper) << 64 | (mixed ^ (mixed >> 31))) or 1


def roots_below(batch: RecordBatch, bound: int) -> Sequence[int]:
    """Return the rows whose root trace ids have a lower half below a bound, rising. bound: 0 to 2**64."""
    if bound > _MASK:
        return range(len(batch))
    mixed = np.asarray(batch.offsets, dtype=np.uint64) * np.uint64(_STEP) + np.uint64(_seed(batch))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(_FIRST)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(_SECOND)
    rows: list[int] = np.flatnonzero((mixed ^ (mixed >> np.uint64(31))) < np.uint64(bound)).tolist()
    return rows


def _seed(batch: RecordBatch) -> int:
    return span_id(batch.topic, batch.partition)
