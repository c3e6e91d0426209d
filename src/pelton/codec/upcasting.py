"""Events of earlier shapes, turned into those of today when they are read (upcasting, as event stores call it).

The log of events is never rewritten: what was written years ago is read by the program of today. Each shape of a type
of events has a number, from 1 on; an upcaster turns one into the next. What is written says its number where it is not
1, beside the event's own fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec

from pelton.codec.choice import codec_for
from pelton.codec.contract import Codec
from pelton.errors import ConfigurationError

__all__ = ["SHAPE", "Upcaster", "event_types", "upcasting_codec"]

#: The field in which an event says its shape.
SHAPE = "_shape"

#: Turns the fields of one shape into those of the next.
Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


def event_types(type_: Any, what: str = "events") -> dict[str, type[msgspec.Struct]]:
    """Return the structs of a union by their tags, or of a struct that stands alone by its tag or name.

    Raises: ConfigurationError for other types, and for structs of a union without tags.
    """
    members = get_args(type_) if isinstance(type_, UnionType) or get_origin(type_) is Union else (type_,)
    found: dict[str, type[msgspec.Struct]] = {}
    for member in members:
        if not (isinstance(member, type) and issubclass(member, msgspec.Struct)):
            raise ConfigurationError(
                f"{what}: expected structs, got {member!r}", hint="write class Deposited(msgspec.Struct, tag=True)"
            )
        config = member.__struct_config__
        if config.array_like or (config.tag is None and len(members) > 1):
            raise ConfigurationError(
                f"{what}: {member.__name__} has no tag that tells it from the others",
                hint=f"write class {member.__name__}(msgspec.Struct, tag=True)",
            )
        found[member.__name__ if config.tag is None else str(config.tag)] = member
    return found


def upcasting_codec(type_: Any, upcasters: Mapping[tuple[str, int], Upcaster]) -> Codec[Any]:
    """Return the codec of events that reads earlier shapes too.

    type_: a struct, or a union of structs with tags. upcasters: (tag, shape) -> what turns it into the next shape; one
        that changes the tag turns the event into another type, of shape 1.
    Raises: ConfigurationError for a gap in the shapes of a type.
    """
    types = event_types(type_)
    codec = codec_for(type_, "json")
    if not upcasters:
        return codec
    latest = {tag: _latest(tag, upcasters) for tag in types}
    encode_plain, decode_plain = codec.encode, codec.decode
    tags = {member: tag for tag, member in types.items()}
    field = next(iter(types.values())).__struct_config__.tag_field or "type"
    alone = next(iter(types)) if len(types) == 1 else ""
    names = {"tag": field, "shape": SHAPE}
    peek = msgspec.json.Decoder(msgspec.defstruct("Peek", [("tag", str, alone), ("shape", int, 1)], rename=names))
    loads = msgspec.json.Decoder().decode

    def encode(event: Any) -> bytes:
        data = encode_plain(event)
        shape = latest[tags[type(event)]]
        if shape == 1:
            return data
        return data[:-1] + (b"," if len(data) > 2 else b"") + b'"%s":%d}' % (SHAPE.encode(), shape)

    def decode(data: bytes) -> Any:
        found: Any = peek.decode(data)
        tag, shape = found.tag, found.shape
        if shape == latest.get(tag):
            return decode_plain(data)
        raw = loads(data)
        while (upcast := upcasters.get((tag, shape))) is not None:
            raw.pop(SHAPE, None)
            raw = upcast(raw)
            after = raw.get(field, tag)
            tag, shape = after, shape + 1 if after == tag else 1
        if shape != latest.get(tag):
            raise ValueError(f"an event {tag} of shape {shape}: expected shapes up to {latest.get(tag, 0)}")
        return msgspec.convert(raw, type_)

    return replace(codec, encode=encode, decode=decode, errors=(Exception,))


def _latest(tag: str, upcasters: Mapping[tuple[str, int], Upcaster]) -> int:
    shapes = sorted(shape for one, shape in upcasters if one == tag)
    if shapes != list(range(1, len(shapes) + 1)):
        raise ConfigurationError(
            f"events {tag}: there are upcasters for shapes {shapes}",
            hint="each shape needs one, from 1 on, without gaps",
        )
    return len(shapes) + 1
