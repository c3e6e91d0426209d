"""Requests to several leaders at once: a failure is told when none of them is on its way any more."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.errors import RecordTooLargeError
from pelton.log.kafka.cluster import Cluster, ConnectionSettings
from pelton.log.kafka.codes import Code
from pelton.log.kafka.producer import Producer


class Answer(NamedTuple):
    """What a broker answers to a ProduceRequest, as far as the producer looks."""

    topics: list[tuple[str, list[tuple[int, int, int]]]]


class TwoBrokers(Cluster):
    """Partition n is led by broker n: the first answers with these codes in turn, the second takes its time."""

    def __init__(self, *codes: Code) -> None:
        super().__init__(ConnectionSettings(("nobody:9092",), "test"), SystemClock())
        self.codes = list(codes)
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.on_its_way = 0

    def by_leader(self, partitions: Iterable[TopicPartition]) -> Mapping[int, Sequence[TopicPartition]]:
        return {partition.partition: [partition] for partition in partitions}

    async def send(self, node: int, request: Any, lane: Hashable) -> Any:
        self.on_its_way += 1
        try:
            if node == 0:
                code = self.codes.pop(0)
                return Answer([("topic", [(0, code, 5 if code == Code.NONE else -1)])])
            self.asked.set()
            await self.answers.wait()
            return Answer([("topic", [(1, Code.NONE, 7)])])
        finally:
            self.on_its_way -= 1


def batches() -> list[OutgoingBatch]:
    return [OutgoingBatch("topic", number, [b"k"], [b"v"], [0]) for number in range(2)]


async def test_a_passing_trouble_of_one_leader_is_tried_again() -> None:
    cluster = TwoBrokers(Code.NOT_ENOUGH_REPLICAS, Code.NONE)
    cluster.answers.set()
    assert await Producer(cluster).produce(batches()) == [5, 7]
    assert cluster.on_its_way == 0


async def test_a_refusal_is_told_once_the_other_leaders_have_answered() -> None:
    cluster = TwoBrokers(Code.MESSAGE_TOO_LARGE)
    writing = asyncio.create_task(Producer(cluster).produce(batches()))
    await cluster.asked.wait()
    for _ in range(20):  # turns of the loop, in which the refusal arrives
        await asyncio.sleep(0)
    assert not writing.done()
    cluster.answers.set()
    with pytest.raises(RecordTooLargeError):
        await writing
    assert cluster.on_its_way == 0


async def test_a_write_that_is_cancelled_leaves_nothing_on_its_way() -> None:
    cluster = TwoBrokers(Code.NONE)
    writing = asyncio.create_task(Producer(cluster).produce(batches()))
    await cluster.asked.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert cluster.on_its_way == 0
