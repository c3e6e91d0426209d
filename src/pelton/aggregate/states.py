"""States of aggregates as bytes: what goes into a table comes out of it as it was, of the same type.

msgpack knows numbers, text, bytes, lists and dicts. Of anything else msgspec makes text (a Decimal, a date, a UUID) or
a list (a tuple), and the next value would be compared with, or added to, something else than was kept. So these have
an extension type each. An enum counts as its value, and an object as the dict of its fields: their classes are the
program's, and are not in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import msgspec

__all__ = ["as_kept", "decode_states", "encode_states"]

#: What msgpack brings back as it was.
_PLAIN = frozenset({int, float, str, bool, bytes, type(None)})
_Ext = msgspec.msgpack.Ext
_Write = Callable[[Any], bytes]
_Read = Callable[[bytes], Any]


def _iso(value: date | time) -> bytes:
    return value.isoformat().encode()


def _text(value: object) -> bytes:
    return str(value).encode()


def _span(value: timedelta) -> bytes:
    return _pack([value.days, value.seconds, value.microseconds])


def _list(value: tuple[Any, ...]) -> bytes:
    return encode_states(value)


#: Types -> the number that stands for them in the table, how they are written and read. Numbers are never given anew.
_KINDS: dict[type, tuple[int, _Write, _Read]] = {
    Decimal: (1, _text, lambda data: Decimal(data.decode())),
    date: (2, _iso, lambda data: date.fromisoformat(data.decode())),
    time: (3, _iso, lambda data: time.fromisoformat(data.decode())),
    datetime: (4, _iso, lambda data: datetime.fromisoformat(data.decode())),
    timedelta: (5, _span, lambda data: timedelta(*msgspec.msgpack.decode(data))),
    UUID: (6, lambda value: cast(UUID, value).bytes, lambda data: UUID(bytes=data)),
    tuple: (7, _list, lambda data: tuple(decode_states(data))),
}
#: An integer that is larger than msgpack's 64 bits.
_LARGE = 8
_READ: dict[int, _Read] = {
    **{code: read for code, _, read in _KINDS.values()},
    _LARGE: lambda data: int.from_bytes(data, "big", signed=True),
}
_KEPT_AS_THEY_ARE = (*(kind for kind in _KINDS if kind is not tuple), bytes)


def as_kept(value: Any) -> Any:
    """Return a value as a state may hold it: an enum's value, an object's fields; others as they are.

    Raises: TypeError for what neither msgpack nor this module knows.
    """
    if type(value) in _PLAIN:
        return value
    return msgspec.to_builtins(value, builtin_types=_KEPT_AS_THEY_ARE, order="deterministic")


def encode_states(states: Sequence[Any]) -> bytes:
    """Return states as bytes. Raises: TypeError for what cannot be kept."""
    try:
        return _pack([state if type(state) in _PLAIN else _storable(state) for state in states])
    except OverflowError:
        return _pack([_storable(state, large=True) for state in states])


def decode_states(data: bytes) -> list[Any]:
    """Return the states that bytes stand for."""
    return cast("list[Any]", _unpack(data))


def _storable(state: Any, *, large: bool = False) -> Any:
    """Return a state with all that msgpack would not bring back as it was in an extension type."""
    kind: type[Any] = type(state)  # pyright: ignore[reportUnknownVariableType]
    if kind is list:
        plain = not large and _PLAIN.issuperset(map(type, state))
        return state if plain else [_storable(one, large=large) for one in state]
    if kind in _PLAIN:
        return _Ext(_LARGE, _signed(state)) if large and kind is int and not -(2**63) <= state < 2**64 else state
    if kind is dict:
        return {name: _storable(one, large=large) for name, one in state.items()}
    known = _KINDS.get(kind)
    return state if known is None else _Ext(known[0], known[1](state))


def _signed(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)


def _restored(code: int, data: memoryview) -> Any:
    return _READ[code](bytes(data))


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(ext_hook=_restored).decode
