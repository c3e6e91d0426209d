"""Reading dead letters: what they hold, which of them are settled, and the choice of some.

A letter's number is where it lies in the dead-letter topic, "partition:offset", and never changes. A letter is settled
when it was replayed or discarded; its *mark*, a record of the compacted topic `<app>-dlq-done`, says how. Marks are
written by `pelton.runtime.settling`; this module only reads.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import msgspec

from pelton.batch import Headers, RecordBatch, TopicPartition
from pelton.errors import ConfigurationError, StateCorruptedError
from pelton.log.contract import Log
from pelton.log.reading import read_kept
from pelton.runtime.deadletter import REASON, dead_letter_topic

__all__ = ["Letter", "LetterBox", "LetterQuery", "Mark", "Number", "letter_at", "marks_topic", "read_marks"]

_READ_BYTES = 1024 * 1024
_READ_TIMEOUT_S = 10.0


def marks_topic(app_id: str) -> str:
    """Return the name of the topic that tells which letters are settled."""
    return f"{app_id}-dlq-done"


class Number(NamedTuple):
    """Where a letter lies in the dead-letter topic; written "partition:offset"."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Number:
        """Return the number that a text such as "0:17" means. Raises: ConfigurationError."""
        if not re.fullmatch(r"\d{1,9}:\d{1,18}", text, re.ASCII):
            raise ConfigurationError(
                f"not the number of a dead letter: {text!r}",
                hint="expected partition:offset, as in the first column of `dlq list`",
            )
        partition, _, offset = text.partition(":")
        return cls(int(partition), int(offset))


class Mark(msgspec.Struct, frozen=True):
    """What became of a letter.

    to: the topic it was replayed to. reason: why it was discarded. time_ms: when, by the clock of who did it. edited:
    whether somebody changed the record before it was replayed.
    """

    how: Literal["replayed", "discarded"]
    time_ms: int
    to: str = ""
    reason: str = ""
    edited: bool = False


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: the record as it was, where it came from, and why it failed.

    timestamp_ms, key, value, headers: the record's own. topic: "" for a record that somebody else put there.
    result: names what is no record of a topic, but of an operator's table: a timer, or the final result of a window.
    """

    number: Number
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    topic: str
    partition: int
    offset: int
    agent: str
    kind: str
    error: str
    traceback: str
    attempts: int
    result: str = ""
    mark: Mark | None = None

    def envelope(self) -> Letter:
        """Return the letter without what the record holds."""
        return replace(self, key=None, value=None, headers=())


@dataclass(frozen=True, slots=True)
class LetterQuery:
    """Which letters are meant; every field that is set narrows the choice.

    numbers: these letters. topic, agent: exactly. error: a part of the error's text, in any case.
    since_ms: records of this time or later. limit: at most so many. settled: those that are settled, too.
    """

    numbers: frozenset[Number] = frozenset()
    topic: str | None = None
    agent: str | None = None
    error: str | None = None
    since_ms: int | None = None
    limit: int | None = None
    settled: bool = False

    def matches(self, letter: Letter) -> bool:
        """Return whether a letter is meant, the limit aside."""
        return (
            (not self.numbers or letter.number in self.numbers)
            and (self.settled or letter.mark is None)
            and self.topic in (None, letter.topic)
            and self.agent in (None, letter.agent)
            and (self.error is None or self.error.casefold() in letter.error.casefold())
            and (self.since_ms is None or letter.timestamp_ms >= self.since_ms)
        )


class LetterBox:
    """An application's dead letters, to be looked through; nothing is changed."""

    def __init__(self, log: Log, app_id: str) -> None:
        self.log = log
        self.topic = dead_letter_topic(app_id)
        self.marks_topic = marks_topic(app_id)

    async def find(self, query: LetterQuery) -> AsyncIterator[Letter]:
        """Yield the letters that a query means, by partition, the oldest first."""
        marks = await read_marks(self.log, self.marks_topic)
        found = 0
        async for batch in self.batches(numbers=query.numbers):
            for row in range(len(batch)):
                if found == query.limit:
                    return
                letter = letter_at(batch, row, marks)
                if query.matches(letter):
                    found += 1
                    yield letter

    async def batches(
        self, *, numbers: frozenset[Number] = frozenset(), starts: Mapping[int, int] | None = None
    ) -> AsyncIterator[RecordBatch]:
        """Yield the topic's records, up to where it ends now.

        numbers: only what lies between the first and the last of these, for each partition. starts: partition -> where
            to begin instead of at its start.
        """
        async for batch in _read(self.log, self.topic, numbers, starts or {}):
            yield batch


