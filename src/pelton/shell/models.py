"""faust.Record as a type of keys and values, and inside of values that have no type."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

import msgspec
from faust import Record

from pelton.codec import adapted_codec, codec_for, register_adapter
from pelton.codec.contract import Codec

__all__ = ["json_value", "plain", "record_serializer", "register_records", "shell_codec"]

#: What every serializer writes in its own way; anything else is taken apart first.
_KEPT = (bytes, bytearray, date, datetime, time, timedelta, Decimal, UUID)


def plain(value: Any) -> Any:
    """Return a value with all models in it taken apart, into dicts, lists, strings and numbers."""
    return msgspec.to_builtins(value, builtin_types=_KEPT, enc_hook=_take_apart)


def json_value(value: Any) -> Any:
    """Return a value as JSON can hold it: models taken apart, times and decimals as text, bytes in base64."""
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_take_apart)


def _take_apart(value: Any) -> Any:
    """Turn what msgspec does not know into what it does: models know how."""
    for name in ("to_representation", "model_dump"):
        method = getattr(value, name, None)
        if method is not None:
            return method()
    raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")


def record_serializer(type_: Any) -> str | None:
    """Return the serializer that a Record class was declared with, as Faust has it; None for other types."""
    if not _is_record(type_):
        return None
    serializer = type_._options.serializer
    return None if serializer is None else str(serializer)


def shell_codec(type_: Any, serializer: str) -> Codec[Any]:
    """Return the codec of a type; without a type, values may be models, or hold some, all the same."""
    codec = codec_for(type_, serializer)
    untyped = codec.type is None and serializer in ("json", "msgpack")
    return _with_models(serializer) if untyped else codec


@lru_cache
def _with_models(serializer: str) -> Codec[Any]:
    """Return the codec of values without a type; one object for all, so that a batch is decoded once."""
    codec: Codec[Any] = codec_for(None, serializer)
    encode_builtin = codec.encode

    def encode(value: Any) -> bytes:
        try:
            return encode_builtin(value)
        except TypeError:
            return encode_builtin(plain(value))

    return replace(codec, encode=encode)


def _is_record(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, Record)


def _make(type_: Any, serializer: str) -> Codec[Any]:
    # Without preferred_type the data itself chooses its class, by the name that the sender wrote into it.
    return adapted_codec(type_, serializer, load=partial(type_.from_data, preferred_type=type_), dump=plain)


def register_records() -> None:
    """Let topics and tables hold faust.Record values."""
    register_adapter(_is_record, _make)
