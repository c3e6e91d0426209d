"""A task with several lanes: events overlap, effects come in log order, and a commit sees whole rounds."""

from __future__ import annotations

import asyncio
from typing import Any

from pelton.log.contract import Position
from tests.unit.runtime.task_rig import (
    SOURCE,
    Rig,
    add,
    agent,
    batch,
    lane,
    letters,
    numbers,
    position,
    running,
    send,
    sent,
    sums,
)

LANES = 4


def keyed(count: int, first: int = 0) -> Any:
    """Return numbers whose keys go round, so that every lane has some."""
    values = range(first, first + count)
    return numbers(*values, first=first, keys=[b"key-%d" % (value % 10) for value in values])


async def test_events_overlap_and_their_effects_come_in_log_order():
    under_way = most = 0

    async def slow(stream: Any) -> Any:
        nonlocal under_way, most
        async for number in stream:
            under_way += 1
            most = max(most, under_way)
            for _ in range(number * 7 % 11):
                await asyncio.sleep(0)
            under_way -= 1
            yield number

    async with running(agent(slow, concurrency=LANES)) as rig:
        staged = await rig.done(keyed(200))
        assert sent(staged) == [b"%d" % number for number in range(200)]
        assert (position(staged), most) == (Position(200), LANES)


async def test_the_events_of_a_key_stay_in_order():
    seen: dict[Any, list[int]] = {}

    async def slow(stream: Any) -> None:
        async for key, number in stream.items():
            for _ in range(number * 7 % 11):
                await asyncio.sleep(0)
            seen.setdefault(key, []).append(number)

    async with running(agent(slow, concurrency=LANES)) as rig:
        await rig.done(keyed(200))
    assert len(seen) == 10
    assert all(found == sorted(found) for found in seen.values())


async def test_a_commit_in_the_middle_of_a_round_sees_none_of_it():
    gate = asyncio.Event()
    done: list[int] = []

    async def waits(stream: Any) -> Any:
        async for number in stream:
            if number == 7:
                await gate.wait()
            add(lane().raw_key or b"", number)
            yield number
            done.append(number)

    async with running(agent(waits, concurrency=LANES)) as rig:
        rig.put(keyed(20))
        await rig.until(lambda: len(done) >= 5)
        assert rig.partition.stage(0) is None
        assert rig.tasks[0].positions() == {SOURCE: 0}
        assert rig.partition.events == 0, "nothing that a commit would cover"
        gate.set()
        await rig.idle()
        staged = rig.take()
        assert (position(staged), rig.partition.events) == (Position(20), 20)
        assert sent(staged) == [b"%d" % number for number in range(20)]
        assert sums(staged) == {b"key-%d" % key: b"%d" % (key + key + 10) for key in range(10)}


async def test_lanes_see_what_earlier_events_of_their_key_wrote():
    async def total(stream: Any) -> Any:
        async for number in stream:
            yield add(lane().raw_key or b"", number)

    async with running(agent(total, concurrency=LANES)) as rig:
        staged = await rig.done(numbers(1, 2, 3, 4, keys=[b"a", b"b", b"a", b"b"]))
        assert sent(staged) == [b"1", b"2", b"4", b"6"]


async def test_a_failure_in_one_lane_does_not_touch_the_others():
    async def fails(stream: Any) -> Any:
        async for number in stream:
            add(lane().raw_key or b"", number)
            if number in (13, 33):
                raise ValueError("unlucky")
            yield number

    async with running(agent(fails, concurrency=LANES), retries=2) as rig:
        staged = await rig.done(keyed(100))
        good = [number for number in range(100) if number not in (13, 33)]
        assert sent(staged) == [b"%d" % number for number in good]
        assert letters(staged) == [(13, "agent", "agent"), (33, "agent", "agent")]
        assert (sums(staged)[b"key-3"], position(staged)) == (
            b"%d" % sum(n for n in good if n % 10 == 3),
            Position(100),
        )


