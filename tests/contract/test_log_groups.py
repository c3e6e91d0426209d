"""One suite over every home of the log: groups and their rebalances. Fetching is in test_log_fetching.py."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections import Counter
from typing import Any

import pytest

from pelton.batch import TopicPartition
from pelton.errors import FencedError, UnavailableError
from pelton.log.contract import Group, GroupOptions, Position
from tests.contract.log_scene import (
    MIB,
    Member,
    Scene,
    all_of,
    batch_of,
    numbered,
    together,
    values_of,
    wait_for,
)
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.several_members


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
    # The one that only gave partitions up has heard what it is left with.
    await first.until(lambda: {one.partition for one in first.called("assigned")[-1][1]} == first.numbers)
    # Each knows the other as it is.
    picture = {info.address: set(info.tasks) for info in first.group.members()}
    assert picture == {"a:1": first.numbers, "b:2": second.numbers}
    # And so does who is no member.
    seen = await scene.log.group_members(f"group-{topic}")
    assert {info.address: set(info.tasks) for info in seen} == picture
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


async def test_a_connection_lets_go_of_groups_that_were_left(scene: Scene) -> None:
    topic = await scene.topic()
    options = GroupOptions(group_id=f"group-{topic}", topics=frozenset({topic}))
    left: list[weakref.ref[Group]] = []
    for _ in range(3):
        group = await scene.log.join(options, Member({}).listener())
        await group.leave()
        left.append(weakref.ref(group))
        del group
    gc.collect()
    assert [one() for one in left[:-1]] == [None, None], "of the last at most something is kept"


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


async def test_the_standby_of_a_number_becomes_its_owner(scene: Scene) -> None:
    topic = await scene.topic(3)
    members = [await scene.join(topic, log=await scene.connect(), standby_replicas=1) for _ in range(3)]

    def standbys(member: Any) -> frozenset[int]:
        told = member.called("assigned")
        return frozenset(told[-1][2]) if told else frozenset()

    def settled() -> bool:
        return all(len(member.numbers) == 1 for member in members) and {
            number for member in members for number in standbys(member)
        } == {0, 1, 2}

    await together(members, settled)
    for member in members:
        member.group.update(held=frozenset(member.numbers | standbys(member)))
    # The last one to be asked, if names decided, so that only its state speaks for it.
    heir = max((member for member in members if standbys(member)), key=lambda member: member.group.member_id)
    number = min(standbys(heir))
    (leaving,) = [member for member in members if number in member.numbers]
    await leaving.group.leave()
    await together([member for member in members if member is not leaving], lambda: number in heir.numbers)


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
    # For the session timeout from when it was confirmed last, what it had was nobody else's.
    assert time.monotonic() - silent.group.confirmed_at_s() >= scene.session_timeout_ms / 1000
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
    gone = await scene.member(topic, log=log, session_timeout_ms=600_000)
    await log.close()
    assert gone.called("revoked") == [("revoked", all_of(topic, 2))]
    other = await scene.join(topic)
    await other.until(lambda: other.numbers == {0, 1})  # within PATIENCE_S, so not by the session's end


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