async def read_marks(log: Log, topic: str) -> dict[Number, Mark]:
    """Return number -> mark of all settled letters. Raises: StateCorruptedError for a record that is no mark."""
    marks: dict[Number, Mark] = {}
    async for batch in _read(log, topic, frozenset(), {}):
        for offset, key, value in zip(batch.offsets, batch.keys, batch.values, strict=True):
            try:
                number = Number.parse((key or b"").decode())
                mark = msgspec.json.decode(value or b"", type=Mark)
            except (ValueError, ConfigurationError) as error:  # msgspec's errors are ValueErrors
                raise StateCorruptedError(
                    f"{batch.source} holds a record at offset {offset} that is no mark of a dead letter: {error}",
                    hint="only the dlq commands may write to this topic",
                ) from error
            marks[number] = mark
    return marks


async def _read(
    log: Log, topic: str, numbers: frozenset[Number], starts: Mapping[int, int]
) -> AsyncIterator[RecordBatch]:
    count = (await log.partitions([topic])).get(topic, 0)
    partitions = sorted({number.partition for number in numbers} & set(range(count))) if numbers else range(count)
    spans = await log.offsets(TopicPartition(topic, number) for number in partitions)
    for source, span in spans.items():
        wanted = [number.offset for number in numbers if number.partition == source.partition]
        position = max(span.start, min(wanted, default=0), starts.get(source.partition, 0))
        end = min(span.end, max(wanted, default=span.end) + 1)
        while position < end:
            batch = await read_kept(log, source, position, bytes_max=_READ_BYTES, timeout_s=_READ_TIMEOUT_S)
            yield batch
            position = batch.next_offset


def letter_at(batch: RecordBatch, row: int, marks: Mapping[Number, Mark]) -> Letter:
    """Return the letter in a row of the dead-letter topic."""
    number = Number(batch.partition, batch.offsets[row])
    own, reason = _split(batch.headers[row] if batch.headers is not None else ())
    return Letter(
        number=number,
        timestamp_ms=batch.timestamps_ms[row],
        key=batch.keys[row],
        value=batch.values[row],
        headers=own,
        topic=reason.get("topic", ""),
        partition=_whole(reason.get("partition")),
        offset=_whole(reason.get("offset")),
        agent=reason.get("agent", ""),
        kind=reason.get("kind", ""),
        error=reason.get("error", ""),
        traceback=reason.get("traceback", ""),
        attempts=_whole(reason.get("attempts")),
        result=reason.get("result", ""),
        mark=marks.get(number),
    )


def _split(headers: Headers) -> tuple[Headers, dict[str, str]]:
    """Tell the record's own headers from ours, which follow them.

    A record that died twice has ours twice only if somebody copied them along: the last ones count.
    """
    names = [name for name, _ in headers]
    first = f"{REASON}topic"
    start = len(names) - 1 - names[::-1].index(first) if first in names else len(names)
    ours = ((name.removeprefix(REASON), value or b"") for name, value in headers[start:])
    return headers[:start], {name: value.decode(errors="replace") for name, value in ours}


def _whole(text: str | None) -> int:
    return int(text) if text is not None and re.fullmatch(r"-?\d{1,18}", text, re.ASCII) else -1
