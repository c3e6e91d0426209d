"""faust.Record as a type of keys and values."""

from __future__ import annotations

from typing import Any

from faust import Record

from pelton.codec import adapted_codec, register_adapter
from pelton.codec.contract import Codec

__all__ = ["register_records"]


def _is_record(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, Record)


def _make(type_: Any, serializer: str) -> Codec[Any]:
    return adapted_codec(
        type_,
        serializer,
        load=type_.from_data,
        dump=lambda record: record.to_representation(),
    )


def register_records() -> None:
    """Let topics and tables hold faust.Record values."""
    register_adapter(_is_record, _make)
