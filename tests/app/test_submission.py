"""What may be posted, and how a client is told what is wrong."""

from __future__ import annotations

import msgspec
import pytest

from app.submission import Rejected, parse_json, parse_lines
from tests.app.payments import payment

GOOD = msgspec.json.encode(payment())


def broken(**changes: object) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(payment()) | changes)


def test_object_array_and_lines() -> None:
    assert parse_json(GOOD) == [payment()]
    assert parse_json(b"[" + GOOD + b"," + GOOD + b"]") == [payment()] * 2
    assert parse_json(b" [ ]") == []
    assert parse_lines(GOOD + b"\r\n\n" + GOOD + b"\n") == [payment()] * 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", -1),
        ("amount", "12"),
        ("amount", 0),
        ("country", "Germany"),
        ("currency", "euro"),
        ("channel", "phone"),
        ("ts", 1_767_571_200_000),
        ("lat", 91),
        ("mcc", "54"),
        ("id", ""),
        ("account", "x" * 65),
        ("merchant", None),
    ],
)
def test_names_the_field(field: str, value: object) -> None:
    with pytest.raises(Rejected) as caught:
        parse_json(broken(**{field: value}))
    assert caught.value.field == field
    assert caught.value.index is None


def test_names_a_missing_field_and_its_place() -> None:
    with pytest.raises(Rejected) as caught:
        parse_json(b"[" + GOOD + b',{"id": "t"}]')
    assert (caught.value.field, caught.value.index) == ("account", 1)
    with pytest.raises(Rejected) as caught:
        parse_lines(GOOD + b"\n\n" + broken(amount="x"))
    assert (caught.value.field, caught.value.line) == ("amount", 3)


DEEP = b'{"unknown":' + b"[" * 100_000


@pytest.mark.parametrize("body", [b"", b"nonsense", b'{"id": ', b"12", b"[1]", b"\xff\xfe", b"[" * 5_000, DEEP])
def test_no_body_is_a_crash(body: bytes) -> None:
    with pytest.raises(Rejected):
        parse_json(body)
    with pytest.raises(Rejected):
        parse_lines(body or b"nonsense")


def test_nan_is_not_json() -> None:
    with pytest.raises(Rejected):
        parse_json(GOOD.replace(b"20.0", b"NaN"))
