"""Values and keys of many types."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import faust
import msgspec
import pydantic

import pelton


class Address(faust.Record):
    city: str
    zip: str = "00000"


class Person(faust.Record, isodates=True, decimals=True, coerce=True):
    name: str
    address: Address
    friends: list[Address] = []  # noqa: RUF012 - a field, not an attribute of the class
    born: datetime | None = None
    balance: Decimal = Decimal("0")


class Strict(faust.Record, validation=True):
    age: int


@dataclass
class Point:
    x: int
    y: int = 0


class Struct(msgspec.Struct):
    name: str
    at: datetime


class Model(pydantic.BaseModel):
    name: str
    tags: list[str] = []


class Key(faust.Record):
    region: str
    number: int


app = pelton.App("models", topic_partitions=1)
types = {"record": Person, "strict": Strict, "dataclass": Point, "struct": Struct, "pydantic": Model}
topics = {name: app.topic(f"in-{name}", value_type=type_) for name, type_ in types.items()}
topics |= {
    "int-key": app.topic("in-int-key", key_type=int, value_type=int),
    "record-key": app.topic("in-record-key", key_type=Key, value_type=int),
    "struct-key": app.topic("in-struct-key", key_type=Struct, value_type=int),
    "bytes": app.topic("in-bytes", key_type=bytes, value_type=bytes),
    "raw": app.topic("in-raw", value_serializer="raw"),
    "text": app.topic("in-text", value_type=str, value_serializer="raw"),
    "packed": app.topic("in-packed", key_type=int, value_type=Struct, value_serializer="msgpack"),
    "pickled": app.topic("in-pickled", value_serializer="pickle"),
    "dynamic": app.topic("in-dynamic"),
    "tombstones": app.topic("in-tombstones", key_type=str, value_type=Point, allow_empty=True),
    "no-tombstones": app.topic("in-no-tombstones", key_type=str, value_type=Point),
}
seen = {name: [] for name in topics}


def reader(name):
    """Return an agent's function over one of the topics."""

    async def read(stream):
        async for event in stream.events():
            seen[name].append((event.key, event.value, dict(event.headers)))

    return read


for name, topic in topics.items():
    app.agent(topic, name=f"read-{name}")(reader(name))

people = app.Table("people", key_type=str, value_type=Person, partitions=1)


@app.agent(app.topic("to-keep", key_type=str, value_type=Person))
async def keep(stream):
    """Keep models in a table."""
    async for name, person in stream.items():
        people[name] = person
