"""Decoding a column: one pass when all is well, record by record when something is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pelton.codec.contract import Codec
from pelton.errors import DecodeError

__all__ = ["decode_column"]

T = TypeVar("T")


def decode_column(
    codec: Codec[T], column: Sequence[bytes | None]
) -> tuple[list[T | None], list[tuple[int, DecodeError]]]:
    """Decode every entry of a column.

    column: raw bytes; None (a null key, a tombstone) stays None.
    Returns: the values, one an entry; and (index, error) for each entry that the codec rejects, whose value is None.
    """
    decode = codec.decode
    try:
        return [None if data is None else decode(data) for data in column], []
    except codec.errors:
        # Which entry it was is not known here, and there may be more: the slow pass finds out.
        return _decode_one_by_one(codec, column)


def _decode_one_by_one(
    codec: Codec[T], column: Sequence[bytes | None]
) -> tuple[list[T | None], list[tuple[int, DecodeError]]]:
    values: list[T | None] = []
    rejected: list[tuple[int, DecodeError]] = []
    for index, data in enumerate(column):
        value: T | None = None
        if data is not None:
            try:
                value = codec.decode(data)
            except codec.errors as error:
                rejected.append((index, codec.explain(error, data)))
        values.append(value)
    return values, rejected
