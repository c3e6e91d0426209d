"""Which codec a topic's keys and values get, from what its declaration says."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, NewType

from pelton.codec.adapters import adapter_for
from pelton.codec.contract import Codec
from pelton.codec.serializers import make_codec

__all__ = ["codec_for", "default_serializer"]

Role = Literal["key", "value"]


def codec_for(type_: Any, serializer: str | None = None, *, role: Role = "value") -> Codec[Any]:
    """Return the codec of a type; the same object for the same arguments, so that batches are decoded once.

    type_: a msgspec.Struct, dataclass, TypedDict, NamedTuple, pydantic model, builtin type, or any other type that has
        an adapter; None or Any for dynamic values, which decode to dicts, lists, strings and numbers.
    serializer: "json", "msgpack", "raw", "binary", "pickle" or a registered name; None for `default_serializer`.
    NaN and infinities have no JSON: they are written as null, and come back as an error where a float is expected.
    Raises: ConfigurationError for an unknown serializer, or a type that it cannot write.
    """
    type_ = _unwrapped(type_)
    name = serializer if serializer is not None else default_serializer(type_, role=role)
    return _codec_for(type_, name, adapter_for(type_))


@lru_cache(maxsize=1024)
def _codec_for(type_: Any, serializer: str, make: Any) -> Codec[Any]:
    return make(type_, serializer) if make is not None else make_codec(type_, serializer)


def default_serializer(type_: Any, *, role: Role = "value", configured: str | None = None) -> str:
    """Return the serializer of a topic that names none itself.

    configured: the application's setting for this role, or None for its default (raw for keys, json for values).
    bytes are raw everywhere. A str key is raw UTF-8, as other producers write it: a JSON key, with its quotes, would be
    hashed to another partition. A str value is a JSON string. Keys that raw cannot hold are JSON.
    """
    type_ = _unwrapped(type_)
    if type_ is bytes:
        return "raw"
    if role == "value":
        return configured or "json"
    holds_raw = type_ is str or type_ is None or type_ is Any
    return "json" if configured in (None, "raw") and not holds_raw else configured or "raw"


def _unwrapped(type_: Any) -> Any:
    """Return what a NewType stands for: an AccountId that is a str is written as one."""
    while isinstance(type_, NewType):
        type_ = type_.__supertype__
    return type_
