"""Values and keys of many types, headers, tombstones, and the tables that hold models."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest

from tests.compat.harness import load, until, worker

pytestmark = pytest.mark.usefixtures("each_log")

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def cases(program: ModuleType) -> list[tuple[str, Any, Any]]:
    person = program.Person(
        name="Ada",
        address=program.Address(city="London"),
        friends=[program.Address(city="Paris", zip="75001")],
        born=AT,
        balance=Decimal("12.50"),
    )
    return [
        ("record", "k", person),
        ("strict", None, program.Strict(age=3)),
        ("dataclass", "k", program.Point(1)),
        ("struct", "k", program.Struct("s", AT)),
        ("pydantic", "k", program.Model(name="m", tags=["a"])),
        ("int-key", 7, 8),
        ("record-key", program.Key(region="eu", number=1), 2),
        ("struct-key", program.Struct("s", AT), 3),
        ("bytes", b"\x00k", b"\xff"),
        ("text", "k", "plain text"),
        ("packed", 7, program.Struct("s", AT)),
        ("pickled", "k", {"a set": {1, 2}}),
        ("dynamic", "k", {"a": [1, 2.5, None]}),
        ("tombstones", "k", None),
    ]


async def test_each_type_comes_back_as_itself() -> None:
    program = load("models")
    async with worker(program.app):
        for name, key, value in cases(program):
            await program.topics[name].send(key=key, value=value, headers=[("a", b"1"), ("b", "two")])
        await program.topics["raw"].send(key="k", value="raw bytes")
        await until(lambda: all(program.seen[name] for name, _, _ in cases(program)) and program.seen["raw"])
        for name, key, value in cases(program):
            read_key, read_value, headers = program.seen[name][0]
            assert (type(read_value), read_value) == (type(value), value), name
            assert headers == {"a": b"1", "b": b"two"}
            if program.topics[name].key_type is not None:
                assert (type(read_key), read_key) == (type(key), key), name
        assert program.seen["raw"][0][1] == b"raw bytes"


async def test_what_does_not_fit_its_model_is_dead_lettered() -> None:
    program = load("models")
    async with worker(program.app):
        await program.app.send("in-strict", value=b'{"age": "old"}')
        await program.app.send("in-record", value=b'{"name": "Bob"}')
        await program.app.send("in-dataclass", value=b'{"x": "one"}')
        await program.app.send("in-no-tombstones", key="k", value=None)
        await until(lambda: program.app.statistics().dead_lettered == 4)
        await program.topics["strict"].send(value=program.Strict(age=1))
        await until(lambda: [value.age for _, value, _ in program.seen["strict"]] == [1])


async def test_models_in_tables() -> None:
    program = load("models")
    person = cases(program)[0][2]
    async with worker(program.app):
        await program.app.send("to-keep", key="Ada", value=person.dumps())
        await until(lambda: "Ada" in program.people)
        assert program.people["Ada"] == person
        assert isinstance(program.people["Ada"].address, program.Address)
