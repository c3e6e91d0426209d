"""Dead letters: the records that could not be processed, with their original bytes and the reason.

A dead letter is an effect like any other: it is staged when the position passes its record, and becomes visible in the
same transaction. So each record is processed or dead-lettered, never both and never neither (invariant I7).
"""

from __future__ import annotations

from pelton.batch import Headers, RecordBatch
from pelton.errors import DecodeError
from pelton.stream.lane import Send

__all__ = ["dead_letter", "dead_letter_topic"]

#: Kafka's brokers refuse records with huge headers, and nobody reads more of a message than this.
_TEXT_MAX = 2_000


def dead_letter_topic(app_id: str) -> str:
    """Return the name of an application's dead-letter topic."""
    return f"{app_id}-dlq"


def dead_letter(topic: str, batch: RecordBatch, row: int, agent: str, error: BaseException, attempts: int) -> Send:
    """Return the message that keeps a record for later.

    topic: the dead-letter topic. The message's key, value and timestamp are the record's own; its headers too,
    followed by
        `pelton-dlq-topic`, `-partition`, `-offset`, `-agent`, `-kind` ("decode" or "agent"), `-error`, `-attempts`.
    """
    reason: Headers = (
        ("pelton-dlq-topic", batch.topic.encode()),
        ("pelton-dlq-partition", b"%d" % batch.partition),
        ("pelton-dlq-offset", b"%d" % batch.offsets[row]),
        ("pelton-dlq-agent", agent.encode()),
        ("pelton-dlq-kind", b"decode" if isinstance(error, DecodeError) else b"agent"),
        ("pelton-dlq-error", f"{type(error).__name__}: {error}"[:_TEXT_MAX].encode(errors="replace")),
        ("pelton-dlq-attempts", b"%d" % attempts),
    )
    own: Headers = batch.headers[row] if batch.headers is not None else ()
    return Send(topic, None, batch.keys[row], batch.values[row], batch.timestamps_ms[row], own + reason)
