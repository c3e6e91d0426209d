"""The records that are thrown at the program: a pure function of (seed, count), mostly wrong in every way we know.

What a record is like (`KINDS`) is drawn apart from its key, its headers and its timestamp, so that each value meets
each key. For most kinds the outcome is known beforehand; `certain` says it without asking the engine.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pelton.batch import Headers

__all__ = ["BAD_KEY", "KINDS", "UNLUCKY", "FuzzRecord", "certain", "records"]

#: An amount that some agents cannot bear.
UNLUCKY = 6.66
START_S = 1_760_000_000
INT64_MAX = 2**63 - 1
#: What stands before the bytes of every key that is no UTF-8.
BAD_KEY = b"\xff\xfe"

Draw = random.Random
Make = Callable[[Draw, int], "bytes | None"]


class FuzzRecord(NamedTuple):
    """A record, and the index of its kind."""

    kind: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers


def _payment(draw: Draw, number: int, **changes: object) -> dict[str, object]:
    payment: dict[str, object] = {
        "id": number,
        "account": f"account-{draw.randrange(500)}",
        "amount": draw.randrange(100_000) / 100 + 7,
        "ts": START_S + number / 1_000,
    }
    return payment | changes


def _json(draw: Draw, number: int, **changes: object) -> bytes:
    return json.dumps(_payment(draw, number, **changes)).encode()


def _one_of(field: str, *values: object) -> Make:
    return lambda draw, number: _json(draw, number, **{field: draw.choice(values)})


def _deep(draw: Draw, _: int) -> bytes:
    depth = int(10 ** draw.uniform(2, 4.5))
    opening, closing = draw.choice([(b"[", b"]"), (b'{"a":', b"}")])
    return opening * depth + b"1" + closing * draw.choice([depth, depth, 0, depth + 1])


def _deep_inside(draw: Draw, number: int) -> bytes:
    depth = draw.randrange(1, 2_000)
    return _json(draw, number)[:-1] + b', "note": ' + b"[" * depth + b"]" * depth + b"}"


def _cut(draw: Draw, number: int) -> bytes:
    whole = _json(draw, number)
    return whole[: draw.randrange(1, len(whole))]


def _flipped(draw: Draw, number: int) -> bytes:
    data = bytearray(_json(draw, number))
    for _ in range(draw.randrange(1, 4)):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(data)


#: kind -> (how many of 1,000 records, what makes its value).
KINDS: Mapping[str, tuple[float, Make]] = {
    "valid": (600, _json),
    "unlucky": (10, lambda draw, number: _json(draw, number, amount=UNLUCKY)),
    "bytes": (60, lambda draw, _: b"\x80" + draw.randbytes(draw.randrange(200))),
    "tombstone": (40, lambda _, __: None),
    "empty": (10, lambda _, __: b""),
    "blank": (5, lambda _, __: b" \n\t"),
    "deep": (5, _deep),
    "deep inside": (10, _deep_inside),
    "huge": (0.2, lambda draw, number: _json(draw, number, note="x" * draw.choice([70_000, 900_000]))),
    "schema id": (40, lambda draw, number: b"\0" + struct.pack(">I", draw.getrandbits(32)) + _json(draw, number)),
    "bad text": (40, lambda draw, number: _json(draw, number).replace(b"account-", draw.choice([b"\xff", b"\xc3("]))),
    "no number": (40, lambda draw, number: _json(draw, number, amount=draw.choice([float("nan"), float("-inf")]))),
    "large number": (10, lambda draw, number: _json(draw, number).replace(b'"amount": ', b'"amount": 1e9')),
    "wrong type": (30, _one_of("amount", "much", None, [], {}, True, "1e400")),
    "wrong id": (20, _one_of("id", 10**30, -(10**400), "7", 1.5, None)),
    "wrong time": (20, _one_of("ts", 1e300, -1e300, 1e17, -1e12, 0, -0.5, 9.3e15, "2026-01-01", None, 10**40)),
    "surrogate": (10, _one_of("account", "\ud800", "\udfff\ud800", "\0", "\uffff")),
    "missing": (20, lambda draw, number: b'{"id": 1}'),
    "no object": (10, lambda draw, _: draw.choice([b"1", b"null", b'"text"', b"[]", b"true", b"{}", b"[{}]"])),
    "cut": (10, _cut),
    "flipped": (10, _flipped),
}
NAMES = list(KINDS)
#: Those that hold no payment for anybody who wants one.
_HOPELESS = frozenset(
    [
        "bytes",
        "tombstone",
        "empty",
        "blank",
        "deep",
        "schema id",
        "bad text",
        "no number",
        "missing",
        "no object",
        "cut",
    ]
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Agents of each sort: reads raw bytes; bears no unlucky amounts; asks for keys."""

    raw: bool = False
    delicate: bool = False
    keyed: bool = False


def certain(kind: str, key: bytes | None, agent: Outcome) -> bool | None:
    """Return whether an agent must process a record (True), must not (False), or may do either."""
    if agent.raw:
        return True
    if kind in _HOPELESS or (agent.keyed and key is not None and key.startswith(BAD_KEY)):
        return False
    if kind == "unlucky":
        return not agent.delicate
    return True if kind == "valid" else None


def _key(draw: Draw) -> bytes | None:
    luck = draw.random()
    if luck < 0.8:
        return b"account-%d" % draw.randrange(500)
    if luck < 0.9:
        return None
    if luck < 0.95:
        return BAD_KEY + draw.randbytes(3)
    return draw.choice([b"", b"\0", b"k" * 40_000 if draw.random() < 0.02 else b"k" * 400, "ключ".encode()])


def _headers(draw: Draw) -> Headers:
    if draw.random() < 0.7:
        return ()
    some = [
        ("trace", b"1"),
        ("trace", b"2"),
        ("", b""),
        ("заголовок", b"\xff\x00"),
        ("pelton-dlq-offset", b"not ours"),
        ("pelton-dlq-topic", b"neither"),
        ("large", b"h" * 2_000),
    ]
    return tuple(draw.choices(some, k=draw.randrange(1, 5)))


def _timestamp_ms(draw: Draw, number: int) -> int:
    luck = draw.random()
    if luck < 0.9:
        return START_S * 1000 + number
    return draw.choice([0, 1, -1, -2, -(10**15), 10**15, 2**62, INT64_MAX, INT64_MAX - 1, -INT64_MAX, -INT64_MAX - 1])


def records(seed: int, count: int) -> Iterator[FuzzRecord]:
    """Yield the records; the same seed always yields the same ones."""
    draw = random.Random(seed)
    weights = [weight for weight, _ in KINDS.values()]
    for number in range(count):
        (kind,) = draw.choices(range(len(NAMES)), weights)
        value = KINDS[NAMES[kind]][1](draw, number)
        yield FuzzRecord(kind, _key(draw), value, _timestamp_ms(draw, number), _headers(draw))
