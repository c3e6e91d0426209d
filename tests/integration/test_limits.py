"""Records that their topic does not take: the event that makes one is dead-lettered, and its partition goes on.

On both logs. Found out at the commit, such a record would fail that of every other event too, for ever.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from pelton.batch import OutgoingBatch
from pelton.errors import RecordTooLargeError
from pelton.log.contract import TopicSpec
from tests.integration.worker_scene import WorkerScene, lane, opened

MIB = 1024 * 1024
SMALL, LARGE = b"small", b"large"
#: Between Kafka's default max.message.bytes and our own record_bytes_max; noise, so that no compression makes it small.
NOISE = os.urandom(3 * MIB)
MEGABYTE = {"max.message.bytes": str(MIB)}


@pytest_asyncio.fixture(params=["sqlite", "kafka"])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[WorkerScene]:
    if request.param == "kafka":
        address = f"kafka://{request.getfixturevalue('kafka')}"
    else:
        address = f"sqlite://{tmp_path / 'log.db'}?synchronous=off"
    async with opened(address) as made:
        await made.log.declare([TopicSpec(made.out, 1, config=MEGABYTE)])
        await made.log.declare([TopicSpec(made.table.changelog.name, 1, cleanup_policy="compact", config=MEGABYTE)])
        yield made


async def letters(scene: WorkerScene) -> list[tuple[bytes | None, bytes]]:
    """Return value and error of each dead letter."""
    found: list[tuple[bytes | None, bytes]] = []
    for batch in await scene.batches(scene.letters):
        for value, headers in zip(batch.values, batch.headers or [], strict=True):
            found.append((value, dict(headers)["pelton-dlq-error"] or b""))
    return found


async def test_a_message_that_is_too_large(scene: WorkerScene) -> None:
    async def obey(stream: Any) -> None:
        async for order in stream:
            scene.send(order if order == SMALL else NOISE)

    await scene.start(obey)
    await scene.append(SMALL, LARGE, SMALL)
    await scene.until_committed()
    assert await scene.values(scene.out) == [SMALL, SMALL]
    ((value, error),) = await letters(scene)
    assert value == LARGE
    assert error.startswith(b"RecordTooLargeError: could not send: the record has 3,145,7")
    assert b"max.message.bytes" in error


async def test_a_value_that_is_too_large_for_its_table(scene: WorkerScene) -> None:
    async def obey(stream: Any) -> None:
        async for order in stream:
            lane().tables["kept"].put(order, SMALL if order == SMALL else NOISE)

    await scene.start(obey)
    await scene.append(SMALL, LARGE, SMALL)
    await scene.until_committed()
    assert set(await scene.values(scene.table.changelog.name)) == {SMALL}
    ((value, error),) = await letters(scene)
    assert value == LARGE
    assert b"could not store in table 'kept'" in error


async def test_a_topic_that_nobody_declared(scene: WorkerScene) -> None:
    """Its limit is not known before the first commit is refused."""
    unknown = f"{scene.app_id}-unknown"

    async def obey(stream: Any) -> None:
        async for order in stream:
            scene.send(order if order == SMALL else NOISE, unknown)

    await scene.log.declare([TopicSpec(unknown, 1, config=MEGABYTE)])
    runtime = await scene.start(obey)
    await scene.append(SMALL, LARGE, SMALL)
    await scene.until_committed()
    assert await scene.values(unknown) == [SMALL, SMALL]
    assert [value for value, _ in await letters(scene)] == [LARGE]
    assert runtime.statistics().commit_failures == 1


async def test_records_that_are_small_one_by_one(scene: WorkerScene) -> None:
    """A topic that takes little at a time gets little at a time."""
    tight = f"{scene.app_id}-tight"

    async def obey(stream: Any) -> None:
        async for _ in stream:
            scene.send(os.urandom(5_000), tight)

    await scene.log.declare([TopicSpec(tight, 1, config={"max.message.bytes": "20000"})])
    runtime = await scene.start(obey, commit_interval_ms=1000)
    await scene.append(*[SMALL] * 100)
    await scene.until_committed()
    assert [len(value or b"") for value in await scene.values(tight)] == [5_000] * 100
    assert await letters(scene) == []
    assert runtime.statistics().dead_lettered == 0


async def test_what_is_appended_from_outside(scene: WorkerScene) -> None:
    batch = OutgoingBatch(scene.out, 0, [b"k"], [NOISE], [0])
    limits = await scene.log.record_bytes_max([scene.out, "nobody-made-this"])
    assert set(limits) == {scene.out}
    assert MIB - 1000 < limits[scene.out] <= MIB
    with pytest.raises(RecordTooLargeError):
        await scene.log.append([batch])
    batch.values[0] = os.urandom(limits[scene.out] - 1)
    await scene.log.append([batch])
    assert await scene.values(scene.out) == batch.values
