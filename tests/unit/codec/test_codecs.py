import datetime
import decimal
import math
import pickle
import subprocess
import sys
import uuid
from dataclasses import dataclass
from typing import Any, NamedTuple, NewType, TypedDict

import msgspec
import pydantic
import pytest

from pelton.codec import (
    adapted_codec,
    codec_for,
    decode_column,
    default_serializer,
    register_adapter,
    register_codec,
    serializer_names,
)
from pelton.errors import ConfigurationError, DecodeError
from tests.patience import PATIENCE_S


class Payment(msgspec.Struct):
    account: str
    amount: float
    groups: list[str] = []


class Strict(msgspec.Struct):
    limit: int

    def __post_init__(self) -> None:
        {10: "ok"}[self.limit]


class Model(pydantic.BaseModel):
    account: str
    amount: float = 0


@pydantic.dataclasses.dataclass
class ModelDataclass:
    amount: pydantic.PositiveInt


@dataclass
class Node:
    name: str
    children: "list[Node] | None" = None


class Shape(TypedDict):
    sides: int


class Point(NamedTuple):
    x: int
    y: int


class Countries(msgspec.Struct):
    seen: set[str]


AccountId = NewType("AccountId", str)

VALUES: list[tuple[Any, Any]] = [
    (Payment, Payment("a", 1.5, ["x"])),
    (Model, Model(account="a", amount=2)),
    (ModelDataclass, ModelDataclass(amount=2)),
    (Node, Node("root", [Node("leaf")])),
    (Shape, {"sides": 3}),
    (Point, Point(1, 2)),
    (Countries, Countries({"NL", "DE"})),
    (list[Payment], [Payment("a", 1.5)]),
    (Payment | None, None),
    (dict, {"a": [1, None]}),
    (list, [1, "a"]),
    (int, 2**63),
    (float, 1.5),
    (bool, True),
    (str, "ü"),
    (bytes, b"\x00\xff"),
    (decimal.Decimal, decimal.Decimal("1.10")),
    (datetime.datetime, datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)),
    (uuid.UUID, uuid.UUID(int=7)),
    (AccountId, AccountId("a")),
    (None, {"a": [1, "b", None]}),
    (Any, [1.5]),
]


@pytest.mark.parametrize("serializer", [None, "json", "msgpack", "pickle"])
@pytest.mark.parametrize(("type_", "value"), VALUES, ids=[str(type_) for type_, _ in VALUES])
def test_values_come_back(type_, value, serializer):
    codec = codec_for(type_, serializer)
    data = codec.encode(value)
    assert type(data) is bytes
    assert codec.decode(data) == value
    assert type(codec.decode(data)) is type(value)


@pytest.mark.parametrize("serializer", ["raw", "binary"])
def test_bytes_and_text_have_raw_forms(serializer):
    for type_, value in ((bytes, b"\xff"), (str, "ü"), (AccountId, "a")):
        codec = codec_for(type_, serializer)
        assert codec.decode(codec.encode(value)) == value
    dynamic = codec_for(None, serializer)
    assert dynamic.decode(dynamic.encode("ü")) == "ü".encode()


def test_raw_refuses_what_is_neither_bytes_nor_text():
    assert codec_for(bytes).encode(b"x") == b"x"
    for type_ in (bytes, str, None):
        with pytest.raises(TypeError):
            codec_for(type_, "raw").encode(5)


@pytest.mark.parametrize(
    ("type_", "role", "configured", "expected"),
    [
        (str, "key", None, "raw"),
        (str, "key", "raw", "raw"),
        (str, "key", "json", "json"),
        (AccountId, "key", None, "raw"),
        (bytes, "key", "json", "raw"),
        (None, "key", None, "raw"),
        (int, "key", None, "json"),
        (int, "key", "raw", "json"),
        (Payment, "key", "raw", "json"),
        (Payment, "key", "msgpack", "msgpack"),
        (str, "value", None, "json"),
        (str, "value", "raw", "raw"),
        (bytes, "value", "json", "raw"),
        (Payment, "value", "json", "json"),
        (None, "value", None, "json"),
    ],
)
def test_the_serializer_of_a_topic_that_names_none(type_, role, configured, expected):
    assert default_serializer(type_, role=role, configured=configured) == expected


def test_a_text_key_is_written_as_other_producers_write_it():
    assert codec_for(str, role="key").encode("user0") == b"user0"
    assert codec_for(str).encode("user0") == b'"user0"'


def test_the_same_arguments_give_the_same_codec():
    assert codec_for(Payment) is codec_for(Payment, "json")


def test_a_typed_codec_is_the_c_function_itself():
    codec = codec_for(Payment)
    assert type(codec.decode).__name__ == type(codec.encode).__name__ == "builtin_function_or_method"


def test_fausts_own_keys_are_ignored():
    data = b'{"account": "a", "amount": 1, "__faust": {"ns": "app.Payment"}}'
    assert codec_for(Payment).decode(data) == Payment("a", 1)


def test_sets_are_written_in_order():
    assert codec_for(Countries).encode(Countries(set("zyxabc"))) == b'{"seen":["a","b","c","x","y","z"]}'


def test_the_order_of_a_dict_is_kept():
    assert codec_for(dict[str, int]).encode({"b": 1, "a": 2}) == b'{"b":1,"a":2}'


