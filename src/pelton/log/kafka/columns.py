"""From fetched record batches to columns, without an object per record reaching the engine.

aiokafka's own path makes a ConsumerRecord of eleven fields for each record (1.6 us); reading the columns off the
Cython batches costs a third of it. The checks are aiokafka's: CRC, aborted transactions, control batches.
"""

from __future__ import annotations

import gc
import struct
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pelton.batch import Headers, RecordBatch, TopicPartition
from pelton.errors import UnavailableError
from pelton.log.kafka.aio import KafkaError, MemoryRecords
from pelton.log.kafka.names import read_records

__all__ = ["Unpacker"]

_CONTROL_KEY = struct.Struct(">HH")
_ABORT = 0
_PREFIX = struct.Struct(">qi")  # a batch's base offset, and how many bytes follow


class Unpacker:
    """The records of one partition in one fetch response, taken as columns, a few Kafka batches at a time.

    data: the record batches of the response.
    aborted: (producer id, first offset) of each aborted transaction among them.
    position: the first offset that is wanted; a compressed batch may begin before it.
    end: the offset behind the last record.
    """

    __slots__ = ("_aborted", "_aborted_producers", "_batches", "_data", "end", "next_offset", "source")

    def __init__(
        self, source: TopicPartition, data: bytes, aborted: Iterable[tuple[int, int]] | None, position: int
    ) -> None:
        self.source = source
        self.next_offset = position
        self._data = data
        self._batches = deque(_whole_batches(data))
        self.end = max(position, self._batches[-1].next_offset) if self._batches else position
        self._aborted = sorted(aborted or (), key=lambda entry: entry[1], reverse=True)
        self._aborted_producers = set[int]()

    @property
    def exhausted(self) -> bool:
        """Whether everything was taken."""
        return not self._batches

    def take(self, bytes_max: int, rows_max: int = sys.maxsize) -> RecordBatch:
        """Return the next records: whole Kafka batches, until bytes_max or rows_max is reached or nothing is left.

        Raises: UnavailableError for a batch whose checksum is wrong; it is fetched again.
        """
        collecting = gc.isenabled()
        # Unpacking makes thousands of short-lived records; collecting garbage meanwhile costs half as much again.
        gc.disable()
        try:
            return self._take(bytes_max, rows_max)
        finally:
            if collecting:
                gc.enable()

    def _take(self, bytes_max: int, rows_max: int) -> RecordBatch:
        columns = _Columns()
        while columns.nbytes < bytes_max and len(columns.keys) < rows_max and self._batches:
            batch = self._batches.popleft()
            if not batch.validate_crc():
                raise UnavailableError(
                    f"could not read {self.source} at offset {self.next_offset}: the record batch has a wrong checksum",
                    topic=self.source.topic,
                    partition=self.source.partition,
                    offset=self.next_offset,
                )
            if not self._hidden(batch):
                columns.add(self._records(batch), batch.next_offset, self.next_offset)
            # Past the last record: compaction may have removed the end of the batch.
            self.next_offset = max(self.next_offset, batch.next_offset)
        return columns.batch(self.source, self.next_offset)

    def _records(self, batch: Any) -> list[Any]:
        try:
            return list(batch)
        except (UnicodeDecodeError, KafkaError):  # aiokafka may take a name that is not UTF-8 for a corrupt record
            return read_records(_raw(self._data, batch.base_offset))

    def _hidden(self, batch: Any) -> bool:
        """Whether a batch holds markers only, or records of an aborted transaction."""
        if batch.producer_id is None or batch.producer_id < 0:
            return bool(batch.is_control_batch)
        while self._aborted and self._aborted[-1][1] <= batch.base_offset:
            self._aborted_producers.add(self._aborted.pop()[0])
        if batch.is_control_batch:
            if _CONTROL_KEY.unpack_from(next(iter(batch)).key)[1] == _ABORT:
                self._aborted_producers.discard(batch.producer_id)
            return True
        return bool(batch.is_transactional) and batch.producer_id in self._aborted_producers


def _whole_batches(data: bytes) -> Iterator[Any]:
    """Take the record batches apart, without looking into them; the last one of a response may be cut off."""
    records = MemoryRecords(data)
    while records.has_next():
        yield records.next_batch()


def _raw(data: bytes, base_offset: int) -> bytes:
    """Return the bytes of one batch."""
    at = 0
    while True:
        base, length = _PREFIX.unpack_from(data, at)
        end = at + _PREFIX.size + length
        if base == base_offset:
            return data[at:end]
        at = end


class _Columns:
    """Columns that grow by whole Kafka batches."""

    __slots__ = ("headers", "keys", "nbytes", "offsets", "timestamps_ms", "values")

    def __init__(self) -> None:
        self.offsets: range | list[int] = []
        self.timestamps_ms: list[int] = []
        self.keys: list[bytes | None] = []
        self.values: list[bytes | None] = []
        self.headers: list[Headers] | None = None
        self.nbytes = 0

    def add(self, records: list[Any], end: int, position: int) -> None:
        """Append the records of a batch, which ends at an offset, from a position on."""
        offsets = _offsets(records, end)
        if records and offsets[0] < position:
            records = records[sum(1 for offset in offsets if offset < position) :]
            offsets = [record.offset for record in records]
        if not records:
            return
        keys = [record.key for record in records]
        values = [record.value for record in records]
        self._add_headers([record.headers for record in records])
        self._add_offsets(offsets)
        self.timestamps_ms += [record.timestamp for record in records]
        self.keys += keys
        self.values += values
        self.nbytes += _size(keys) + _size(values)

    def _add_offsets(self, offsets: range | list[int]) -> None:
        """Append offsets: still a range when they touch, else a list that grows in place.

        Every transaction leaves a gap for its marker, so a copy at each would cost the square of the transactions.
        """
        own = self.offsets
        if not own:
            self.offsets = offsets
        elif isinstance(own, range) and isinstance(offsets, range) and own.stop == offsets.start:
            self.offsets = range(own.start, offsets.stop)
        else:
            self.offsets = list(own) if isinstance(own, range) else own
            self.offsets += offsets

    def _add_headers(self, headers: list[list[tuple[str, bytes | None]]]) -> None:
        if any(headers):
            if self.headers is None:
                self.headers = [()] * len(self.keys)
            self.headers += [tuple(entry) for entry in headers]
        elif self.headers is not None:
            self.headers += [()] * len(headers)

    def batch(self, source: TopicPartition, next_offset: int) -> RecordBatch:
        return RecordBatch(
            topic=source.topic,
            partition=source.partition,
            offsets=self.offsets,
            timestamps_ms=self.timestamps_ms,
            keys=self.keys,
            values=self.values,
            next_offset=next_offset,
            headers=self.headers,
            nbytes=self.nbytes,
        )


def _offsets(records: Sequence[Any], end: int) -> range | list[int]:
    """Return the offsets of a batch: a range, unless compaction made gaps."""
    if not records:
        return []
    first = records[0].offset
    if end - first == len(records):
        return range(first, end)
    return [record.offset for record in records]


def _size(column: Sequence[bytes | None]) -> int:
    """Return the bytes in a column. The common case, without nulls, is one C loop."""
    try:
        return sum(map(len, column))  # type: ignore[arg-type]
    except TypeError:
        return sum(len(entry) for entry in column if entry is not None)
