"""From columns to sealed record batches: cut to size, compressed, numbered, checksummed.

aiokafka's builder writes the records; the compression is done here, because the builder asks lz4 for level 9,
which costs 7.5 us a record of 180 bytes where level 1 costs 0.75 and is a third larger.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import cramjam

from pelton.batch import Headers, OutgoingBatch
from pelton.errors import InternalError
from pelton.log.kafka.aio import DefaultRecordBatchBuilder, PlainRecordBatchBuilder, calc_crc32c
from pelton.log.kafka.names import ForeignName, foreign

__all__ = ["BATCH_BYTES_MAX", "OVERHEAD_BYTES", "Chunk", "chunks", "seal"]

#: Uncompressed, so that a batch always fits a topic's default max.message.bytes (1,048,588), however the broker may
#: compress it anew; only a single record may be larger, and then travels alone.
BATCH_BYTES_MAX = 1_000_000
#: At most what a batch of one record takes beside its key, value and headers: 61 bytes of its own, 36 of lengths.
OVERHEAD_BYTES = 100
BATCH_ROWS_MAX = 16_384

_COMPRESS_FROM_BYTES = 512
_LZ4 = 3
_HEADER_BYTES = 61
_LENGTH = struct.Struct(">i")  # at 8; counts what follows it
_CRC = struct.Struct(">I")  # at 17; covers what follows it
_ATTRIBUTES = struct.Struct(">h")  # at 21


class Chunk(NamedTuple):
    """A run of rows of one outgoing batch, not yet sealed.

    row: the index of its first row; records: how many rows.
    """

    row: int
    records: int
    builder: Any


def chunks(batch: OutgoingBatch, *, transactional: bool, bytes_max: int = BATCH_BYTES_MAX) -> Iterator[Chunk]:
    """Cut a batch into chunks of at most so many bytes, in order; a larger record makes one by itself."""
    row, end = 0, len(batch)
    if not len(batch.values) == len(batch.timestamps_ms) == end:
        raise InternalError(
            f"could not write to {batch.topic}[{batch.partition}]: {end} keys, {len(batch.values)} values, "
            f"{len(batch.timestamps_ms)} timestamps"
        )
    headers = batch.headers
    kind = DefaultRecordBatchBuilder
    if headers is not None and foreign(headers):
        kind, headers = PlainRecordBatchBuilder, [_encodable(own) for own in headers]
    while row < end:
        builder = kind(2, 0, int(transactional), -1, -1, -1, bytes_max)
        count = _fill(builder, batch, headers, row)
        yield Chunk(row, count, builder)
        row += count


def _encodable(headers: Headers) -> Headers:
    return tuple((ForeignName(name), value) for name, value in headers)


def _fill(builder: Any, batch: OutgoingBatch, all_headers: Sequence[Headers] | None, row: int) -> int:
    """Append rows from one on until the builder is full; return how many it took."""
    append = builder.append
    no_headers: list[tuple[str, bytes | None]] = []
    end = min(len(batch), row + BATCH_ROWS_MAX)
    rows = zip(batch.timestamps_ms[row:end], batch.keys[row:end], batch.values[row:end], strict=True)
    for count, (timestamp_ms, key, value) in enumerate(rows):
        headers = list(all_headers[row + count]) if all_headers is not None else no_headers
        if append(count, timestamp_ms, key, value, headers) is None:
            return count
    return end - row


def seal(chunk: Chunk, producer_id: int, epoch: int, sequence: int) -> bytes:
    """Return a chunk as it goes over the wire, with its producer's numbers (KIP-98)."""
    chunk.builder.set_producer_state(producer_id, epoch, sequence)
    plain = bytes(chunk.builder.build())
    if len(plain) < _COMPRESS_FROM_BYTES:
        return plain
    # Kafka reads lz4 frames of independent blocks only (KIP-57).
    compressor = cramjam.lz4.Compressor(level=1, content_checksum=False, block_linked=False)
    compressor.compress(plain[_HEADER_BYTES:])
    packed = bytearray(plain[:_HEADER_BYTES]) + bytes(compressor.finish())
    if len(packed) >= len(plain):
        return plain
    _LENGTH.pack_into(packed, 8, len(packed) - 12)
    _ATTRIBUTES.pack_into(packed, 21, _ATTRIBUTES.unpack_from(packed, 21)[0] | _LZ4)
    _CRC.pack_into(packed, 17, calc_crc32c(memoryview(packed)[21:]))
    return bytes(packed)
