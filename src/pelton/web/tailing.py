"""What comes to a topic, as it comes: looked at a few times a second, bounded, and honest about what is left out.

A topic may get more than anybody can read. Each look takes so many bytes and records; what is beyond them is passed
over, and told as a number. So whoever watches is never further behind than one look.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

from pelton.batch import TopicPartition
from pelton.clock import Clock
from pelton.errors import OffsetOutOfRangeError
from pelton.log.contract import Log, OffsetRange
from pelton.web.records import Record, RecordFilter, read_from, record_in

__all__ = ["EVERY_S", "Look", "tail"]

#: The time between two looks.
EVERY_S = 0.5
#: What one look shows at most, and reads at most of a partition.
_RECORDS_MAX = 100
_BYTES_MAX = 512 * 1024


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found.

    records: by time, the oldest first. dropped: how many more were meant, and are not here. passed: how many offsets
    nobody looked at, because more came than one look reads. positions: partition -> the next offset.
    """

    records: Sequence[Record]
    dropped: int
    passed: int
    positions: Mapping[int, int]


async def tail(
    log: Log,
    topic: str,
    partitions: Sequence[int],
    wanted: RecordFilter,
    clock: Clock,
    *,
    positions: Mapping[int, int] | None = None,
    value_bytes_max: int = 4096,
) -> AsyncGenerator[Look]:
    """Yield a look at once, and then one every `EVERY_S`, also when nothing came.

    positions: where to go on; partitions that are missing begin at their ends.
    Raises: UnavailableError.
    """
    sources = [TopicPartition(topic, number) for number in partitions]
    at = dict(positions or {})
    while True:
        spans = await log.offsets(sources)
        found: list[Record] = []
        dropped = passed = 0
        for source, span in spans.items():
            start = _start(at.get(source.partition), span)
            records, position, more = await _look(log, source, start, span.end, wanted, value_bytes_max)
            found += records
            dropped += more
            passed += span.end - position
            at[source.partition] = span.end
        found.sort(key=lambda record: record.timestamp_ms)
        dropped += max(0, len(found) - _RECORDS_MAX)
        yield Look(found[:_RECORDS_MAX], dropped, passed, dict(at))
        await clock.sleep(EVERY_S)


def _start(position: int | None, span: OffsetRange) -> int:
    """Return where to go on; a topic that was made anew begins again."""
    if position is None:
        return span.end
    return span.start if position > span.end else max(position, span.start)


async def _look(
    log: Log, source: TopicPartition, start: int, end: int, wanted: RecordFilter, value_bytes_max: int
) -> tuple[list[Record], int, int]:
    """Return the records meant between two offsets, how far was read, and how many were meant besides."""
    found: list[Record] = []
    dropped = nbytes = 0
    position = start
    while position < end and nbytes < _BYTES_MAX:
        try:
            batch = await read_from(log, source, position, bytes_max=_BYTES_MAX)
        except OffsetOutOfRangeError:  # retention came between
            return found, position, dropped
        rows = [row for row in wanted.rows(batch) if batch.offsets[row] < end]
        room = max(0, _RECORDS_MAX - len(found))
        found += [record_in(batch, row, bytes_max=value_bytes_max) for row in rows[:room]]
        dropped += len(rows[room:])
        nbytes += batch.nbytes
        position = batch.next_offset
    return found, min(position, end), dropped
