"""Records of a topic as somebody looks at them: one by one, cut where they are large, and chosen by what they hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pelton.batch import Headers, RecordBatch, TopicPartition, record_bytes
from pelton.errors import OffsetOutOfRangeError, UnavailableError
from pelton.log.contract import Log

__all__ = ["Record", "RecordFilter", "read_from", "record_at", "record_in"]

_READ_S = 5.0


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a topic.

    value: all of it, or its beginning; value_bytes: how much there is, None for a tombstone. nbytes: the whole record
    with its headers.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    value_bytes: int | None
    headers: Headers
    nbytes: int

    @property
    def cut(self) -> bool:
        """Whether there is more of the value than this."""
        return self.value is not None and self.value_bytes != len(self.value)


def record_in(batch: RecordBatch, row: int, *, bytes_max: int | None = None) -> Record:
    """Return a row of a batch. bytes_max: how much of the value is kept; all of it when None."""
    key, value = batch.keys[row], batch.values[row]
    headers: Headers = batch.headers[row] if batch.headers is not None else ()
    return Record(
        batch.topic,
        batch.partition,
        batch.offsets[row],
        batch.log_time_ms(row),
        key,
        value if value is None or bytes_max is None else value[:bytes_max],
        None if value is None else len(value),
        headers,
        record_bytes(key, value, headers),
    )


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records are meant; every field that is set narrows the choice.

    keys: the key is one of these. text: the value holds this, in any case of ASCII letters. header: there is one of
    this name, and with this in its value where header_value is set. since_ms <= timestamp < until_ms.
    """

    keys: frozenset[bytes] = frozenset()
    text: str = ""
    header: str = ""
    header_value: str = ""
    since_ms: int | None = None
    until_ms: int | None = None

    def rows(self, batch: RecordBatch) -> Sequence[int]:
        """Return the rows of a batch that are meant, a column at a time: the cheap ones first."""
        rows: Sequence[int] = range(len(batch))
        if self.since_ms is not None:
            since_ms = self.since_ms
            rows = [row for row in rows if batch.timestamps_ms[row] >= since_ms]
        if self.until_ms is not None:
            until_ms = self.until_ms
            rows = [row for row in rows if batch.timestamps_ms[row] < until_ms]
        if self.keys:
            rows = [row for row in rows if batch.keys[row] in self.keys]
        if self.header:
            rows = [row for row in rows if self._has_header(batch.headers[row] if batch.headers is not None else ())]
        if self.text:
            needles = _needles(self.text)
            rows = [row for row in rows if _holds(batch.values[row], needles)]
        return rows

    def _has_header(self, headers: Headers) -> bool:
        wanted = self.header_value.encode(errors="surrogateescape")
        return any(name == self.header and wanted in (value or b"") for name, value in headers)


def _needles(text: str) -> Sequence[bytes]:
    """Return the bytes that a text may be in a value: as it is, and as JSON may escape it."""
    plain = text.encode("utf-8", "surrogateescape").lower()
    escaped = json.dumps(text)[1:-1].encode().lower()
    return [plain] if escaped == plain else [plain, escaped]


def _holds(value: bytes | None, needles: Sequence[bytes]) -> bool:
    if value is None:
        return False
    value = value.lower()
    return any(needle in value for needle in needles)


async def read_from(log: Log, source: TopicPartition, offset: int, *, bytes_max: int) -> RecordBatch:
    """Return the records from an offset on, of which there are some, or a gap to go over.

    Raises: OffsetOutOfRangeError; UnavailableError when none come in time.
    """
    batch = await log.read(source, offset, bytes_max=bytes_max, timeout_s=_READ_S)
    if batch.next_offset <= offset:
        raise UnavailableError(
            f"could not read {source} at offset {offset}: the log gave nothing in time",
            hint="ask again in a moment",
            topic=source.topic,
            partition=source.partition,
            offset=offset,
        )
    return batch


async def record_at(log: Log, source: TopicPartition, offset: int) -> Record | None:
    """Return the record at an offset, whole; None where there is none: it was deleted, or is a transaction's marker.

    Raises: OffsetOutOfRangeError for what lies before the first record, or behind the last; UnavailableError.
    """
    span = (await log.offsets([source]))[source]
    if not span.start <= offset < span.end:
        raise OffsetOutOfRangeError(
            f"{source} has no offset {offset}: it holds {span.start} to {span.end - 1}"
            if span.start < span.end
            else f"{source} has no offset {offset}: it holds no records",
            hint="older records are deleted by retention",
            topic=source.topic,
            partition=source.partition,
            offset=offset,
        )
    batch = await read_from(log, source, offset, bytes_max=1)
    return record_in(batch, 0) if len(batch) and batch.offsets[0] == offset else None
