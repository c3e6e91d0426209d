"""One suite over every home of the log: groups, rebalances, fetching. Records are in test_log.py."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from pelton.batch import RecordBatch, TopicPartition
from pelton.errors import FencedError, OffsetOutOfRangeError, UnavailableError
from pelton.log.contract import Position
from tests.contract.log_scene import MIB, PATIENCE_S, Member, Scene, batch_of, together, values_of, wait_for

pytestmark = pytest.mark.timeout(180)


def numbered(count: int, start: int = 0) -> list[bytes | None]:
    return [b"%d" % number for number in range(start, start + count)]


def all_of(topic: str, count: int) -> frozenset[TopicPartition]:
    return frozenset(TopicPartition(topic, number) for number in range(count))


# Joining, leaving, expiry


async def test_the_only_member_gets_everything_from_its_first_fetches(scene: Scene) -> None:
    topic, other = await scene.topic(3), await scene.topic(2)
    member = await scene.join(topic, other, address="here:6066")
    assert member.group.assignment() == frozenset()
    await member.until(lambda: member.called("assigned"))
    assert member.group.assignment() == all_of(topic, 3) | all_of(other, 2)
    assert member.called("assigned") == [("assigned", all_of(topic, 3) | all_of(other, 2), frozenset())]
    (info,) = member.group.members()
    assert (info.member_id, info.address, info.tasks) == (member.group.member_id, "here:6066", frozenset({0, 1, 2}))


async def test_partitions_move_when_members_come_and_go(scene: Scene) -> None:
    topic = await scene.topic(4)
    first = await scene.member(topic, address="a:1")
    generation = first.group.generation
    second = await scene.join(topic, log=await scene.connect(), address="b:2")
    await together([first, second], lambda: len(first.numbers) == len(second.numbers) == 2)
    assert first.numbers | second.numbers == {0, 1, 2, 3}
    assert first.group.generation > generation
    # Each knows the other as it is.
    picture = {info.address: set(info.tasks) for info in first.group.members()}
    assert picture == {"a:1": first.numbers, "b:2": second.numbers}
    await second.group.leave()
    assert second.group.assignment() == frozenset()
    await first.until(lambda: first.numbers == {0, 1, 2, 3})
    assert [info.address for info in first.group.members()] == ["a:1"]


async def test_copartitioned_topics_move_together(scene: Scene) -> None:
    one, two = await scene.topic(4), await scene.topic(4)
    members = [await scene.join(one, two, log=await scene.connect()) for _ in range(2)]
    await together(members, lambda: all(len(member.numbers) == 2 for member in members))
    for member in members:
        assert member.group.assignment() == {TopicPartition(t, n) for t in (one, two) for n in member.numbers}


async def test_several_members_in_one_process_share_the_work(scene: Scene) -> None:
    topic = await scene.topic(6)
    for number in range(6):
        await scene.append(topic, *(b"%d.%d" % (number, one) for one in range(20)), partition=number)
    members = [await scene.join(topic) for _ in range(3)]
    await together(members, lambda: all(len(member.numbers) == 2 for member in members))
    assert set[int]().union(*(member.numbers for member in members)) == set(range(6))


async def test_a_member_without_partitions_waits_for_some(scene: Scene) -> None:
    topic = await scene.topic(1)
    first = await scene.member(topic)
    second = await scene.join(topic, log=await scene.connect())
    await together([first, second], lambda: second.called("assigned") and len(second.group.members()) == 2)
    assert len(first.numbers) + len(second.numbers) == 1
    idle, busy = sorted([first, second], key=lambda member: len(member.numbers))
    await busy.group.leave()
    await idle.until(lambda: idle.numbers == {0})


async def test_two_groups_do_not_share(scene: Scene) -> None:
    topic = await scene.topic(2)
    await scene.append(topic, *numbered(5))
    members = [await scene.member(topic, group_id=f"{topic}-{name}") for name in "ab"]
    for member in members:
        assert values_of(await member.records(5)) == numbered(5)
        assert member.numbers == {0, 1}


async def test_state_on_disk_attracts_partitions(scene: Scene) -> None:
    topic = await scene.topic(4)
    first = await scene.join(topic, held=frozenset({0, 1}))
    second = await scene.join(topic, held=frozenset({2, 3}), log=await scene.connect())
    await together([first, second], lambda: len(first.numbers) == len(second.numbers) == 2)
    await first.group.leave()
    await second.until(lambda: second.numbers == {0, 1, 2, 3})
    back = await scene.join(topic, held=frozenset({1, 3}), log=await scene.connect())
    await together([second, back], lambda: len(back.numbers) == len(second.numbers) == 2)
    # Two of the four stay; of those that move, none moves to a member that does not have its state, if it can be.
    assert back.numbers <= {0, 1, 2, 3}
    assert back.numbers.isdisjoint(second.numbers)


async def test_standbys_are_told_and_are_never_the_owner(scene: Scene) -> None:
    topic = await scene.topic(4)
    members = [await scene.join(topic, log=await scene.connect(), standby_replicas=1) for _ in range(2)]

    def settled() -> bool:
        standbys = [member.called("assigned")[-1][2] if member.called("assigned") else None for member in members]
        return all(len(member.numbers) == 2 for member in members) and all(
            found == frozenset(range(4)) - member.numbers for found, member in zip(standbys, members, strict=True)
        )

    await together(members, settled)


async def test_listener_calls_come_in_order_and_alone(scene: Scene) -> None:
    topic = await scene.topic(4)
    entered: list[str] = []

    def slow(name: str) -> Any:
        async def body(_: object) -> None:
            entered.append(name)
            assert len(entered) == 1, entered
            await asyncio.sleep(0.01)
            entered.remove(name)

        return body

    first = await scene.member(topic, on={"revoked": slow("revoked"), "assigned": slow("assigned")})
    second = await scene.join(topic, log=await scene.connect())
    await together([first, second], lambda: len(first.numbers) == len(second.numbers) == 2)
    await second.group.leave()
    await first.until(lambda: first.numbers == {0, 1, 2, 3})
    await first.group.leave()
    owned: frozenset[TopicPartition] = frozenset()
    for name, partitions, *_ in (event for event in first.events if event[0] in ("revoked", "assigned", "lost")):
        if name == "assigned":
            # What is assigned anew was not there, and nothing goes without a word.
            assert owned <= partitions
            owned = partitions
        else:
            assert partitions <= owned
            owned -= partitions
    assert owned == frozenset()
    assert first.called("revoked")[-1][1] == all_of(topic, 4)


async def test_revoked_can_still_commit_and_the_successor_goes_on_from_there(scene: Scene) -> None:
    source, target = await scene.topic(2), await scene.topic()
    for number in range(2):
        await scene.append(source, *numbered(10), partition=number)

    async def commit(partitions: frozenset[TopicPartition]) -> None:
        await first.group.commit([batch_of(target, [b"last words"])], {one: Position(10) for one in partitions})

    first = await scene.member(source, on={"revoked": commit})
    await first.records(20)
    second = await scene.join(source, log=await scene.connect())
    await together([first, second], lambda: len(second.numbers) == 1 and len(first.numbers) == 1)
    moved = TopicPartition(source, next(iter(second.numbers)))
    assert b"last words" in await scene.values(target)
    await scene.append(source, b"new", partition=moved.partition)
    await second.records(1)
    assert [value for batch in second.got if batch.source == moved for value in batch.values] == [b"new"]


async def test_no_record_before_assigned_has_returned(scene: Scene) -> None:
    topic = await scene.topic(2)
    for number in range(2):
        await scene.append(topic, *numbered(10), partition=number)
    told = asyncio.Event()

    async def restore(_: object) -> None:
        await told.wait()

    member = await scene.join(topic, on={"assigned": restore})
    fetching = asyncio.create_task(member.records(20))
    await wait_for(lambda: _true(bool(member.called("assigned begins"))))
    assert not member.got
    told.set()
    await fetching
    assert member.events.index(member.called("assigned")[0]) < next(
        index for index, event in enumerate(member.events) if event[0] == "records"
    )


async def _true(value: bool) -> bool:
    return value


async def test_seek_and_pause_within_assigned(scene: Scene) -> None:
    topic = await scene.topic(2)
    for number in range(2):
        await scene.append(topic, *numbered(10), partition=number)

    async def begin(_: object) -> None:
        member.group.seek(TopicPartition(topic, 0), 7)
        member.group.pause([TopicPartition(topic, 1)])

    member = await scene.join(topic, on={"assigned": begin})
    assert values_of(await member.records(3)) == [b"7", b"8", b"9"]
    member.group.resume([TopicPartition(topic, 1)])
    assert values_of(await member.records(10)) == numbered(10)


async def test_a_killed_process_is_expelled_and_its_work_goes_on_exactly_once(scene: Scene) -> None:
    source, target = await scene.topic(3), await scene.topic(3)
    for number in range(3):
        await scene.append(source, *(b"%d.%d" % (number, one) for one in range(300)), partition=number)
    names = ["a", "b", "c"]
    arguments = {"source": source, "target": target, "session_timeout_ms": scene.session_timeout_ms}
    workers = {name: await scene.process("work", name=name, **arguments) for name in names}

    async def done_by() -> Counter[bytes]:
        rows = [row for number in range(3) for row in await scene.rows(target, number)]
        return Counter(key for _, key, _ in rows if key is not None)

    async def more() -> bool:
        for number in range(3):
            await scene.append(source, *(b"more" for _ in range(20)), partition=number)
        return set(await done_by()) == {b"a", b"b", b"c"}

    await wait_for(more)
    workers["b"].kill()
    await workers["b"].wait()
    for number in range(3):
        await scene.append(source, *(b"%d.%d" % (number, one) for one in range(300, 400)), partition=number)

    async def everything() -> list[list[bytes | None]]:
        return [await scene.values(source, number) for number in range(3)]

    wanted = await everything()
    await wait_for(lambda: _equal(scene, target, wanted))
    for name in ("a", "c"):
        process = workers[name]
        assert process.stdin is not None
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
    assert [await scene.values(target, number) for number in range(3)] == wanted


async def _equal(scene: Scene, topic: str, wanted: list[list[bytes | None]]) -> bool:
    found = [len(await scene.values(topic, number)) for number in range(len(wanted))]
    return all(have >= len(want) for have, want in zip(found, wanted, strict=True))


async def test_a_silent_member_is_expelled_loses_its_partitions_and_comes_back(scene: Scene) -> None:
    source, target = await scene.topic(2), await scene.topic()
    await scene.append(source, b"in")
    # Its heart beats so rarely that it is expelled in between.
    silent = await scene.member(
        source,
        log=await scene.connect(),
        heartbeat_interval_ms=4 * scene.session_timeout_ms,
        session_timeout_ms=scene.session_timeout_ms,
    )
    await silent.records(1)
    other = await scene.join(source)
    await other.until(lambda: other.numbers == {0, 1})
    with pytest.raises((FencedError, UnavailableError)):
        await silent.commit([batch_of(target, [b"zombie"])])
    assert await scene.values(target) == []
    await together([silent, other], lambda: len(silent.numbers) == len(other.numbers) == 1)
    assert silent.called("lost", "revoked")[0] == ("lost", all_of(source, 2))


async def test_a_static_member_that_returns_gets_its_partitions_back(scene: Scene) -> None:
    topic = await scene.topic(4)
    first = await scene.join(topic, instance_id="first")
    second_log = await scene.connect()
    second = await scene.join(topic, instance_id="second", returns=True, log=second_log)
    await together([first, second], lambda: len(first.numbers) == len(second.numbers) == 2)
    before = second.numbers
    calls = len(first.events)
    await second.group.leave()
    again = await scene.join(topic, instance_id="second", returns=True, log=await scene.connect())
    await together([first, again], lambda: again.numbers == before)
    assert not [event for event in first.events[calls:] if event[0] == "revoked"]


async def test_a_replaced_static_member_gives_up(scene: Scene) -> None:
    topic = await scene.topic(1)
    old = await scene.member(topic, instance_id="one", log=await scene.connect())
    new = await scene.member(topic, instance_id="one")
    await new.until(lambda: new.numbers == {0})
    with pytest.raises((FencedError, UnavailableError)):
        await old.until(lambda: False)
    await new.fetch()
    assert new.numbers == {0}


async def test_leaving_twice_and_closing_after(scene: Scene) -> None:
    topic = await scene.topic(2)
    log = await scene.connect()
    member = await scene.member(topic, log=log)
    await member.group.leave()
    await member.group.leave()
    assert member.called("revoked") == [("revoked", all_of(topic, 2))]
    assert list(await member.group.fetch(bytes_max=MIB, timeout_s=30)) == []
    await log.close()
    await member.group.leave()


async def test_leaving_while_a_fetch_waits(scene: Scene) -> None:
    topic = await scene.topic(2)
    member = await scene.member(topic)
    fetching = asyncio.create_task(member.group.fetch(bytes_max=MIB, timeout_s=PATIENCE_S))
    await asyncio.sleep(0)
    await member.group.leave()
    assert list(await asyncio.wait_for(fetching, PATIENCE_S / 2)) == []
    other = await scene.join(topic, log=await scene.connect())
    await other.until(lambda: other.numbers == {0, 1})
    assert len(other.group.members()) == 1


async def test_closing_the_log_leaves_its_groups(scene: Scene) -> None:
    topic = await scene.topic(2)
    log = await scene.connect()
    gone = await scene.member(topic, log=log, session_timeout_ms=30_000)
    await log.close()
    assert gone.called("revoked") == [("revoked", all_of(topic, 2))]
    other = await scene.join(topic)
    async with asyncio.timeout(15):
        await other.until(lambda: other.numbers == {0, 1})


# Topics of a group


async def test_reading_other_topics(scene: Scene) -> None:
    one, two, three = await scene.topic(2), await scene.topic(2), await scene.topic(2)
    for topic in (one, two, three):
        await scene.append(topic, topic.encode())
    member = await scene.member(one, two)
    await member.records(2)
    member.group.update(topics=frozenset({two, three}))
    await member.until(lambda: member.group.assignment() == all_of(two, 2) | all_of(three, 2))
    gone = frozenset[TopicPartition]().union(*(event[1] for event in member.called("revoked")))
    assert all_of(one, 2) <= gone
    before = len(member.got)
    await scene.append(one, b"not for us")
    await scene.append(three, b"for us")
    await member.until(lambda: b"for us" in values_of(member.got))
    assert not any(batch.topic == one for batch in member.got[before:])


async def test_telling_of_state_moves_nothing(scene: Scene) -> None:
    topic = await scene.topic(2)
    member = await scene.member(topic)
    calls = len(member.called("assigned"))
    member.group.update(held=frozenset({0, 1}))
    member.group.update(topics=frozenset({topic}))
    await scene.append(topic, b"a")
    await member.records(1)
    assert len(member.called("assigned")) == calls


# Positions


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
    batches = await asyncio.wait_for(fetching, 10)
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
        done, _ = await asyncio.wait({fetching}, timeout=10)
        assert done


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
