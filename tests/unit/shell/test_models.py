"""Records, and models inside of values that have no type."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import faust
import msgspec
import pydantic
import pytest

from pelton.codec import codec_for
from pelton.shell.models import plain, record_serializer, shell_codec


class Inner(faust.Record):
    number: int


class Outer(faust.Record, serializer="msgpack", isodates=True):
    inner: Inner
    at: datetime
    many: dict[str, Inner] = {}  # noqa: RUF012 - a field, not an attribute of the class


class Model(pydantic.BaseModel):
    name: str


@dataclass
class Point:
    x: int


AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
def test_records_within_records(serializer: str) -> None:
    codec = codec_for(Outer, serializer)
    record = Outer(inner=Inner(number=1), at=AT, many={"a": Inner(number=2)})
    found = codec.decode(codec.encode(record))
    assert found == record
    assert type(found.many["a"]) is Inner


def test_the_serializer_of_a_record_s_class() -> None:
    assert record_serializer(Outer) == "msgpack"
    assert record_serializer(Inner) is None
    assert record_serializer(dict) is None
    assert record_serializer(None) is None


def test_the_type_decides_and_not_the_sender() -> None:
    data = msgspec.json.encode({"number": 1, "__faust": {"ns": Outer._options.namespace}})
    assert type(codec_for(Inner, "json").decode(data)) is Inner


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Inner(number=1), {"number": 1}),
        ([Inner(number=1)], [{"number": 1}]),
        ({"a": Model(name="m")}, {"a": {"name": "m"}}),
        ({"p": Point(1)}, {"p": {"x": 1}}),
        ({"when": AT}, {"when": "2026-03-01T00:00:00Z"}),
        (Decimal("1.50"), "1.50"),
        (None, None),
    ],
    ids=str,
)
def test_values_without_a_type_may_hold_models(value: Any, expected: Any) -> None:
    found = msgspec.json.decode(shell_codec(None, "json").encode(value))
    for one in (found, *(found if isinstance(found, list) else [])):
        if isinstance(one, dict):
            one.pop("__faust", None)
    assert found == expected


def test_what_nobody_can_write_is_an_error() -> None:
    with pytest.raises(TypeError, match="object"):
        plain({"a": object()})


def test_one_codec_for_all_that_have_no_type() -> None:
    assert shell_codec(None, "json") is shell_codec(Any, "json")
