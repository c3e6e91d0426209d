"""One suite over every home of the log: fetching as a member. Who gets what is in test_log_groups.py."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from pelton.batch import RecordBatch, TopicPartition
from pelton.errors import OffsetOutOfRangeError
from pelton.log.contract import Position
from tests.contract.log_scene import MIB, Member, Scene, all_of, batch_of, numbered, values_of
from tests.patience import PATIENCE_S


async def test_a_new_member_goes_on_from_the_committed_position(scene: Scene) -> None:
    topic = await scene.topic()
    await scene.append(topic, *numbered(10))
    first = await scene.member(topic)
    await first.records(10)
    await first.group.commit([], {TopicPartition(topic, 0): Position(4, "note")})
    await first.group.leave()
    second = await scene.member(topic, log=await scene.connect())
    assert values_of(await second.records(6)) == numbered(6, 4)


@pytest.mark.parametrize(("start", "expected"), [("earliest", [b"old", b"new"]), ("latest", [b"new"])])
async def test_where_a_new_group_begins(scene: Scene, start: str, expected: list[bytes]) -> None:
    topic = await scene.topic()
    await scene.append(topic, b"old")
    member = await scene.member(topic, start=start)
    await scene.append(topic, b"new")
    assert values_of(await member.records(len(expected))) == expected


async def test_a_position_that_the_log_does_not_hold(scene: Scene) -> None:
    topic = await scene.topic()
    await scene.append(topic, *numbered(3))
    member = await scene.member(topic)
    await member.records(3)
    member.group.seek(TopicPartition(topic, 0), 1000)
    with pytest.raises(OffsetOutOfRangeError) as caught:
        await member.until(lambda: False)
    assert (caught.value.topic, caught.value.partition, caught.value.offset) == (topic, 0, 1000)
    member.group.seek(TopicPartition(topic, 0), 1)
    assert values_of(await member.records(2)) == [b"1", b"2"]


async def test_seek_goes_back_and_forth(scene: Scene) -> None:
    topic = await scene.topic()
    await scene.append(topic, *numbered(100))
    source = TopicPartition(topic, 0)
    member = await scene.member(topic)
    await member.records(100)
    for offset in (0, 99, 50, 98):
        member.group.seek(source, offset)
        assert values_of(await member.records(100 - offset)) == numbered(100 - offset, offset)
    member.group.seek(TopicPartition("nobody's", 0), 5)


async def test_seek_while_a_fetch_is_under_way(scene: Scene) -> None:
    topic = await scene.topic()
    await scene.append(topic, *numbered(100))
    source = TopicPartition(topic, 0)
    member = await scene.member(topic)
    await member.records(100)
    for offset in (3, 60, 20):
        fetching = asyncio.create_task(member.group.fetch(bytes_max=MIB, timeout_s=PATIENCE_S))
        await asyncio.sleep(0)
        member.group.seek(source, offset)
        first = await asyncio.wait_for(fetching, PATIENCE_S)
        got = [one for batch in first for one in batch.offsets]
        if got[-1:] != [99]:
            got += [one for batch in await member.records(99 - (got or [offset - 1])[-1]) for one in batch.offsets]
        assert got == list(range(offset, 100))


async def test_pause_holds_back_one_partition_and_loses_nothing(scene: Scene) -> None:
    topic = await scene.topic(2)
    held, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
    member = await scene.member(topic)
    await scene.append(topic, *numbered(10))
    await member.records(10)
    member.group.pause([held])
    await scene.append(topic, *numbered(10, 10))
    await scene.append(topic, b"other", partition=1)
    assert values_of(await member.records(1)) == [b"other"]
    fetching = asyncio.create_task(member.group.fetch(bytes_max=MIB, timeout_s=PATIENCE_S))
    await asyncio.sleep(0)
    member.group.resume([held])
    batches = await asyncio.wait_for(fetching, PATIENCE_S / 2)
    assert values_of(batches)[:1] == [b"10"]
    member.got += batches
    await member.until(lambda: sum(len(batch) for batch in member.got if batch.source == held) == 20)
    assert [one for batch in member.got if batch.source == held for one in batch.offsets] == list(range(20))
    assert sum(len(batch) for batch in member.got if batch.source == other) == 1


async def test_pause_while_a_fetch_is_under_way(scene: Scene) -> None:
    topic = await scene.topic()
    source = TopicPartition(topic, 0)
    member = await scene.member(topic)
    got: list[int] = []
    for number in range(20):
        await scene.append(topic, *numbered(5))
        fetching = asyncio.create_task(member.group.fetch(bytes_max=MIB, timeout_s=0.05))
        for _ in range(number % 4):
            await asyncio.sleep(0)
        member.group.pause([source])
        got += [one for batch in await fetching for one in batch.offsets]
        member.group.resume([source])
    while len(got) < 100:
        got += [one for batch in await member.group.fetch(bytes_max=MIB, timeout_s=5) for one in batch.offsets]
    assert got == list(range(100))


async def test_lag_goes_to_zero(scene: Scene) -> None:
    topic = await scene.topic(2)
    one, two = TopicPartition(topic, 0), TopicPartition(topic, 1)
    for number in range(2):
        await scene.append(topic, *numbered(1000), partition=number)
    member = await scene.member(topic)
    await member.until(lambda: sum(map(len, member.got)) == 2000 and set(member.group.lag().values()) == {0})
    assert set(member.group.lag()) == {one, two}
    member.group.seek(one, 400)
    member.group.pause([one])
    assert member.group.lag() == {one: 600, two: 0}


async def test_bytes_max_bounds_a_fetch_and_every_partition_gets_its_turn(scene: Scene) -> None:
    topic = await scene.topic(4)
    value = b"x" * 1000
    for _ in range(40):
        await scene.log.append([batch_of(topic, [value] * 10, partition=number) for number in range(4)])
    member = await scene.member(topic)
    sizes, seen = [], Counter[int]()
    first_turns: list[set[int]] = []
    async with asyncio.timeout(PATIENCE_S):
        while sum(seen.values()) < 1600 - sum(map(len, member.got)):
            batches = await member.group.fetch(bytes_max=60_000, timeout_s=5)
            sizes.append(sum(len(one or b"") for one in values_of(batches)))
            for batch in batches:
                seen[batch.partition] += len(batch)
            first_turns.append({batch.partition for batch in batches})
    # One batch of the log a partition may come on top.
    assert max(sizes) <= 60_000 + 4 * 10_000
    # Within any few fetches every partition was served: none waits until another is read to its end.
    early = set[int]().union(*first_turns[: len(first_turns) // 2])
    assert early == {0, 1, 2, 3}
    assert all(count > 0 for count in seen.values())


async def test_a_cancelled_fetch_loses_nothing(scene: Scene) -> None:
    topic = await scene.topic(2)
    for number in range(2):
        for start in range(0, 200, 10):
            await scene.append(topic, *numbered(10, start), partition=number)
    member = await scene.join(topic)
    got: list[RecordBatch] = []
    for delay in range(400):
        fetching = asyncio.create_task(member.group.fetch(bytes_max=200, timeout_s=1))
        # Cut it off after ever more steps, then after ever more time: from the first assignment to the last record.
        for _ in range(delay % 12):
            await asyncio.sleep(0)
        if delay >= 100:
            await asyncio.sleep(delay / 100_000)
        if not fetching.cancel():
            got += fetching.result()
            continue
        try:
            got += await fetching
        except asyncio.CancelledError:
            continue
    async with asyncio.timeout(PATIENCE_S):
        while sum(map(len, got)) < 400:
            got += await member.group.fetch(bytes_max=MIB, timeout_s=1)
    for number in range(2):
        assert [one for batch in got if batch.partition == number for one in batch.offsets] == list(range(200))
    assert member.called("assigned")[-1][1] == member.group.assignment() == all_of(topic, 2)


async def test_a_cancellation_that_meets_news_is_not_swallowed(scene: Scene) -> None:
    topic = await scene.topic()
    source = TopicPartition(topic, 0)
    member = await scene.member(topic)
    member.group.pause([source])
    for rounds in range(10):
        fetching = asyncio.create_task(member.group.fetch(bytes_max=MIB, timeout_s=PATIENCE_S))
        for _ in range(rounds):
            await asyncio.sleep(0.001)
        member.group.seek(source, 0)
        fetching.cancel()
        done, _ = await asyncio.wait({fetching}, timeout=PATIENCE_S / 2)
        assert done


@pytest.mark.several_members
async def test_a_rebalance_cut_off_is_taken_up_again(scene: Scene) -> None:
    topic = await scene.topic(2)
    await scene.append(topic, *numbered(3))
    hold = asyncio.Event()
    begun = asyncio.Event()

    async def restore(_: object) -> None:
        begun.set()
        await hold.wait()

    member = await scene.join(topic, on={"assigned": restore})
    fetching = asyncio.create_task(member.until(lambda: False))
    await asyncio.wait_for(begun.wait(), PATIENCE_S)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert not member.called("assigned")
    hold.set()
    assert values_of(await member.records(3)) == numbered(3)
    assert member.called("assigned")


@pytest.mark.several_members
async def test_a_callback_that_fails_does_not_stop_the_group(scene: Scene) -> None:
    topic = await scene.topic(2)

    async def fail(_: object) -> None:
        raise ValueError("cannot let go")

    first = await scene.member(topic, on={"revoked": fail})
    second = await scene.join(topic, log=await scene.connect())

    async def fetch_first() -> None:
        failed = 0
        async with asyncio.timeout(PATIENCE_S):
            while len(second.numbers) != 1 or len(first.numbers) != 1:
                try:
                    await first.fetch()
                except ValueError:
                    failed += 1
        assert failed == 1

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fetch_first())
        tasks.create_task(second.until(lambda: len(second.numbers) == len(first.numbers) == 1))
    first._on.clear()


async def test_fetch_and_commit_overlap(scene: Scene) -> None:
    source, target = await scene.topic(2), await scene.topic()
    for number in range(2):
        await scene.append(source, *numbered(500), partition=number)
    member = await scene.member(source)

    async def commits() -> None:
        for number in range(20):
            await member.group.commit([batch_of(target, [b"%d" % number])], {})

    await asyncio.gather(member.records(1000), commits())
    assert await scene.values(target) == numbered(20)


async def test_a_member_counts_what_it_did(scene: Scene) -> None:
    topic = await scene.topic()
    await scene.append(topic, *numbered(7))
    member: Member = await scene.member(topic)
    await member.records(7)
    await member.commit()
    statistics: Any = member.group.statistics()
    assert (statistics.records_fetched, statistics.commits, statistics.rebalances) == (7, 1, 1)
