"""The codec contract: from bytes to typed values and back.

A codec's `decode` and `encode` are plain callables, so that a hot loop pays for nothing but the C function behind them.
They raise whatever that function raises; `explain` turns it into a `DecodeError` that names the field, off the hot
path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pelton.errors import DecodeError

__all__ = ["Codec"]

T = TypeVar("T")
Errors = tuple[type[Exception], ...]


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How values of one type are written as bytes.

    name: the serializer ("json", "raw", "msgpack").
    type: the Python type of the values, or None when they are dynamic.
    decode: bytes -> value; raises one of `errors`.
    encode: value -> bytes; raises TypeError or ValueError for what it cannot write.
    errors: the exceptions that mean "these bytes do not hold such a value".
    explain: (exception, bytes) -> DecodeError with expected, got and the path of the field.
    """

    name: str
    type: object
    decode: Callable[[bytes], T]
    encode: Callable[[T], bytes]
    errors: Errors
    explain: Callable[[Exception, bytes], DecodeError]