def test_nan_has_no_json_but_a_msgpack():
    assert codec_for(float).encode(math.nan) == b"null"
    assert math.isnan(codec_for(float, "msgpack").decode(codec_for(float, "msgpack").encode(math.nan)))


# Columns


def test_a_column_keeps_its_gaps():
    assert decode_column(codec_for(int), [b"1", None, b"3"]) == ([1, None, 3], [])
    assert decode_column(codec_for(int), []) == ([], [])


def test_bad_entries_are_rejected_and_the_others_kept():
    values, rejected = decode_column(codec_for(int), [b"1", b"x", None, b'"2"', b"4"])
    assert values == [1, None, None, None, 4]
    assert [index for index, _ in rejected] == [1, 3]
    assert all(isinstance(error, DecodeError) for _, error in rejected)


DEEP = b"[" * 100_000

BAD: list[tuple[Any, str | None, bytes, str]] = [
    (Payment, None, b'{"account":"a","amount":1,"groups":[1]}', "Expected str, got int - at $.groups[0]"),
    (Payment, None, b'{"amount":1}', "missing required field account"),
    (Payment, None, b'{"account":"\xff","amount":1}', "can't decode byte 0xff"),
    (Payment, None, b'{"account":"a"', "truncated"),
    (Payment, None, b"", "truncated"),
    (Payment, None, b"NaN", "malformed"),
    (Payment, "msgpack", b"\xc1", "invalid opcode"),
    (Payment, "pickle", b"rubbish", ""),
    (None, None, DEEP, "nested too deeply"),
    (None, "msgpack", b"\x91" * 100_000, "nested too deeply"),
    (Node, None, b'{"name":"a","children":[' * 50_000, "nested too deeply"),
    (None, None, b'"\xff"', "can't decode byte 0xff"),
    (Strict, None, b'{"limit":11}', "KeyError: 11"),
    (Model, None, b'{"account":1}', "valid string"),
    (Model, None, DEEP, "recursion limit exceeded"),
    (Model, "msgpack", b"\x80", "Field required"),
    (str, "raw", b"\xff", "can't decode byte 0xff"),
    (bytes, "binary", b"!", ""),
]


@pytest.mark.parametrize(("type_", "serializer", "data", "reason"), BAD, ids=[f"{row[0]}-{row[3]}" for row in BAD])
def test_no_bytes_can_stop_a_batch(type_, serializer, data, reason):
    [value], [(index, error)] = decode_column(codec_for(type_, serializer), [data])
    assert (value, index) == (None, 0)
    assert reason in error.message
    assert len(str(error)) < 1500
    assert f"could not decode {len(data)} bytes" in error.message
    assert repr(data[:20])[2:-1] in str(error)


# What a program may get wrong


@pytest.mark.parametrize(
    ("type_", "serializer", "match"),
    [
        (object, None, "cannot read or write values of type object"),
        (list[int] | set[int], None, "cannot read or write"),
        (int, "raw", "expected type bytes or str, got int"),
        (Payment, "binary", "expected type bytes or str, got Payment"),
        (Payment, "jsn", "unknown serializer 'jsn': expected one of binary, json"),
        (None, "jsn", "unknown serializer"),
        (Model, "jsn", "unknown serializer"),
    ],
)
def test_what_cannot_be_written_is_said_at_start_up(type_, serializer, match):
    with pytest.raises(ConfigurationError, match=match):
        codec_for(type_, serializer)


def test_pickle_is_never_chosen():
    for role in ("key", "value"):
        assert default_serializer(Payment, role=role) != "pickle"
    assert pickle.dumps(1) != codec_for(None).encode(1)


# Additions


def test_a_registered_serializer_carries_typed_values_too():
    register_codec(
        "reversed",
        loads=lambda data: msgspec.json.decode(data[::-1]),
        dumps=lambda value: msgspec.json.encode(value)[::-1],
    )
    assert "reversed" in serializer_names()
    codec = codec_for(Payment, "reversed")
    assert codec.decode(codec.encode(Payment("a", 1))) == Payment("a", 1)
    assert codec_for(None, "reversed").encode({"a": 1}) == b'}1:"a"{'
    _, [(_, error)] = decode_column(codec, [b'}1:"a"{'])
    assert "missing required field" in error.message
    with pytest.raises(ConfigurationError, match="exists already"):
        register_codec("reversed", loads=bytes, dumps=bytes)


class Record:
    """Stands for a model of a library that the codecs know nothing of."""

    def __init__(self, name: str) -> None:
        self.name = name


def test_a_registered_adapter_carries_foreign_models():
    register_adapter(
        lambda type_: type_ is Record,
        lambda type_, serializer: adapted_codec(
            type_, serializer, load=lambda value: Record(value["name"]), dump=lambda record: {"name": record.name}
        ),
    )
    for serializer in ("json", "msgpack", "reversed"):
        codec = codec_for(Record, serializer if serializer in serializer_names() else "json")
        assert codec.decode(codec.encode(Record("a"))).name == "a"
    _, [(_, error)] = decode_column(codec_for(Record), [b"{}"])
    assert "KeyError: 'name'" in error.message


def test_pydantic_is_not_imported_for_those_who_do_not_use_it():
    code = "import sys, pelton.codec; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=PATIENCE_S).returncode == 0
