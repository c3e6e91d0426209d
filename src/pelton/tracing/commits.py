"""What a worker tells beside its tasks: its commits, and what is sent and asked from outside of events.

commit                        complete events become durable
  └ send alerts               what they sent to a topic, linked to where each message was created
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from opentelemetry.trace import SpanKind

from pelton.batch import Headers, OutgoingBatch
from pelton.tracing.context import sampled
from pelton.tracing.spans import LINKS_MAX, SpanSource, context_of, to_end_with

__all__ = ["CommitSpans"]


class CommitSpans:
    """One commit; its spans are made when it is over, so that one without anything leaves none."""

    def __init__(self, source: SpanSource) -> None:
        self._source = source
        self._began_ns = time.time_ns()
        self._published_ns = 0
        self._outputs: Sequence[OutgoingBatch] = ()

    def published(self, outputs: Sequence[OutgoingBatch]) -> None:
        """Say that what the agents sent is durable."""
        self._published_ns, self._outputs = time.time_ns(), outputs

    def done(self, events: int) -> None:
        """Say that the commit is made. events: how many are complete with it."""
        self._tell(events, None)

    def failed(self, error: BaseException) -> None:
        """Say that it was not."""
        self._tell(None, None if isinstance(error, asyncio.CancelledError) else error)

    def _tell(self, events: int | None, error: BaseException | None) -> None:
        attributes = self._source.of_group()
        if events is not None:
            attributes["messaging.batch.message_count"] = events
        commit = self._source.start(
            "commit", "settle", attributes=attributes, kind=SpanKind.CLIENT, start_ns=self._began_ns
        )
        by_topic: dict[str, list[OutgoingBatch]] = {}
        for batch in self._outputs:
            by_topic.setdefault(batch.topic, []).append(batch)
        for topic, batches in by_topic.items():
            records: list[Headers] = [headers for batch in batches for headers in batch.headers or ()]
            send = self._source.start(
                "send",
                "send",
                topic,
                {"messaging.batch.message_count": sum(map(len, batches))},
                kind=SpanKind.PRODUCER,
                parent=context_of(commit),
                links=sampled(records, LINKS_MAX),
                start_ns=self._began_ns,
            )
            send.end(self._published_ns)
        to_end_with(commit, error)
