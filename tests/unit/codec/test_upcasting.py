"""Events of earlier shapes, read by the program of today."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pelton.codec import upcasting_codec
from pelton.errors import ConfigurationError


class Paid(msgspec.Struct, tag=True):
    cents: int
    currency: str


class Left(msgspec.Struct, tag=True):
    pass


def in_cents(event: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Paid", "cents": round(event["amount"] * 100)}


def with_currency(event: dict[str, Any]) -> dict[str, Any]:
    return event | {"currency": "EUR"}


def renamed(event: dict[str, Any]) -> dict[str, Any]:
    return event | {"type": "Paid"}


UPCASTERS = {("Paid", 1): in_cents, ("Paid", 2): with_currency, ("Payment", 1): renamed}
codec = upcasting_codec(Paid | Left, UPCASTERS)


@pytest.mark.parametrize(
    ("data", "event"),
    [
        (b'{"type":"Paid","amount":1.5}', Paid(150, "EUR")),
        (b'{"type":"Paid","amount":1.5,"_shape":1}', Paid(150, "EUR")),
        (b'{"type":"Paid","cents":7,"_shape":2}', Paid(7, "EUR")),
        (b'{"type":"Paid","cents":7,"currency":"CHF","_shape":3}', Paid(7, "CHF")),
        (b'{"type":"Payment","amount":2}', Paid(200, "EUR")),
        (b'{"type":"Left"}', Left()),
    ],
)
def test_every_shape_is_read(data: bytes, event: Any) -> None:
    assert codec.decode(data) == event


def test_what_is_written_says_its_shape_where_it_is_not_the_first() -> None:
    assert codec.encode(Paid(7, "CHF")) == b'{"type":"Paid","cents":7,"currency":"CHF","_shape":3}'
    assert codec.encode(Left()) == b'{"type":"Left"}'
    assert codec.decode(codec.encode(Paid(7, "CHF"))) == Paid(7, "CHF")


def test_a_shape_of_tomorrow_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"shape 4: expected shapes up to 3"):
        codec.decode(b'{"type":"Paid","_shape":4}')
    with pytest.raises(ValueError, match="Nobody"):
        codec.decode(b'{"type":"Nobody"}')


def test_a_gap_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match=r"upcasters for shapes \[2\]"):
        upcasting_codec(Paid | Left, {("Paid", 2): with_currency})


def test_a_struct_that_stands_alone_needs_no_tag() -> None:
    class Alone(msgspec.Struct):
        number: int = 0

    assert upcasting_codec(Alone, {}).decode(b'{"number":1}') == Alone(1)
    shaped = upcasting_codec(Alone, {("Alone", 1): lambda event: {"number": event["text"]}})
    assert shaped.decode(b'{"text":5}') == Alone(5)
    assert shaped.encode(Alone(5)) == b'{"number":5,"_shape":2}'
    assert shaped.decode(b'{"number":5,"_shape":2}') == Alone(5)
