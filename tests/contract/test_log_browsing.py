"""The topics and the dead letters as programs see them, `/api/topics` and `/api/dlq`, on both logs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import pytest_asyncio

from pelton.batch import OutgoingBatch, RecordBatch
from pelton.clock import SystemClock
from pelton.codec import codec_for
from pelton.errors import ConfigurationError, DecodeError, OffsetOutOfRangeError
from pelton.log.contract import Log, TopicSpec
from pelton.runtime.deadletter import dead_letter
from pelton.shell.known_topics import shower, writer
from pelton.web.letters_api import LetterApi
from pelton.web.topics import KnownTopic, TopicBook, UnknownTopicError
from pelton.web.topics_api import TopicApi, refused
from tests.contract.log_scene import Scene, make_log
from tests.patience import PATIENCE_S


class Order(msgspec.Struct):
    item: str
    count: int


class Shop:
    """An application with a topic of orders, and its dead letters."""

    def __init__(self, scene: Scene, orders: str) -> None:
        self.scene = scene
        self.app_id = f"app-{uuid4().hex[:8]}"
        self.orders = orders
        self.letters = f"{self.app_id}-dlq"
        codec = codec_for(Order, "json")
        key = codec_for(str, "raw")
        known = KnownTopic(
            orders,
            declared=True,
            show_key=shower(key),
            show_value=shower(codec),
            write_key=writer(key),
            write_value=writer(codec),
        )
        closed = KnownTopic(self.letters, closed="no")
        self.book = TopicBook(self.log, lambda: {orders: known, self.letters: closed}, SystemClock())
        self.topics = TopicApi(self.book, 1_000)
        self.dlq = LetterApi(self.book, self.app_id, self.own_log)

    async def log(self) -> Log:
        return self.scene.log

    @asynccontextmanager
    async def own_log(self) -> AsyncGenerator[Log]:
        log = make_log(self.scene.address)
        await log.open()
        try:
            yield log
        finally:
            await log.close()

    async def write(self, **record: Any) -> dict[str, Any]:
        reply = await self.topics.write(self.orders, json.dumps(record).encode())
        assert reply.status == 201
        return dict(reply.document)

    async def records(self, topic: str | None = None, **query: str) -> dict[str, Any]:
        return dict((await self.topics.records(topic or self.orders, query)).document)

    async def kill_off(self, *values: bytes, error: Exception | None = None) -> None:
        count = len(values)
        batch = RecordBatch(self.orders, 0, range(count), [1_000_000] * count, [b"k"] * count, values, count)
        out = OutgoingBatch(self.letters, 0)
        for row in range(count):
            letter = dead_letter("", batch, row, "shop.pack", error or ValueError(f"no order {row}"), 3)
            out.append(letter.key, letter.value, letter.timestamp_ms, letter.headers)
        await self.scene.log.append([out])


@pytest_asyncio.fixture
async def shop(scene: Scene) -> AsyncIterator[Shop]:
    made = Shop(scene, await scene.topic(2))
    await scene.log.declare([TopicSpec(made.letters, 2, retention_ms=-1)])
    yield made
    await scene.log.delete_topics([made.letters, f"{made.letters}-done"])


async def test_what_is_written_is_found_and_shown(shop: Shop) -> None:
    script = "<script>alert(1)</script>"
    written = await shop.write(key="alice", value=f'{{"item":"{script}","count":2}}', headers=[{"name": "by"}])
    place = str(written["partition"]), str(written["offset"])
    (row,) = (await shop.records(key="alice", text=script[:8]))["records"]
    assert (str(row["partition"]), str(row["offset"]), row["headers"]) == (*place, ["by"])
    shown = (await shop.topics.record(shop.orders, *place)).document
    assert shown["value_decoded"]["value"] == {"item": script, "count": 2}
    assert (shown["key"]["text"], shown["key_decoded"]["text"], shown["previous"]) == ("alice", '"alice"', None)
    assert await shop.topics.value(shop.orders, *place) == f'{{"item":"{script}","count":2}}'.encode()
    (told,) = [one for one in (await shop.topics.list()).document["topics"] if one["name"] == shop.orders]
    assert (told["partitions"], told["declared"], told["offsets"]) == (2, True, 1)


async def test_what_the_topic_s_codec_does_not_read_is_not_written(shop: Shop) -> None:
    with pytest.raises(ConfigurationError, match=r"count.*expected.*int|Expected int"):
        await shop.write(key="alice", value='{"item":"pen","count":"two"}')
    with pytest.raises(ConfigurationError, match="more than 1,000 bytes"):
        await shop.write(value=f'{{"item":"{"x" * 1_000}","count":1}}')
    with pytest.raises(ConfigurationError, match="not written to by hand"):
        await shop.topics.write(shop.letters, b'{"value":"x"}')
    with pytest.raises(UnknownTopicError):
        await shop.topics.write("nowhere", b"{}")
    with pytest.raises(ConfigurationError, match="not such a request"):
        await shop.topics.write(shop.orders, b'{"values":"x"}')
    assert (await shop.records())["records"] == []


async def test_what_cannot_be_decoded_is_shown_with_the_reason(shop: Shop) -> None:
    await shop.scene.append(shop.orders, b"\xff\x00not an order", partition=1, key=None)
    (row,) = (await shop.records(partition="1"))["records"]
    assert (row["key"], row["value"]["text"]) == (None, None)
    shown = (await shop.topics.record(shop.orders, "1", "0")).document
    assert "could not decode" in shown["value_decoded"]["error"]
    assert shown["value_dump"][0].startswith("00000000  ff 00 6e 6f 74")


async def test_pages_go_on_where_the_last_one_ended(shop: Shop) -> None:
    for partition in range(2):
        await shop.scene.append(shop.orders, *[b"%d" % number for number in range(30)], partition=partition)
    for order in ("newest", "oldest"):
        found: list[dict[str, Any]] = []
        page = await shop.records(order=order, limit="25")
        found += page["records"]
        while page["next"]:
            page = await shop.records(order=order, limit="25", cursor=page["next"])
            found += page["records"]
        times = [record["timestamp_ms"] for record in found]
        assert times == sorted(times, reverse=order == "newest")
        assert len({(record["partition"], record["offset"]) for record in found}) == 60
    some = await shop.records(offset="7", partition="0", order="oldest", limit="2")
    assert [record["offset"] for record in some["records"]] == [7, 8]
    some = await shop.records(offset="7", partition="0", limit="2")
    assert [record["offset"] for record in some["records"]] == [7, 6]
    for wrong in ({"cursor": "x"}, {"order": "up"}, {"limit": "0"}, {"offset": "-1"}, {"since": "soon"}, {"of": "1"}):
        with pytest.raises(ConfigurationError):
            await shop.records(**wrong)
    with pytest.raises(UnknownTopicError):
        await shop.records(partition="2")
    with pytest.raises(OffsetOutOfRangeError) as refusal:
        await shop.topics.record(shop.orders, "0", "30")
    assert refused(refusal.value).status == 404


async def test_a_tail_goes_on_where_another_one_ended(shop: Shop) -> None:
    async def heard(last: str | None) -> AsyncGenerator[tuple[str, list[str]]]:
        async for at, look in shop.topics.tail(shop.orders, {"text": "n"}, last):
            yield at, [record["value"]["text"] for record in look["records"]]

    async with asyncio.timeout(PATIENCE_S):
        watching = heard(None)
        at, _ = await anext(watching)
        await watching.aclose()
        await shop.scene.append(shop.orders, b"one", b"two", b"three, then")
        watching = heard(at)
        assert (await anext(watching))[1] == ["one", "three, then"]
        await watching.aclose()


@pytest.mark.several_members
async def test_letters_are_counted_listed_and_shown(shop: Shop) -> None:
    await shop.kill_off(b"bad-0", b"bad-1")
    await shop.kill_off(b"\xff", error=DecodeError("no JSON"))
    summary = (await shop.dlq.summary()).document
    assert (summary["waiting"], summary["settled"], summary["complete"]) == (3, 0, True)
    assert [(one["reason"], one["count"]) for one in summary["reasons"]] == [
        ("ValueError: no order #", 2),
        ("DecodeError: no JSON", 1),
    ]
    assert sum(bar["count"] for bar in summary["over_time"]) == 3
    page = (await shop.dlq.list({"limit": "2"})).document
    rest = (await shop.dlq.list({"limit": "2", "cursor": page["next"]})).document
    assert [one["number"] for one in page["letters"] + rest["letters"]] == ["0:2", "0:1", "0:0"]
    assert [one["number"] for one in (await shop.dlq.list({"reason": "DecodeError: no JSON"})).document["letters"]] == [
        "0:2"
    ]
    shown = (await shop.dlq.letter("0:2")).document
    assert (shown["value"]["hex"], shown["kind"]) == ("ff", "decode")
    assert "could not decode" in shown["value_decoded"]["error"]
    with pytest.raises(UnknownTopicError):
        await shop.dlq.letter("0:99")


@pytest.mark.several_members
async def test_letters_are_edited_replayed_and_discarded(shop: Shop) -> None:
    await shop.kill_off(b"bad", b"worse", b"fine")

    async def settle(name: str, **request: Any) -> dict[str, Any]:
        return dict((await getattr(shop.dlq, name)(json.dumps(request).encode())).document)

    with pytest.raises(ConfigurationError, match="could not decode"):
        await settle("replay", numbers=["0:0"], edit={"value": {"text": '{"item": 1}'}})
    good = '{"item":"pen","count":1}'
    done = await settle("replay", numbers=["0:0"], edit={"value": {"text": good}})
    assert (done["settled"], done["by_topic"]) == (1, {shop.orders: 1})
    (record,) = (await shop.records())["records"]
    assert (record["key"]["text"], record["value"]["text"]) == ("k", good)
    again = await settle("replay", numbers=["0:0", "0:9"])
    assert (again["settled"], again["missing"]) == (0, ["0:9"])
    assert [(one["number"], one["how"], one["edited"]) for one in again["before"]] == [("0:0", "replayed", True)]
    assert (await settle("discard", numbers=["0:1"], reason="rubbish"))["settled"] == 1
    assert (await settle("replay", all={"agent": "shop.pack"}))["settled"] == 1
    assert (await shop.dlq.summary()).document["waiting"] == 0
    assert [one["value"]["text"] for one in (await shop.records())["records"]] == ["fine", good]
    for wrong in ({}, {"numbers": ["0:1"], "all": {"agent": "x"}}, {"all": {}}, {"numbers": ["x"]}):
        with pytest.raises(ConfigurationError):
            await settle("replay", **wrong)
    with pytest.raises(UnknownTopicError):
        await settle("replay", numbers=["0:2"], to="nowhere")
