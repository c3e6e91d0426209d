"""The retention trap on a real Kafka: the group's committed offset lies before the first record that is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition as KafkaPartition

from pelton.errors import RecordsLostError
from tests.integration.worker_scene import WorkerScene, opened
from tests.patience import PATIENCE_S

NAMES = (b"before", b"lost", b"left", b"after")
BEFORE, LOST, LEFT, AFTER = ([b"%s-%d" % (name, n) for n in range(3)] for name in NAMES)


@pytest_asyncio.fixture
async def scene(kafka: str) -> AsyncIterator[WorkerScene]:
    """Give a scene whose worker was down while the log deleted three records, and three more came."""
    async with opened(f"kafka://{kafka}") as made:
        runtime = await made.start(echo(made))
        await made.append(*BEFORE)
        await made.until_committed()
        await made.stop(runtime)
        await made.append(*LOST)
        end = (await made.log.offsets([made.source]))[made.source].end
        await made.append(*LEFT)
        await delete_before(kafka, made.orders, end)
        assert (await made.log.offsets([made.source]))[made.source].start == end
        yield made


def echo(scene: WorkerScene) -> Any:
    async def obey(stream: Any) -> None:
        async for order in stream:
            scene.send(order)

    return obey


async def delete_before(kafka: str, topic: str, offset: int) -> None:
    """Delete the records before an offset, as retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.delete_records({KafkaPartition(topic, 0): RecordsToDelete(offset)})
    finally:
        await admin.close()


async def test_by_default_the_worker_stops_and_says_what_was_lost(scene: WorkerScene) -> None:
    runtime = await scene.start(echo(scene), wait=False)
    with pytest.raises(RecordsLostError) as caught:
        async with asyncio.timeout(PATIENCE_S):
            await runtime.run()
    assert caught.value.message.startswith("3 records of ")
    assert "PELTON_ON_LOST_RECORDS" in str(caught.value)
    await scene.stop(runtime)
    assert await scene.values(scene.out) == BEFORE
    # And again, until somebody decides.
    runtime = await scene.start(echo(scene), wait=False)
    with pytest.raises(RecordsLostError):
        async with asyncio.timeout(PATIENCE_S):
            await runtime.run()


@pytest.mark.parametrize(("policy", "expected"), [("earliest", BEFORE + LEFT + AFTER), ("latest", BEFORE + AFTER)])
async def test_a_worker_that_may_goes_on(scene: WorkerScene, policy: str, expected: list[bytes]) -> None:
    runtime = await scene.start(echo(scene), on_lost_records=policy)
    await scene.until(lambda: runtime.statistics().records_lost)
    await scene.append(*AFTER)
    await scene.until_committed()
    assert await scene.values(scene.out) == expected
    assert runtime.statistics().records_lost == 3
