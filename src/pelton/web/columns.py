"""The columns of a table's values, read off the type that they were declared with.

A value with fields has a column each, named as in the JSON of the value; any other value is one column, `value`.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NewType, Union, cast, get_args, get_origin, get_type_hints, is_typeddict
from uuid import UUID

import msgspec

__all__ = ["Column", "ColumnType", "fields_of", "type_of"]

#: What a column's values are, as JSON has them. time: text in ISO 8601. nested: an object, or a list. any: who knows.
ColumnType = Literal["integer", "number", "boolean", "text", "time", "nested", "any"]

_PLAIN: Mapping[Any, ColumnType] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "text",
    datetime: "time",
    date: "text",
    time: "text",
    Decimal: "text",
    UUID: "text",
    bytes: "text",
}
_NESTED = (list, tuple, dict, set, frozenset, Mapping)


class Column(msgspec.Struct, frozen=True):
    """A column of a table."""

    name: str
    type: ColumnType


def type_of(type_: Any) -> ColumnType:
    """Return what the values of a type are; those that may be None besides, what they are when they are not.

    >>> type_of(int | None), type_of(list[str]), type_of(object)
    ('integer', 'nested', 'any')
    """
    type_ = _unwrapped(type_)
    if get_origin(type_) is Literal:
        return _common({_PLAIN.get(type(one), "any") for one in get_args(type_)})
    if get_origin(type_) in (Union, types.UnionType):
        return _common({type_of(one) for one in get_args(type_) if one is not type(None)})
    if type_ in _PLAIN:
        return _PLAIN[type_]
    if isinstance(type_, type) and issubclass(type_, Enum):
        return _common({_PLAIN.get(type(one.value), "any") for one in type_})
    if fields_of(type_) is not None or (get_origin(type_) or type_) in _NESTED:
        return "nested"
    return "nested" if isinstance(type_, type) and issubclass(type_, msgspec.Struct | tuple) else "any"


def fields_of(type_: Any) -> tuple[Column, ...] | None:
    """Return the columns of a type with fields; None for one that has none, or is written as a list."""
    hints = _fields(_unwrapped(type_))
    return None if hints is None else tuple(Column(name, type_of(hint)) for name, hint in hints.items())


def _fields(type_: Any) -> Mapping[str, Any] | None:
    """Return name -> type of the fields, by the names that JSON has them under."""
    if not isinstance(type_, type):
        return None
    found: Any = cast(Any, type_)  # what it is, its attributes tell
    fields: dict[str, Any] | None = None
    try:
        if hasattr(found, "__struct_config__"):
            if not found.__struct_config__.array_like:
                fields = {one.encode_name: one.type for one in msgspec.structs.fields(found)}
        elif dataclasses.is_dataclass(found):
            hints = get_type_hints(found, include_extras=True)
            fields = {one.name: hints[one.name] for one in dataclasses.fields(found)}
        elif isinstance(getattr(found, "model_fields", None), Mapping):  # pydantic
            fields = {name: field.annotation for name, field in found.model_fields.items()}
        elif is_typeddict(found) or hasattr(found, "to_representation"):  # the second: faust.Record
            fields = {name: hint for name, hint in get_type_hints(found).items() if not name.startswith("_")}
    except (NameError, TypeError):  # a type that is named, and cannot be found
        return None
    return fields


def _unwrapped(type_: Any) -> Any:
    while isinstance(type_, NewType) or get_origin(type_) is Annotated:
        type_ = type_.__supertype__ if isinstance(type_, NewType) else get_args(type_)[0]
    return type_


def _common(kinds: set[ColumnType]) -> ColumnType:
    if kinds == {"integer", "number"}:
        return "number"
    return kinds.pop() if len(kinds) == 1 else "any"
