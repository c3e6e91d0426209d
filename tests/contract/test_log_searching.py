"""Looking at records on both logs: searching from either end, in steps, over gaps; and watching what comes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.errors import OffsetOutOfRangeError
from pelton.web.records import Record, RecordFilter, record_at, record_in
from pelton.web.searching import Found, Search, Work, places_of
from pelton.web.tailing import Look, tail
from tests.contract.log_scene import Scene
from tests.patience import PATIENCE_S

CLOCK = SystemClock()
KIB = 1024


class Searched:
    """A topic of a scene, and searches of it to their end."""

    def __init__(self, scene: Scene, topic: str, partitions: int) -> None:
        self.scene = scene
        self.topic = topic
        self.partitions = partitions
        #: What each request said of how far it is.
        self.progress: list[float] = []

    async def all(
        self,
        wanted: RecordFilter,
        *,
        newest_first: bool = True,
        results: int = 10,
        bytes_max: int = 1 << 30,
    ) -> list[Record]:
        """Return everything that is meant, asked for page by page."""

        def pick(batch: RecordBatch) -> Sequence[tuple[int, Record]]:
            return [(row, record_in(batch, row, bytes_max=100)) for row in wanted.rows(batch)]

        log, found = self.scene.log, list[Record]()
        places = await places_of(
            log,
            self.topic,
            range(self.partitions),
            newest_first=newest_first,
            since_ms=wanted.since_ms,
            until_ms=wanted.until_ms,
        )
        self.progress, progress = [], 0.0
        while places:
            search = Search(log, self.topic, places, pick, CLOCK, newest_first=newest_first)
            page: Found[Record] = await search.run(Work(results, bytes_max, seconds=PATIENCE_S))
            assert page.hits or page.records or page.next != places, "a request that gets nowhere"
            assert page.progress >= progress
            found += page.hits
            places, progress = dict(page.next or {}), page.progress
            self.progress.append(progress)
        assert progress == 1.0
        return found


async def made(scene: Scene, partitions: int, *batches: OutgoingBatch) -> Searched:
    topic = await scene.topic(partitions)
    for batch in batches:
        batch.topic = topic
        await scene.log.append([batch])
    return Searched(scene, topic, partitions)


def counted(partition: int, count: int, *, start_ms: int = 0, step: int = 2, size: int = 0) -> OutgoingBatch:
    """Return records whose timestamps count on; values tell them, and are filled up."""
    numbers = range(count)
    return OutgoingBatch(
        "",
        partition,
        [b"key-%d" % (number % 10) for number in numbers],
        [b'{"n": %d, "of": "P%d"}' % (number, partition) + b" " * size for number in numbers],
        [start_ms + step * number for number in numbers],
        [(("parity", b"odd" if number % 2 else b"even"),) for number in numbers],
    )


@pytest.mark.parametrize("newest_first", [True, False])
async def test_all_records_come_by_time_a_page_at_a_time(scene: Scene, newest_first: bool) -> None:
    searched = await made(scene, 3, counted(0, 1_500), counted(1, 30, start_ms=1_001))
    found = await searched.all(RecordFilter(), newest_first=newest_first, results=400)
    times = [record.timestamp_ms for record in found]
    assert times == sorted(times, reverse=newest_first)
    assert len({(record.partition, record.offset) for record in found}) == len(found) == 1_530
    assert searched.progress == pytest.approx([part / 1_530 for part in (400, 800, 1_200, 1_530)])


async def test_it_finds_by_key_text_header_and_time(scene: Scene) -> None:
    searched = await made(scene, 2, counted(0, 2_000), counted(1, 2_000, start_ms=1))

    async def offsets(wanted: RecordFilter) -> set[tuple[int, int]]:
        return {(record.partition, record.offset) for record in await searched.all(wanted, results=1_000)}

    assert await offsets(RecordFilter(keys=frozenset({b"key-7"}))) == {
        (partition, n) for partition in range(2) for n in range(7, 2_000, 10)
    }
    assert await offsets(RecordFilter(text='"N": 1234,')) == {(0, 1_234), (1, 1_234)}
    assert await offsets(RecordFilter(text='"n": 1234, "of": "p1"')) == {(1, 1_234)}
    odd = await offsets(RecordFilter(header="parity", header_value="odd", text='"n": 12'))
    assert odd == {(partition, n) for partition in range(2) for n in (*range(121, 130, 2), *range(1_201, 1_300, 2))}
    assert await offsets(RecordFilter(header="nothing")) == set()
    assert await offsets(RecordFilter(since_ms=100, until_ms=104)) == {(0, 50), (0, 51), (1, 50), (1, 51)}


async def test_work_is_bounded_and_goes_on(scene: Scene) -> None:
    batches = [counted(0, 100, start_ms=1_000 * number, size=4 * KIB) for number in range(20)]
    searched = await made(scene, 1, *batches)
    wanted = RecordFilter(text='"n": 99,')
    found = await searched.all(wanted, bytes_max=1 << 20)
    assert [record.offset for record in found] == list(range(1_999, 0, -100))
    assert all(record.cut and record.value_bytes == len(b'{"n": 99, "of": "P0"}') + 4 * KIB for record in found)
    assert len(searched.progress) > 3
    assert await searched.all(wanted, newest_first=False, bytes_max=1 << 20) == found[::-1]


async def test_large_records_are_searched_one_by_one(scene: Scene) -> None:
    searched = await made(scene, 1, *[counted(0, 1, start_ms=number, size=700 * KIB) for number in range(12)])
    found = await searched.all(RecordFilter(), results=5, bytes_max=1 << 20)
    assert [record.offset for record in found] == list(range(11, -1, -1))


async def test_what_was_trimmed_is_passed_over(scene: Scene) -> None:
    searched = await made(scene, 1, counted(0, 10), counted(0, 10, start_ms=100))
    source = TopicPartition(searched.topic, 0)
    await scene.log.trim({source: 10})
    assert [record.offset for record in await searched.all(RecordFilter())] == list(range(19, 9, -1))
    with pytest.raises(OffsetOutOfRangeError, match="it holds 10 to 19"):
        await record_at(scene.log, source, 3)
    found = await record_at(scene.log, source, 12)
    assert found is not None
    assert (found.offset, found.key, found.value) == (12, b"key-2", b'{"n": 2, "of": "P0"}')


async def test_markers_of_transactions_are_no_records(scene: Scene) -> None:
    """On Kafka every commit leaves a gap of one offset; on the others there is none."""
    searched = await made(scene, 1)
    source = TopicPartition(searched.topic, 0)
    member = await scene.member(searched.topic)
    for number in range(3):
        batch = counted(0, 2, start_ms=10 * number)
        batch.topic = searched.topic
        await member.group.commit([batch], {})
    end = (await scene.log.offsets([source]))[source].end
    for newest_first in (True, False):
        found = await searched.all(RecordFilter(), newest_first=newest_first, results=1)
        assert len(found) == 6
    there = [await record_at(scene.log, source, offset) for offset in range(end)]
    assert [record.offset for record in there if record is not None] == [record.offset for record in found]


async def test_a_tail_tells_what_it_left_out(scene: Scene) -> None:
    searched = await made(scene, 1, counted(0, 5))
    watched = tail(scene.log, searched.topic, [0], RecordFilter(header="parity"), CLOCK)

    async def next_look() -> Look:
        while True:
            look = await anext(watched)
            if look.records or look.passed or look.dropped:
                return look

    async def append(count: int, size: int) -> None:
        batch = counted(0, count, size=size)
        batch.topic = searched.topic
        await scene.log.append([batch])

    async with asyncio.timeout(PATIENCE_S):
        first = await anext(watched)
        assert (first.records, first.positions) == ([], {0: 5})
        await append(3, 0)
        look = await next_look()
        assert ([record.offset for record in look.records], look.dropped, look.passed) == ([5, 6, 7], 0, 0)
        await append(150, 0)
        look = await next_look()
        assert (len(look.records), look.dropped, look.passed) == (100, 50, 0)
        for _ in range(3):
            await append(10, 60 * KIB)
        looks = [look]
        while looks[-1].positions != {0: 188}:
            looks.append(await next_look())
        assert sum(len(look.records) + look.passed for look in looks[1:]) == 30
    await watched.aclose()
