"""Dead letters: the records that could not be processed, with their original bytes and the reason.

A dead letter is an effect like any other: it is staged when the position passes its record, and becomes visible in the
same transaction. So each record is processed or dead-lettered, never both and never neither (invariant I7).
"""

from __future__ import annotations

import traceback

from pelton.batch import Headers, RecordBatch
from pelton.errors import DecodeError
from pelton.stream.lane import Send

__all__ = ["REASON", "dead_letter", "dead_letter_topic", "error_text"]

#: How the names of our headers begin; they follow the record's own.
REASON = "pelton-dlq-"

#: Kafka's brokers refuse records with huge headers, and nobody reads more of a message than this.
_TEXT_MAX = 2_000
_TRACEBACK_MAX = 8_000


def dead_letter_topic(app_id: str) -> str:
    """Return the name of an application's dead-letter topic."""
    return f"{app_id}-dlq"


def dead_letter(
    topic: str, batch: RecordBatch, row: int, agent: str, error: BaseException, attempts: int, result: str = ""
) -> Send:
    """Return the message that keeps a record for later.

    topic: the dead-letter topic. result: names what is no record (a timer, the final result of a window): then the
    batch's topic is the operator's table, and the offset means nothing.
    The message's key, value and timestamp are the record's own; its headers too, followed by
        `pelton-dlq-topic`, `-partition`, `-offset`, `-agent`, `-kind` ("decode" or "agent"), `-error`, `-attempts`,
        `-result` where it is no record, and for an error of the agent's code `-traceback`: its end, where the error is.
    """
    decoding = isinstance(error, DecodeError)
    reason: Headers = (
        (f"{REASON}topic", batch.topic.encode()),
        (f"{REASON}partition", b"%d" % batch.partition),
        (f"{REASON}offset", b"%d" % batch.offsets[row]),
        (f"{REASON}agent", agent.encode()),
        (f"{REASON}kind", b"decode" if decoding else b"agent"),
        (f"{REASON}error", error_text(error).encode()),
        (f"{REASON}attempts", b"%d" % attempts),
    )
    if result:
        reason += ((f"{REASON}result", result[:_TEXT_MAX].encode(errors="replace")),)
    if not decoding:  # where in our decoder a record failed tells nobody anything
        reason += ((f"{REASON}traceback", _traceback(error)),)
    own: Headers = batch.headers[row] if batch.headers is not None else ()
    return Send(topic, None, batch.keys[row], batch.values[row], batch.log_time_ms(row), own + reason)


def error_text(error: BaseException) -> str:
    """Return an error's class and message, cut where nobody reads on."""
    try:
        text = f"{type(error).__name__}: {error}"[:_TEXT_MAX]
    except Exception as worse:  # the user's own __str__: it must not end the worker
        text = f"{type(error).__name__}, whose text cannot be made: {type(worse).__name__}"
    return text.encode(errors="replace").decode()  # it goes into messages: no lone surrogates


def _traceback(error: BaseException) -> bytes:
    return "".join(traceback.format_exception(error))[-_TRACEBACK_MAX:].encode(errors="replace")
