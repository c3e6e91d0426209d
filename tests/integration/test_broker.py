"""The test cluster itself: it starts, survives a crash, continues where it was, and stops cleanly."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pelton.errors import ConfigurationError
from pelton.testing.broker import Cluster
from pelton.testing.broker.metadata import living_brokers
from tests.patience import PATIENCE_S

LARGE = b"x" * (5 * 1024 * 1024)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(3, tmp_path / "kafka", port=0, heap_mib=320, quick_start=True) as cluster:
        yield cluster


def wait_until(condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


async def write(bootstrap: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_request_size=2 * len(LARGE))
    async with producer:
        await producer.send_and_wait(topic, value)


async def read_first(bootstrap: str, topic: str) -> bytes | None:
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        return (await consumer.getone()).value


async def create(bootstrap: str, topic: str, replicas: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, replicas)])
    finally:
        await admin.close()


async def test_a_large_record_passes(kafka: str) -> None:
    topic = f"broker-large-{uuid4().hex[:8]}"
    await create(kafka, topic, 1)
    await write(kafka, topic, LARGE)
    assert await read_first(kafka, topic) == LARGE


async def test_a_record_survives_a_crash_of_the_only_broker(tmp_path: Path) -> None:
    with Cluster(1, tmp_path, port=0, quick_start=True) as cluster:
        await create(cluster.bootstrap, "kept", 1)
        await write(cluster.bootstrap, "kept", b"it")
        cluster.kill(1)
        assert cluster.running() == {}
        cluster.restart(1)
        assert await read_first(cluster.bootstrap, "kept") == b"it"
        with pytest.raises(ConfigurationError, match="runs already"):
            Cluster(1, tmp_path, port=0).start()


async def test_the_others_go_on_when_one_of_three_is_killed(three: Cluster) -> None:
    await create(three.bootstrap, "shared", 3)
    await write(three.bootstrap, "shared", b"before")
    three.kill(2)
    wait_until(lambda: living_brokers("127.0.0.1", three.nodes[0].port) == {1, 3})
    await write(three.bootstrap, "shared", b"after")
    three.restart(2)
    wait_until(lambda: living_brokers("127.0.0.1", three.nodes[1].port) == {1, 2, 3})
    assert await read_first(three.bootstrap, "shared") == b"before"


def test_another_process_can_stop_what_this_one_started(tmp_path: Path) -> None:
    started = Cluster(1, tmp_path, port=0, quick_start=True)
    started.start()
    Cluster(1, tmp_path, port=0).stop()
    wait_until(lambda: started.running() == {})