async def test_dead_letters_wait_for_the_round_and_come_in_log_order():
    gate = asyncio.Event()

    async def waits(stream: Any) -> None:
        async for number in stream:
            if number == 0:
                await gate.wait()
            if number in (3, 5):
                raise ValueError("unlucky")

    async with running(agent(waits, concurrency=LANES)) as rig:
        rig.put(keyed(8))
        await rig.until(lambda: rig.tasks[0].dead_lettered == 2)
        assert rig.partition.stage(0) is None
        gate.set()
        await rig.idle()
        assert letters(rig.take()) == [(3, "agent", "agent"), (5, "agent", "agent")]


async def test_undecodable_records_between_rounds():
    async with running(agent(echo, concurrency=LANES)) as rig:
        staged = await rig.done(batch([b"{", b"1", b"{", b"2", b"{"], keys=[b"a", b"b", b"c", b"d", b"e"]))
        assert (sent(staged), position(staged)) == ([b"1", b"2"], Position(5))
        assert [offset for offset, *_ in letters(staged)] == [0, 2, 4]


async def echo(stream: Any) -> Any:
    async for number in stream:
        yield number


async def test_gathering_lanes_hold_the_round_open():
    async def gather(stream: Any) -> None:
        async for lot in stream.take(3, within=0):
            for number in lot:
                send(number)

    async with running(agent(gather, concurrency=2)) as rig:
        values = list(range(8))
        rig.put(numbers(*values, keys=[b"a"] * 8))  # all of them go to one lane: two lots, and two that wait
        await rig.idle()
        assert rig.partition.stage(0) is None
        staged = await rig.done(numbers(8, first=8, keys=[b"a"]))
        assert (sent(staged), position(staged)) == ([b"%d" % number for number in range(9)], Position(9))


async def test_lanes_that_gather_what_does_not_come_let_others_have_their_keys():
    has_keys = asyncio.Event()

    async def gather(stream: Any) -> None:
        async for lot in stream.take(3, within=0):
            add(b"shared", len(lot))
            has_keys.set()

    async def other(stream: Any) -> None:
        async for _ in stream:
            await has_keys.wait()
            add(b"shared", 100)

    lot, rest = [b"a"] * 3, [b"d"]  # of two lanes
    async with running(agent(gather, concurrency=2), agent(other, "other")) as rig:
        gathering, beside = rig.tasks
        rig.put(numbers(1, 2, 3, 4, keys=[*lot, *rest]))
        await rig.until(lambda: beside.events == 4)
        assert beside.failures == 0
        rig.put(numbers(5, 6, first=4, keys=rest * 2))
        await rig.until(lambda: beside.events == gathering.events == 6)
        await rig.idle()
        staged = rig.take()
        assert (sums(staged), letters(staged), position(staged)) == ({b"shared": b"606"}, [], Position(6))


async def test_agents_that_return_early_go_on_in_their_lane():
    async def two(stream: Any) -> Any:
        seen = 0
        async for number in stream:
            yield number
            seen += 1
            if seen == 2:
                return

    async with running(agent(two, concurrency=LANES)) as rig:
        staged = await rig.done(keyed(60))
        assert sent(staged) == [b"%d" % number for number in range(60)]


async def test_null_keys_are_spread():
    lanes: set[int] = set()

    async def where(stream: Any) -> None:
        async for _ in stream:
            lanes.add(lane().index)

    async with running(agent(where, concurrency=LANES)) as rig:
        await rig.done(numbers(*range(40), keys=[None] * 40))
    assert lanes == set(range(LANES))


async def stopped(rig: Rig) -> None:
    await rig.tasks[0].stop(0.05)


async def test_a_stop_ends_a_round_that_is_complete():
    async with running(agent(echo, concurrency=LANES)) as rig:
        rig.put(keyed(10))
        await rig.idle()
        await stopped(rig)
        staged = rig.take()
        assert (sent(staged), position(staged)) == ([b"%d" % number for number in range(10)], Position(10))


async def test_a_stop_in_the_middle_of_a_round_leaves_no_trace_of_it():
    async def endless(stream: Any) -> Any:
        async for number in stream:
            yield number
            if number == 5:
                await asyncio.Event().wait()

    async with running(agent(endless, concurrency=LANES)) as rig:
        rig.put(keyed(10))
        await rig.until(lambda: sum(len(lane.sends) for lane in rig.tasks[0].lanes))
        await stopped(rig)
        assert rig.partition.stage(0) is None
        assert rig.tasks[0].positions() == {SOURCE: 0}
