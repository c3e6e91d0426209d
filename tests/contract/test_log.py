"""One suite over every home of the log: topics, records, transactions. Groups and fetching have their own files."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random

import pytest

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.errors import (
    ConfigurationError,
    FencedError,
    OffsetOutOfRangeError,
    TopicMismatch,
    UnavailableError,
)
from pelton.log.contract import OffsetRange, Position, TopicSpec
from pelton.log.reading import read_kept
from tests.contract.log_scene import MIB, Scene, batch_of, make_log, numbered, values_of, wait_for
from tests.patience import PATIENCE_S

#: Kafka takes any bytes for a name.
FOREIGN_NAME = b"\xff\xfe\x00".decode("utf-8", "surrogateescape")
#: Larger than the 1000 bytes that some topics here take, also when compressed.
LARGE = Random(7).randbytes(2000)


# Topics


async def test_a_declared_topic_exists_with_its_partitions(scene: Scene) -> None:
    topic = await scene.topic(3)
    assert await scene.log.partitions([topic, "nowhere"]) == {topic: 3}
    assert topic in await scene.log.topics()


async def test_declaring_again_is_fine_and_without_partitions_takes_any_number(scene: Scene) -> None:
    topic = await scene.topic(3)
    assert await scene.log.declare([TopicSpec(topic, 3), TopicSpec(topic)]) == {topic: 3}


@pytest.mark.parametrize("other", [{"partitions": 4}, {"cleanup_policy": "compact"}])
@pytest.mark.parametrize("given", [3, None])
async def test_a_topic_that_is_not_as_declared(scene: Scene, other: dict[str, object], given: int | None) -> None:
    topic = await scene.topic(3)
    with pytest.raises(TopicMismatch) as caught:
        await scene.log.declare([TopicSpec(topic, **{"partitions": given, **other})])
    assert topic in str(caught.value)
    assert caught.value.topic == topic


@pytest.mark.parametrize("spec", [TopicSpec("no-partitions", 0), TopicSpec("no spaces", 1), TopicSpec("", 1)])
async def test_a_topic_that_cannot_be(scene: Scene, spec: TopicSpec) -> None:
    with pytest.raises(ConfigurationError):
        await scene.log.declare([spec])


async def test_declared_by_several_at_once(scene: Scene) -> None:
    topic = await scene.topic(1)
    names = [f"{topic}-{number}" for number in range(3)]
    logs = [await scene.connect() for _ in range(3)]
    found = await asyncio.gather(*(log.declare([TopicSpec(name, 2) for name in names]) for log in logs))
    assert all(one == dict.fromkeys(names, 2) for one in found)
    await scene.log.delete_topics(names)


async def test_a_deleted_topic_is_gone_with_its_records(scene: Scene) -> None:
    topic = await scene.topic(1)
    await scene.append(topic, b"old")
    await scene.log.delete_topics([topic, "nowhere"])
    assert topic not in await scene.log.topics()
    await scene.log.declare([TopicSpec(topic, 1)])
    assert await scene.values(topic) == []


async def test_what_was_read_can_be_deleted(scene: Scene) -> None:
    topic = await scene.topic(2)
    one, two = TopicPartition(topic, 0), TopicPartition(topic, 1)
    for start in range(0, 30, 10):
        await scene.append(topic, *numbered(10, start))
    await scene.append(topic, b"other", partition=1)
    await scene.log.trim({one: 20})
    ranges = await scene.log.offsets([one, two])
    assert ranges == {one: OffsetRange(20, 30), two: OffsetRange(0, 1)}
    batch = await scene.log.read(one, 20, bytes_max=MIB, timeout_s=60.0)
    assert (list(batch.offsets), list(batch.values)) == (list(range(20, 30)), numbered(10, 20))
    with pytest.raises(OffsetOutOfRangeError):
        await scene.log.read(one, 19, bytes_max=MIB, timeout_s=60.0)
    kept = await read_kept(scene.log, one, 19, bytes_max=MIB, timeout_s=60.0)
    assert list(kept.offsets) == list(range(20, 30))
    await scene.log.trim({one: 20, two: 0})
    assert await scene.log.offsets([one, two]) == ranges


async def test_what_is_deleted_ends_at_the_offset_at_the_latest(scene: Scene) -> None:
    topic = await scene.topic()
    source = TopicPartition(topic, 0)
    await scene.append(topic, *numbered(10))
    await scene.log.trim({source: 5})
    start, end = (await scene.log.offsets([source]))[source]
    assert start <= 5
    assert end == 10
    assert [row[0] for row in await scene.rows(topic)][-5:] == [5, 6, 7, 8, 9]
    await scene.log.trim({source: 10})
    assert (await scene.log.offsets([source]))[source] == OffsetRange(10, 10)
    assert await scene.append(topic, b"next") == [10]


# Records


async def test_a_topic_that_goes_by_the_logs_time_takes_no_other(scene: Scene) -> None:
    topic = await scene.topic(1, config={"message.timestamp.type": "LogAppendTime"})
    other = await scene.topic(1)
    await scene.append(topic, b"a", b"b")
    await scene.append(other, b"a", b"b")
    taken, given = [
        await scene.log.read(TopicPartition(name, 0), 0, bytes_max=MIB, timeout_s=1) for name in (topic, other)
    ]
    assert list(given.timestamps_ms) == [1000, 1001]
    assert len(taken.timestamps_ms) == 2
    assert min(taken.timestamps_ms) > 1_700_000_000_000


async def test_records_come_back_in_order_with_contiguous_offsets(scene: Scene) -> None:
    topic = await scene.topic()
    assert await scene.append(topic, *numbered(100)) == [0]
    assert await scene.append(topic, *numbered(50, 100)) == [100]
    assert await scene.rows(topic) == [(offset, b"k", b"%d" % offset) for offset in range(150)]
    assert await scene.log.offsets([TopicPartition(topic, 0)]) == {TopicPartition(topic, 0): OffsetRange(0, 150)}


async def test_each_batch_of_an_append_says_where_it_begins(scene: Scene) -> None:
    topic = await scene.topic(2)
    await scene.append(topic, b"before", partition=1)
    batches = [batch_of(topic, numbered(3)), batch_of(topic, numbered(2), partition=1), batch_of(topic, numbered(1))]
    assert await scene.log.append(batches) == [0, 1, 3]
    assert await scene.values(topic) == [b"0", b"1", b"2", b"0"]


async def test_everything_a_record_can_be(scene: Scene) -> None:
    topic = await scene.topic()
    batch = OutgoingBatch(topic, 0)
    records = [
        (b"key", b"value", 1_700_000_000_123, (("trace", b"\x00\xff"), ("trace", b""), ("größe", b"1"))),
        (None, b"no key", 5, ()),
        (b"deleted", None, 4, (("why", b"gone"), ("null", None))),
        (b"foreign", b"names", 3, ((FOREIGN_NAME, b"1"), ("größe", None))),
        (b"", b"", 0, ()),
        (None, None, 1_000_000_000_000, ()),
    ]
    for record in records:
        batch.append(*record)
    await scene.log.append([batch])
    read = await scene.log.read(TopicPartition(topic, 0), 0, bytes_max=MIB, timeout_s=5)
    assert read.headers is not None
    assert list(zip(read.keys, read.values, read.timestamps_ms, read.headers, strict=True)) == records


async def test_a_reader_in_a_group_sees_headers_as_they_were_sent(scene: Scene) -> None:
    topic = await scene.topic()
    headers = ((FOREIGN_NAME, None), ("plain", b"1"))
    batch = OutgoingBatch(topic, 0)
    batch.append(b"k", b"v", 1000, headers)
    batch.append(b"k", b"w", 1000)
    member = await scene.member(topic)
    await member.group.commit([batch], {})
    (got,) = await member.records(2)
    assert list(got.headers or ()) == [headers, ()]


async def test_records_without_headers_have_none(scene: Scene) -> None:
    topic = await scene.topic()
    await scene.append(topic, b"plain")
    assert (await scene.log.read(TopicPartition(topic, 0), 0, bytes_max=MIB, timeout_s=5)).headers is None


async def test_a_record_of_5_mib(scene: Scene) -> None:
    topic = await scene.topic(config={"max.message.bytes": str(8 * MIB)})
    large = bytes(range(256)) * (5 * MIB // 256)
    await scene.append(topic, b"before", large, b"after")
    source = TopicPartition(topic, 0)
    assert large in (await scene.log.read(source, 1, bytes_max=1, timeout_s=5)).values
    assert await scene.values(topic) == [b"before", large, b"after"]
    member = await scene.member(topic)
    assert values_of(await member.records(3)) == [b"before", large, b"after"]


async def test_a_record_that_is_too_large(scene: Scene) -> None:
    topic = await scene.topic(config={"max.message.bytes": "1000"})
    with pytest.raises(ConfigurationError):
        await scene.append(topic, b"fits", LARGE)
    await scene.append(topic, b"fits")
    assert LARGE not in await scene.values(topic)


async def test_a_compacted_topic_takes_no_record_without_a_key(scene: Scene) -> None:
    topic = await scene.topic(cleanup_policy="compact")
    with pytest.raises(ConfigurationError, match="key"):
        await scene.append(topic, b"nobody's", key=None)


async def test_a_read_waits_for_the_first_record(scene: Scene) -> None:
    topic = await scene.topic()
    reader = await scene.connect()
    reading = asyncio.create_task(reader.read(TopicPartition(topic, 0), 0, bytes_max=MIB, timeout_s=PATIENCE_S))
    await asyncio.sleep(0)
    await scene.append(topic, b"at last")
    batch = await reading
    assert list(batch.values) == [b"at last"]
    assert batch.next_offset == 1


async def test_a_read_that_nothing_comes_for(scene: Scene) -> None:
    topic = await scene.topic()
    await scene.append(topic, b"a")
    batch = await scene.log.read(TopicPartition(topic, 0), 1, bytes_max=MIB, timeout_s=0.05)
    assert (len(batch), batch.next_offset, batch.source) == (0, 1, TopicPartition(topic, 0))


async def test_reads_by_any_step_give_the_same_records(scene: Scene) -> None:
    topic = await scene.topic()
    for start in range(0, 300, 30):
        await scene.append(topic, *numbered(30, start))
    source = TopicPartition(topic, 0)
    for bytes_max in (1, 40, 10_000):
        offset, got = 0, list[int]()
        while offset < 300:
            batch = await scene.log.read(source, offset, bytes_max=bytes_max, timeout_s=5)
            assert all(before < after for before, after in pairwise(batch.offsets))
            assert [b"%d" % one for one in batch.offsets] == list(batch.values)
            got += batch.offsets
            offset = batch.next_offset
        assert got == list(range(300))


async def test_a_read_may_begin_anywhere(scene: Scene) -> None:
    topic = await scene.topic()
    await scene.append(topic, *numbered(10))
    for offset in (0, 3, 9):
        batch = await scene.log.read(TopicPartition(topic, 0), offset, bytes_max=MIB, timeout_s=5)
        assert list(batch.offsets) == list(range(offset, 10))
        assert list(batch.values) == numbered(10 - offset, offset)


@pytest.mark.parametrize("offset", [4, 1000])
async def test_a_read_past_the_end(scene: Scene, offset: int) -> None:
    topic = await scene.topic()
    await scene.append(topic, *numbered(3))
    with pytest.raises(OffsetOutOfRangeError) as caught:
        await scene.log.read(TopicPartition(topic, 0), offset, bytes_max=MIB, timeout_s=5)
    assert (caught.value.topic, caught.value.partition, caught.value.offset) == (topic, 0, offset)
    with pytest.raises(OffsetOutOfRangeError):
        await read_kept(scene.log, TopicPartition(topic, 0), offset, bytes_max=MIB, timeout_s=5)


async def test_the_offset_at_a_time(scene: Scene) -> None:
    topic = await scene.topic()
    times = [[1000, 1500, 1200], [1100, 3000], [2000, 2500], [4000]]
    for column in times:
        await scene.log.append([OutgoingBatch(topic, 0, [b"k"] * len(column), [b"v"] * len(column), column)])
    everything = [time for column in times for time in column]
    for asked in (0, 1000, 1001, 1200, 1501, 3000, 3001, 4000, 4001):
        expected = next((offset for offset, time in enumerate(everything) if time >= asked), None)
        assert await scene.log.offset_at(TopicPartition(topic, 0), asked) == expected, asked


async def test_what_one_connection_appends_another_reads(scene: Scene) -> None:
    topic = await scene.topic()
    other = await scene.connect()
    await other.append([batch_of(topic, numbered(5))])
    assert await scene.values(topic) == numbered(5)


async def test_many_appends_at_once_each_get_their_own_offsets(scene: Scene) -> None:
    topic = await scene.topic()
    logs = [scene.log, await scene.connect()]
    bases = await asyncio.gather(*(logs[n % 2].append([batch_of(topic, [b"%d" % n] * 3)]) for n in range(40)))
    values = await scene.values(topic)
    assert len(values) == 120
    for number, (base,) in enumerate(bases):
        assert values[base : base + 3] == [b"%d" % number] * 3


@pytest.mark.several_members
async def test_processes_append_at_once(scene: Scene) -> None:
    topic = await scene.topic()
    names = ["a", "b", "c"]
    processes = [await scene.process("append", topic=topic, name=name, batches=30, size=7) for name in names]
    assert [await process.wait() for process in processes] == [0, 0, 0]
    rows = await scene.rows(topic)
    assert [offset for offset, _, _ in rows] == list(range(30 * 7 * 3))
    for name in names:
        own = [value for _, _, value in rows if value is not None and value.startswith(name.encode())]
        assert own == [f"{name} {number} {index}".encode() for number in range(30) for index in range(7)]
    assert all(
        (before.split()[:2] == after.split()[:2]) == (offset % 7 != 0)
        for (_, _, before), (offset, _, after) in pairwise(rows)
        if before is not None and after is not None
    )


# Transactions


async def test_a_commit_makes_records_and_positions_visible_together(scene: Scene) -> None:
    source, target = await scene.topic(), await scene.topic(2)
    await scene.append(source, *numbered(5))
    member = await scene.member(source)
    await member.records(5)
    writes = [batch_of(target, [b"a", b"b"]), batch_of(target, [b"c"], partition=1)]
    bases = await member.group.commit(writes, {TopicPartition(source, 0): Position(5, "so far")})
    assert list(bases) == [0, 0]
    assert [await scene.values(target, number) for number in (0, 1)] == [[b"a", b"b"], [b"c"]]
    expected = {TopicPartition(source, 0): Position(5, "so far")}
    assert await member.group.committed([TopicPartition(source, 0)]) == expected
    assert await scene.log.group_positions(f"group-{source}", [TopicPartition(source, 0)]) == expected


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
async def test_commit_after_commit(scene: Scene, guarantee: str) -> None:
    source, target = await scene.topic(), await scene.topic()
    member = await scene.member(source, guarantee=guarantee)
    for number in range(5):
        bases = await member.commit([batch_of(target, [b"%d" % number] * 2)])
        rows = await scene.rows(target)
        assert [value for offset, _, value in rows if offset >= bases[0]] == [b"%d" % number] * 2
    assert await scene.values(target) == [b"%d" % (number // 2) for number in range(10)]


async def test_positions_alone_and_records_alone(scene: Scene) -> None:
    source, target = await scene.topic(2), await scene.topic()
    member = await scene.member(source)
    one = TopicPartition(source, 0)
    assert list(await member.group.commit([], {one: Position(0, "x" * 2000)})) == []
    await member.group.commit([batch_of(target, [b"alone"])], {})
    assert await scene.values(target) == [b"alone"]
    assert await member.group.committed([one, TopicPartition(source, 1)]) == {one: Position(0, "x" * 2000)}
    assert await scene.log.group_positions("a group of nobody", [one]) == {}


async def test_a_refused_record_takes_the_whole_commit_with_it(scene: Scene) -> None:
    source, target = await scene.topic(), await scene.topic()
    small = await scene.topic(config={"max.message.bytes": "1000"})
    await scene.append(source, b"in")
    member = await scene.member(source)
    await member.records(1)
    with pytest.raises(ConfigurationError):
        await member.commit([batch_of(target, [b"half"]), batch_of(small, [LARGE])])
    assert await scene.values(target) == []
    assert await member.group.committed([TopicPartition(source, 0)]) == {}
    await member.commit([batch_of(target, [b"whole"])])
    assert await scene.values(target) == [b"whole"]


async def test_nobody_sees_a_part_of_a_transaction(scene: Scene) -> None:
    source, target = await scene.topic(), await scene.topic(3)
    member = await scene.member(source)
    reader = await scene.connect()
    partitions = [TopicPartition(target, number) for number in range(3)]

    async def write() -> None:
        for number in range(20):
            await member.group.commit([batch_of(target, [b"%d" % number] * 50, partition=n) for n in range(3)], {})

    writing = asyncio.create_task(write())
    offset = 0
    while offset == 0 or not writing.done():
        batch = await reader.read(partitions[0], offset, bytes_max=1, timeout_s=0.5)
        offset = batch.next_offset
        if len(batch):
            others = [await reader.offsets([one]) for one in partitions[1:]]
            # What was seen of one partition is there of all: whole transactions of fifty.
            assert all(span.end >= batch.offsets[-1] + 1 for one in others for span in one.values())
    await writing
    assert [len(await scene.values(target, number)) for number in range(3)] == [1000] * 3


async def test_a_stale_member_commits_nothing(scene: Scene) -> None:
    source, target = await scene.topic(), await scene.topic()
    await scene.append(source, b"in")
    stale = await scene.member(source, instance_id="one")
    await stale.records(1)
    successor = await scene.member(source, log=await scene.connect(), instance_id="one")
    await successor.until(lambda: successor.numbers == {0})
    with pytest.raises((FencedError, UnavailableError)):
        await stale.commit([batch_of(target, [b"zombie"])])
    assert await scene.values(target) == []
    assert await scene.log.group_positions(f"group-{source}", [TopicPartition(source, 0)]) == {}
    await successor.records(1)
    await successor.commit([batch_of(target, [b"mine"])])
    assert await scene.values(target) == [b"mine"]


@pytest.mark.several_members
async def test_positions_of_a_partition_of_somebody_else(scene: Scene) -> None:
    source, target = await scene.topic(2), await scene.topic()
    first = await scene.join(source)
    second = await scene.join(source, log=await scene.connect())
    async with asyncio.TaskGroup() as tasks:
        for member in (first, second):
            tasks.create_task(member.until(lambda: len(first.numbers) == len(second.numbers) == 1))
    foreign = TopicPartition(source, next(iter(second.numbers)))
    with pytest.raises(FencedError):
        await first.group.commit([batch_of(target, [b"stolen"])], {foreign: Position(1)})
    assert await scene.values(target) == []


async def test_a_member_that_left_commits_nothing(scene: Scene) -> None:
    source, target = await scene.topic(), await scene.topic()
    member = await scene.member(source)
    await member.group.leave()
    with pytest.raises((FencedError, UnavailableError)):
        await member.group.commit([batch_of(target, [b"late"])], {TopicPartition(source, 0): Position(0)})
    assert await scene.values(target) == []


# Life


async def test_a_log_can_be_made_before_there_is_a_loop(address: str) -> None:
    log = await asyncio.to_thread(make_log, address)
    await log.open()
    await log.close()
    await log.open()
    assert await log.partitions(["nowhere"]) == {}
    await log.close()
    await log.close()


async def test_a_closed_log_says_so(scene: Scene) -> None:
    topic = await scene.topic()
    log = await scene.connect()
    await log.close()
    with pytest.raises(UnavailableError):
        await log.append([batch_of(topic, [b"late"])])
    with pytest.raises(UnavailableError):
        await log.read(TopicPartition(topic, 0), 0, bytes_max=MIB, timeout_s=1)


async def test_closing_while_work_is_under_way(scene: Scene) -> None:
    topic = await scene.topic()
    log = await scene.connect()
    await log.append([batch_of(topic, [b"first"])])
    await log.read(TopicPartition(topic, 0), 0, bytes_max=MIB, timeout_s=5)
    work = [asyncio.create_task(log.append([batch_of(topic, numbered(100))])) for _ in range(5)]
    work.append(asyncio.create_task(log.read(TopicPartition(topic, 0), 1, bytes_max=MIB, timeout_s=PATIENCE_S)))
    await asyncio.sleep(0)
    await log.close()
    results = await asyncio.wait_for(asyncio.gather(*work, return_exceptions=True), PATIENCE_S)
    assert all(not isinstance(one, BaseException) or isinstance(one, UnavailableError) for one in results), results
    appended = sum(not isinstance(one, BaseException) for one in results[:-1])
    await wait_for(lambda: _at_least(scene, topic, appended * 100))


async def _at_least(scene: Scene, topic: str, count: int) -> bool:
    return len(await scene.values(topic)) >= count


async def test_a_log_counts_what_it_did(scene: Scene) -> None:
    topic = await scene.topic()
    before = scene.log.statistics()
    await scene.append(topic, *numbered(7))
    assert scene.log.statistics().records_appended == before.records_appended + 7  # type: ignore[attr-defined]
