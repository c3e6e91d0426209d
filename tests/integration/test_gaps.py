"""Offsets that no record has: commits go past them to the end, and a restart neither stalls nor reads anything again.

Kafka leaves such gaps behind aborted transactions, transaction markers, compaction and deleted records.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka.protocol.admin import DeleteRecordsRequest

import pelton
from pelton.batch import TopicPartition
from pelton.log.contract import Position
from pelton.log.kafka.producer import Producer
from pelton.log.kafka.transaction import Membership, Transactions
from tests.compat.harness import until, worker
from tests.integration.kafka_scene import Scene, batch_of, opened
from tests.patience import PATIENCE_S


class Program:
    """A program that notes the offsets it is given, sums up each key, and sends everything on."""

    def __init__(
        self, scene: Scene, topic: str, directory: Path, concurrency: int, *, compacting: bool | None = None
    ) -> None:
        self.scene = scene
        self.run = f"gaps-{uuid.uuid4().hex[:8]}"
        self.source = TopicPartition(topic, 0)
        self.seen: list[int] = []
        self._directory = directory
        self._concurrency = concurrency
        self._compacting = compacting

    @asynccontextmanager
    async def running(self) -> AsyncIterator[pelton.App]:
        """Run a worker on the state that the last one left."""
        app = pelton.App(
            self.run,
            broker=f"kafka://{self.scene.bootstrap}",
            datadir=str(self._directory),
            topic_partitions=1,
            web_enabled=False,
        )
        counts = app.Table("counts", default=int, key_type=str, partitions=1)
        source = app.topic(self.source.topic, key_type=str, value_serializer="raw", compacting=self._compacting)

        async def note(stream: Any) -> Any:
            async for event in stream.events():
                self.seen.append(event.message.offset)
                counts[event.key] += 1
                yield event.value or b""

        sink = app.topic(f"{self.run}-copies", value_serializer="raw", partitions=1)
        app.agent(source, sink=[sink], name="note", concurrency=self._concurrency)(note)
        self.scene.topics += [f"{self.run}-copies", f"{self.run}-counts-changelog", f"{self.run}-dlq"]
        async with worker(app):
            yield app

    async def position(self) -> int:
        """Return the committed position; 0 before the first commit."""
        found = await self.scene.log.group_positions(self.run, [self.source])
        return found.get(self.source, Position(0)).offset

    async def until_at_end(self, app: pelton.App) -> int:
        """Wait until the position is at the end of the log, gaps included, and no lag is left."""

        async def at_end() -> bool:
            end = await self.scene.end(self.source)
            statistics = app.statistics()
            return await self.position() == end and statistics is not None and statistics.lag.get(self.source) == 0

        await eventually(at_end)
        return await self.position()


class GapScene(Scene):
    """A log, and what makes gaps in it."""

    async def end(self, source: TopicPartition) -> int:
        """Return the offset behind the last one, whether a record has it or not, once all transactions are decided."""
        return (await self.log.offsets([source], decided=True))[source].end

    async def append(self, topic: str, count: int, *, key: bytes = b"k") -> None:
        await self.log.append([batch_of(topic, *[b"%d" % n for n in range(count)], key=key)])

    async def aborted(self, topic: str, count: int) -> None:
        """Append records of a transaction, and abort it."""
        producer = Producer(self.log._cluster, transactional_id=f"aborts-{topic}")
        await producer.initialise()
        await Transactions(self.log._cluster, [producer])._write([batch_of(topic, *[b"never"] * count)])
        await producer.initialise()  # fences itself, which aborts what is open

    async def committed(self, topic: str, count: int) -> None:
        """Append records in a transaction: a marker follows them."""
        transactions = Transactions(
            self.log._cluster, [Producer(self.log._cluster, transactional_id=f"commits-{topic}")]
        )
        rows = batch_of(topic, *[b"%d" % n for n in range(count)])
        await transactions.commit([rows], {}, Membership("nobody", -1, "", None))

    async def delete_before(self, source: TopicPartition, offset: int) -> None:
        """Move the start of the log, as `kafka-delete-records.sh` does."""
        cluster = self.log._cluster
        request = DeleteRecordsRequest([(source.topic, [(source.partition, offset)])], 10_000)
        await cluster.send(cluster.leader(source), request, "admin")
        await eventually(lambda: self._starts_at(source, offset))

    async def _starts_at(self, source: TopicPartition, offset: int) -> bool:
        return (await self.log.offsets([source]))[source].start == offset

    async def until_compacted(self, topic: str, gone: set[int]) -> None:
        """Wait until the cleaner has taken the records at these offsets."""

        async def done() -> bool:
            return not gone & {row[0] for row in await self.everything(topic)}

        await eventually(done)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - the condition lies in another process
            await asyncio.sleep(0.05)


@pytest_asyncio.fixture
async def scene(kafka: str) -> AsyncIterator[GapScene]:
    async with opened(kafka, GapScene) as made:
        yield made


async def check_restart(program: Program) -> None:
    """A worker that starts again is at the end at once, reads nothing again, and takes what comes next."""
    before = list(program.seen)
    async with program.running() as app:
        end = await program.until_at_end(app)
        assert program.seen == before
        await program.scene.log.append([batch_of(program.source.topic, b"next")])
        await until(lambda: len(program.seen) == len(before) + 1)
        assert program.seen[-1] == end
        await program.until_at_end(app)
    assert sorted(program.seen) == sorted(set(program.seen))


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_aborted_transactions_at_the_start_in_the_middle_and_at_the_end(
    scene: GapScene, tmp_path: Path, concurrency: int
) -> None:
    topic = await scene.topic()
    program = Program(scene, topic, tmp_path, concurrency)
    await scene.aborted(topic, 5)
    await scene.append(topic, 3)
    await scene.aborted(topic, 40)
    await scene.committed(topic, 3)
    await scene.aborted(topic, 7)
    async with program.running() as app:
        end = await program.until_at_end(app)
    rows = [row[0] for row in await scene.everything(topic)]
    assert program.seen == rows
    assert end > rows[-1] + 7
    await check_restart(program)


async def test_nothing_but_aborted_records_and_markers(scene: GapScene, tmp_path: Path) -> None:
    topic = await scene.topic()
    program = Program(scene, topic, tmp_path, 1)
    for _ in range(3):
        await scene.aborted(topic, 20)
    async with program.running() as app:
        assert await program.until_at_end(app) == 63
        await scene.aborted(topic, 20)  # while it runs, and is idle
        assert await program.until_at_end(app) == 84
    assert program.seen == []
    await check_restart(program)


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_holes_that_compaction_left(scene: GapScene, tmp_path: Path, concurrency: int) -> None:
    quick = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.001", "delete.retention.ms": "0"}
    topic = await scene.topic(cleanup_policy="compact", config=quick | {"min.compaction.lag.ms": "0"})
    await scene.append(topic, 10, key=b"old")  # 0 to 9: only the last one stays
    await scene.append(topic, 1, key=b"first")
    await scene.append(topic, 10, key=b"second")  # 11 to 20
    await scene.log.append([batch_of(topic, None, key=b"first")])  # 21: a tombstone
    program = Program(scene, topic, tmp_path, concurrency, compacting=True)
    async with program.running() as app:
        assert await program.until_at_end(app) == 22
    before, program.seen = len(program.seen), []
    assert before == 22

    # Kafka closes a segment when a record comes that is later by its own timestamp, and cleans closed ones only.
    for hour in (1, 2):
        third = batch_of(topic, *[b"x"] * 3, key=b"third")
        third.timestamps_ms = [hour * 3_600_000] * 3
        await scene.log.append([third])
    await scene.until_compacted(topic, {*range(9), 10, *range(11, 20), 22, 23})
    fresh = Program(scene, topic, tmp_path / "fresh", concurrency, compacting=True)  # begins in the hole at the start
    async with fresh.running() as app:
        end = await fresh.until_at_end(app)
    assert fresh.seen == [row[0] for row in await scene.everything(topic)]
    async with program.running() as app:  # goes on from a position in front of a hole
        assert await program.until_at_end(app) == end
    assert program.seen == [offset for offset in fresh.seen if offset >= 22]
    await check_restart(program)


async def test_a_log_that_begins_later(scene: GapScene, tmp_path: Path) -> None:
    topic = await scene.topic()
    source = TopicPartition(topic, 0)
    await scene.append(topic, 10)
    await scene.delete_before(source, 4)
    program = Program(scene, topic, tmp_path, 1)
    async with program.running() as app:
        assert await program.until_at_end(app) == 10
    assert program.seen == list(range(4, 10))
    await scene.delete_before(source, 10)  # everything is gone, and was processed
    await check_restart(program)
    late = Program(scene, topic, tmp_path / "late", 1)
    await scene.delete_before(source, 11)
    async with late.running() as app:  # a log that holds nothing, and does not begin at 0
        await scene.append(topic, 2)
        assert await late.until_at_end(app) == 13
    assert late.seen == [11, 12]


async def test_a_changelog_with_gaps_is_restored(scene: GapScene, tmp_path: Path) -> None:
    """Every commit of ours leaves a marker in the changelog; here are aborted records and deleted ones too."""
    topic = await scene.topic()
    program = Program(scene, topic, tmp_path, 1)
    async with program.running() as app:
        for _ in range(3):
            await scene.append(topic, 5)
            await program.until_at_end(app)
    changelog = f"{program.run}-counts-changelog"
    await scene.aborted(changelog, 10)
    program._directory = tmp_path / "another machine"
    async with program.running() as app:
        await scene.append(topic, 1)
        await program.until_at_end(app)
    assert [row[2] for row in await scene.everything(changelog)][-1] == b"16"
    await scene.aborted(changelog, 10)
    await check_restart(program)
