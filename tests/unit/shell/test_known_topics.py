"""What the program says of its topics, for those who look at records and write some."""

from __future__ import annotations

import msgspec
import pytest

import pelton
from pelton.errors import ConfigurationError
from pelton.shell.known_topics import known_topics
from pelton.shell.program import build_program
from pelton.web.topics import KnownTopic
from pelton.window import window_key


class Order(msgspec.Struct):
    item: str
    count: int


app = pelton.App("known")
orders = app.topic("orders", key_type=str, value_type=Order, retention=3600)
packed = app.topic("packed", key_type=str, value_type=Order, value_serializer="msgpack")
pickled = app.topic("pickled", value_serializer="pickle")
sold = app.Table("sold", default=int, key_type=str)
by_minute = app.Table("by-minute", default=int, key_type=str).tumbling(60)


@app.agent(orders)
async def pack(stream: pelton.Stream[Order]) -> None:
    async for key, order in stream.items():
        sold[key] += order.count
        by_minute[key] += order.count


async def known(name: str) -> KnownTopic:
    return known_topics(app, await build_program(app))[name]


async def test_a_topic_knows_its_readers_and_the_tables_of_its_keys() -> None:
    topic = await known("orders")
    assert topic.agents == [f"{__name__}.pack"]
    assert topic.tables == ["by-minute", "sold"]
    assert (topic.roles, topic.retention_ms, topic.value_type, topic.closed) == (("source",), 3_600_000, "Order", "")
    assert topic.show_value(b'{"item":"pen","count":1}').value == {"item": "pen", "count": 1}
    assert "count" in (topic.show_value(b'{"item":"pen"}').error or "")


async def test_text_is_written_as_the_codec_writes_it() -> None:
    topic = await known("packed")
    data = topic.write_value('{"item":"pen","count":1}')
    assert msgspec.msgpack.decode(data, type=Order) == Order("pen", 1)
    with pytest.raises(ConfigurationError, match="Expected int"):
        topic.write_value('{"item":"pen","count":"1"}')
    with pytest.raises(ConfigurationError, match="not text"):
        topic.write_key("\ud800")


async def test_what_runs_when_it_is_read_is_not_read() -> None:
    topic = await known("pickled")
    assert topic.show_value(b"gASVBQAAAAAAAABLAS4=").value is None
    with pytest.raises(ConfigurationError, match="not written by hand"):
        topic.write_value("1")


@pytest.mark.parametrize("name", ["known-sold-changelog", "known-dlq", "known-dlq-done", "known-control"])
async def test_the_engine_s_own_are_closed(name: str) -> None:
    assert (await known(name)).closed


async def test_the_changelog_of_windows_shows_which_one() -> None:
    topic = await known("known-by-minute-changelog")
    assert topic.show_key(window_key(60_000, b"alice")).value == {"window_start_ms": 60_000, "key": "alice"}
    assert topic.show_key(b"short").error
