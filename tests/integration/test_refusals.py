"""Records that their topic does not take for other reasons than their size: the event that sends one is dead-lettered.

A commit that the log refuses would be refused for ever, and its worker end for ever: one header of a request is enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import pelton
from pelton.batch import OutgoingBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.errors import RecordRefusedError
from pelton.log.contract import Position, RecordRules, TopicSpec
from pelton.shell.replies import REPLY_TO
from pelton.stream.lane import Send
from tests.compat.harness import worker
from tests.integration.worker_scene import WorkerScene, lane, opened
from tests.patience import PATIENCE_S

GOOD, BAD = b"good", b"bad"
HOUR_MS = 3_600_000
START = Position(0)


@pytest.fixture(params=["sqlite", "kafka"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a log."""
    if request.param == "kafka":
        return f"kafka://{request.getfixturevalue('kafka')}"
    return f"sqlite://{tmp_path / 'log.db'}?synchronous=off"


@pytest_asyncio.fixture
async def scene(address: str) -> AsyncIterator[WorkerScene]:
    async with opened(address) as made:
        yield made


def send(topic: str, *, partition: int | None = None, key: bytes | None = b"k", ahead_ms: int = 0) -> None:
    lane().send(Send(topic, partition, key, lane().raw_value, SystemClock().time_ms() + ahead_ms, ()))


async def check(scene: WorkerScene, topic: str, offence: bytes) -> None:
    """What is good has gone through, what is bad was dead-lettered with a reason, and no worker ended of it."""
    await scene.append(GOOD, BAD, GOOD)
    await scene.until_committed()
    if topic in await scene.log.topics():
        assert await scene.values(topic) == [GOOD, GOOD]
    letters = [
        (value, dict(headers)["pelton-dlq-error"] or b"")
        for batch in await scene.batches(scene.letters)
        for value, headers in zip(batch.values, batch.headers or [], strict=True)
    ]
    ((value, error),) = letters
    assert value == BAD
    assert error.startswith(b"RecordRefusedError: could not send")
    assert offence in error


async def test_no_key_in_a_compacted_topic(scene: WorkerScene) -> None:
    compacted = f"{scene.app_id}-compacted"
    await scene.log.declare([TopicSpec(compacted, 1, cleanup_policy="compact")])

    async def obey(stream: Any) -> None:
        async for order in stream:
            send(compacted, key=b"k" if order == GOOD else None)

    runtime = await scene.start(obey)
    await check(scene, compacted, b"takes no records without a key")
    assert runtime.statistics().commit_failures == 1


async def test_a_partition_that_is_not_there(scene: WorkerScene) -> None:
    async def obey(stream: Any) -> None:
        async for order in stream:
            send(scene.out, partition=0 if order == GOOD else 7)

    await scene.start(obey)
    await check(scene, scene.out, b"has 1 partitions, and none of number 7")


async def test_a_name_that_no_topic_can_have(scene: WorkerScene) -> None:
    async def obey(stream: Any) -> None:
        async for order in stream:
            send(scene.out if order == GOOD else "no such name!")

    await scene.start(obey)
    await check(scene, scene.out, b"cannot be the name of a topic")


@pytest.mark.parametrize("ahead_ms", [2 * HOUR_MS, -2 * HOUR_MS])
async def test_a_timestamp_out_of_bounds(kafka: str, ahead_ms: int) -> None:
    bounds = {f"message.timestamp.{side}.max.ms": str(HOUR_MS) for side in ("before", "after")}
    async with opened(f"kafka://{kafka}") as scene:
        strict = f"{scene.app_id}-strict"
        await scene.log.declare([TopicSpec(strict, 1, config=bounds)])
        assert await scene.log.record_rules([strict, "nobody-made-this"]) == {
            strict: RecordRules(before_ms=HOUR_MS, after_ms=HOUR_MS)
        }

        async def obey(stream: Any) -> None:
            async for order in stream:
                send(strict, ahead_ms=0 if order == GOOD else ahead_ms)

        await scene.start(obey)
        await check(scene, strict, b"message.timestamp." + (b"after" if ahead_ms > 0 else b"before"))


async def test_a_request_that_wants_its_answer_where_none_can_be(
    scene: WorkerScene, tmp_path: Path, address: str
) -> None:
    """Whoever can write to an agent's topic can name any other one in a header: also one that takes no such record."""
    app = pelton.App(
        f"{scene.app_id}-asked", broker=address, datadir=str(tmp_path / "data"), topic_partitions=1, web_enabled=False
    )
    counts = app.Table("counts", default=int, key_type=str, partitions=1)
    source = app.topic(f"{scene.app_id}-requests", key_type=str, value_type=int, partitions=1)

    @app.agent(source)
    async def add(stream: Any) -> Any:
        async for number in stream:
            counts["all"] += number
            yield counts["all"]

    requests = TopicPartition(f"{scene.app_id}-requests", 0)
    changelog = f"{app.conf.id}-counts-changelog".encode()
    async with worker(app):
        batch = OutgoingBatch(*requests)
        for number, headers in ((1, ()), (10, ((REPLY_TO, changelog),)), (100, ())):
            batch.append(b"k", b"%d" % number, SystemClock().time_ms(), headers)
        await scene.log.append([batch])

        async with asyncio.timeout(PATIENCE_S):
            while (await scene.log.group_positions(str(app.conf.id), [requests])).get(requests, START).offset < 3:
                assert not app.crashed, app.crash_reason
                await asyncio.sleep(0.05)
    (letter,) = [value for each in await scene.batches(f"{app.conf.id}-dlq") for value in each.values]
    assert letter == b"10"
    changes = [
        (key, value)
        for each in await scene.batches(changelog.decode())
        for key, value in zip(each.keys, each.values, strict=True)
    ]
    assert changes[-1] == (b"all", b"101")


async def test_what_is_appended_from_outside(address: str, tmp_path: Path) -> None:
    """A partition that is not there is told to whoever named it, and to nobody else."""
    app = pelton.App("outside", broker=address, datadir=str(tmp_path / "data"), web_enabled=False)
    topic = app.topic(f"outside-{tmp_path.name}", value_serializer="raw", partitions=1)
    await topic.declare()
    bad, good = await topic.send(value=BAD, partition=7), await topic.send(value=GOOD, partition=0)
    assert (await good).partition == 0
    with pytest.raises(RecordRefusedError, match="there are 1"):
        await bad
    await app.close_log()
