"""A task: where it stands at every moment, and what a failure leaves behind."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from pelton.backoff import Backoff
from pelton.batch import RecordBatch, TopicPartition
from pelton.errors import InternalError
from pelton.log.contract import Position, TopicSpec
from pelton.runtime.ahead import AheadTask
from pelton.runtime.task import Task
from tests.patience import PATIENCE_S
from tests.unit.runtime.task_rig import (
    LETTERS,
    SOURCE,
    TOPIC,
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

URGENT = TopicPartition("urgent", 0)


async def total(stream: Any) -> None:
    async for number in stream:
        add(b"all", number)


async def echo(stream: Any) -> Any:
    async for number in stream:
        yield number


# Where it stands


async def test_positions_follow_the_events_and_the_gaps_behind_them():
    async with running(agent(echo)) as rig:
        records = numbers(1, 2, 3)
        records.next_offset = 5  # transaction markers behind the last record
        assert position(await rig.done(records)) == Position(5)
        assert position(await rig.done(batch([], 9))) == Position(9)


async def test_an_event_under_way_stays_out_of_a_commit_with_all_its_effects():
    gate = asyncio.Event()

    async def slow(stream: Any) -> Any:
        async for number in stream:
            add(b"all", number)
            yield number
            if number == 3:
                await gate.wait()

    async with running(agent(slow)) as rig:
        rig.put(numbers(1, 2, 3, 4))
        await rig.until(lambda: rig.tasks[0].positions()[SOURCE] == 2 and lane_of(rig).sends)
        staged = rig.take()
        assert (position(staged), sums(staged), sent(staged)) == (Position(2), {b"all": b"3"}, [b"1", b"2"])
        assert rig.partition.stage(0) is None, "nothing new is complete"
        gate.set()
        await rig.idle()
        staged = rig.take()
        assert (position(staged), sums(staged), sent(staged)) == (Position(4), {b"all": b"10"}, [b"3", b"4"])


def lane_of(rig: Any, index: int = 0) -> Any:
    return rig.tasks[0].lanes[index]


async def test_the_position_at_each_suspension_is_that_of_the_event():
    seen: list[int] = []
    task: list[Task] = []

    async def look(stream: Any) -> None:
        async for number in stream:
            await asyncio.sleep(0)
            seen.append(task[0].positions()[SOURCE] - number)

    async with running(agent(look)) as rig:
        task.append(rig.tasks[0])
        await rig.done(numbers(*range(100)))
        await rig.done(numbers(*range(100, 150), first=100))
    assert seen == [0] * 150


async def test_a_batch_fetched_twice_is_handled_once():
    async with running(agent(echo)) as rig:
        rig.put(numbers(0, 1, 2))
        rig.put(numbers(0, 1, 2))
        rig.put(numbers(1, 2, 3, 4, first=1))
        await rig.idle()
        assert sent(rig.take()) == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_start_in_the_middle_of_a_batch():
    async with running(agent(echo), starts={"agent": 2}) as rig:
        assert sent(await rig.done(numbers(0, 1, 2, 3))) == [b"2", b"3"]


# Failures


async def test_retries_then_a_dead_letter_with_the_original_bytes():
    attempts: list[int] = []

    async def fails(stream: Any) -> Any:
        async for number in stream:
            add(b"all", number)
            yield number
            if number == 13:
                attempts.append(number)
                raise ValueError("unlucky")

    async with running(agent(fails), retries=2) as rig:
        records = batch([b"1", b" 13", b"2"], headers=[(), (("trace", b"7"),), ()])
        rig.put(records)
        await rig.idle()
        assert lane_of(rig).touched == []
        staged = rig.take()
        assert attempts == [13] * 3
        assert (sums(staged), sent(staged)) == ({b"all": b"3"}, [b"1", b"2"])
        (letter,) = [message for message in staged.sends if message.topic == LETTERS]
        assert (letter.key, letter.value, letter.timestamp_ms) == (b"k", b" 13", 1_001)
        *headers, (name, traceback) = letter.headers
        assert headers == [
            ("trace", b"7"),
            ("pelton-dlq-topic", b"numbers"),
            ("pelton-dlq-partition", b"0"),
            ("pelton-dlq-offset", b"1"),
            ("pelton-dlq-agent", b"agent"),
            ("pelton-dlq-kind", b"agent"),
            ("pelton-dlq-error", b"ValueError: unlucky"),
            ("pelton-dlq-attempts", b"3"),
        ]
        assert name == "pelton-dlq-traceback"
        assert b'raise ValueError("unlucky")' in traceback
        assert rig.tasks[0].statistics().failures == 3


async def test_a_failure_that_passes_leaves_nothing():
    failed: list[int] = []

    async def fails_once(stream: Any) -> Any:
        async for number in stream:
            add(b"all", number)
            if number == 2 and not failed:
                failed.append(number)
                raise OSError("for now")
            yield number

    async with running(agent(fails_once), retries=1) as rig:
        staged = await rig.done(numbers(1, 2, 3))
        assert (sums(staged), sent(staged), letters(staged)) == ({b"all": b"6"}, [b"1", b"2", b"3"], [])


@pytest.mark.parametrize("gathering", ["take", "batches"])
async def test_of_events_that_fail_together_only_the_poison_is_given_up(gathering: str):
    async def fails(stream: Any) -> None:
        async for lot in stream.take(4, within=0.01) if gathering == "take" else stream.batches():
            for number in getattr(lot, "values", lot):
                add(b"all", number)
                if number == 13:
                    raise ValueError("unlucky")

    async with running(agent(fails), retries=1) as rig:
        rig.put(numbers(1, 2, 13, 3, 4, 13, 5))
        await rig.until(lambda: rig.tasks[0].positions()[SOURCE] == 7)
        staged = rig.take()
        assert (sums(staged), position(staged)) == ({b"all": b"15"}, Position(7))
        assert letters(staged) == [(2, "agent", "agent"), (5, "agent", "agent")]


async def test_gathered_events_stay_out_until_they_are_complete():
    async def gather(stream: Any) -> None:
        async for lot in stream.take(4, within=0):
            add(b"all", sum(lot))

    async with running(agent(gather)) as rig:
        rig.put(numbers(1, 2, 3))
        await rig.idle()
        assert rig.partition.stage(0) is None
        staged = await rig.done(numbers(4, 5, first=3))
        assert (sums(staged), position(staged)) == ({b"all": b"10"}, Position(4))


async def test_a_dead_letter_waits_for_gathered_events_before_it():
    async def gather(stream: Any) -> None:
        async for lot in stream.take(3, within=0):
            add(b"all", sum(lot))

    async with running(agent(gather)) as rig:
        rig.put(batch([b"1", b"{", b"2"]))
        await rig.idle()
        assert rig.partition.stage(0) is None, "a restart would dead-letter offset 1 again"
        staged = await rig.done(numbers(4, first=3))
        assert (sums(staged), letters(staged)) == ({b"all": b"7"}, [(1, "agent", "decode")])


async def test_a_dead_letter_between_gathered_events_that_fail_goes_out_with_its_position():
    gate = asyncio.Event()

    async def gather(stream: Any) -> None:
        async for lot in stream.take(2, within=0):
            if lot == [2]:
                await gate.wait()
            if len(lot) == 2:
                raise ValueError("not both")

    async with running(agent(gather)) as rig:
        rig.put(batch([b"1", b"{", b"2"]))
        await rig.until(lambda: rig.tasks[0].positions()[SOURCE] == 2)
        staged = rig.take()
        assert (position(staged), letters(staged)) == (Position(2), [(1, "agent", "decode")])
        gate.set()


async def test_an_agent_that_raises_before_its_first_event_is_tried_again():
    attempts: list[int] = []

    async def late(stream: Any) -> Any:
        attempts.append(1)
        if len(attempts) < 4:
            raise ConnectionError("not yet")
        async for number in stream:
            yield number

    async with running(agent(late)) as rig:
        staged = await rig.done(numbers(1, 2))
        assert (sent(staged), letters(staged)) == ([b"1", b"2"], [])


async def test_a_stop_cuts_the_pause_between_attempts_short():
    async def fails(stream: Any) -> None:
        async for number in stream:
            tried.append(number)
            raise ValueError("not today")

    tried: list[int] = []
    policy = Backoff(retries=None, first=3_600, longest=3_600)
    async with running(replace(agent(fails), backoff=policy)) as rig:
        rig.put(numbers(1))
        await rig.until(lambda: tried == [1])
        await rig.tasks[0].stop(PATIENCE_S)
        assert rig.tasks[0].positions() == {SOURCE: 0}


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_the_policy_of_an_agent_says_what_is_tried_again_and_what_is_given_up_at_once(concurrency: int):
    async def fails(stream: Any) -> None:
        async for number in stream:
            tried.append(number)
            raise (ValueError if number == 1 else TypeError if number == 2 else KeyError)(number)

    tried: list[int] = []
    policy = Backoff(retries=2, first=0.001, retry_on=(ValueError, TypeError), give_up_on=TypeError)
    async with running(replace(agent(fails, concurrency=concurrency), backoff=policy), retries=7) as rig:
        staged = await rig.done(numbers(1, 2, 3))
    assert sorted(tried) == [1, 1, 1, 2, 3]
    attempts = [dict(one.headers)["pelton-dlq-attempts"] for one in staged.sends if one.topic == LETTERS]
    assert (letters(staged), attempts) == ([(n, "agent", "agent") for n in range(3)], [b"3", b"1", b"1"])


async def test_an_event_may_be_tried_as_often_as_it_takes():
    async def fails(stream: Any) -> Any:
        async for number in stream:
            tried.append(number)
            if len(tried) < 50:
                raise ConnectionError("not yet")
            yield number

    tried: list[int] = []
    async with running(replace(agent(fails), backoff=Backoff(retries=None, first=0))) as rig:
        staged = await rig.done(numbers(1))
    assert (sent(staged), letters(staged)) == ([b"1"], [])


async def test_a_policy_that_raises_itself_leaves_it_to_the_number_of_retries():
    async def fails(stream: Any) -> None:
        async for _ in stream:
            raise ValueError("no status here")

    policy = Backoff(retries=1, first=0, retry_on=lambda error: error.status >= 500)
    async with running(replace(agent(fails), backoff=policy)) as rig:
        staged = await rig.done(numbers(1))
    assert letters(staged) == [(0, "agent", "agent")]


async def test_what_is_cancelled_inside_an_event_does_not_end_the_lane():
    async def asks(stream: Any) -> Any:
        async for number in stream:
            if number == 2:
                answer = asyncio.get_running_loop().create_future()
                answer.cancel()
                await answer
            yield number

    async with running(agent(asks)) as rig:
        staged = await rig.done(numbers(1, 2, 3))
        assert (sent(staged), letters(staged)) == ([b"1", b"3"], [(1, "agent", "agent")])


async def test_our_own_bugs_end_the_lane_and_are_told():
    async def broken(stream: Any) -> None:
        async for _ in stream:
            raise InternalError("ours")

    async with running(agent(broken)) as rig:
        with pytest.raises(InternalError):
            await rig.done(numbers(1))


# Records that are not as they should be


async def test_undecodable_records_are_given_up_and_the_others_go_on():
    async with running(agent(echo)) as rig:
        staged = await rig.done(batch([b"{", b"1", b'"text"', b"2", b"\xff"]))
        assert (sent(staged), position(staged)) == ([b"1", b"2"], Position(5))
        assert letters(staged) == [(0, "agent", "decode"), (2, "agent", "decode"), (4, "agent", "decode")]


async def test_only_one_agent_gives_up_an_undecodable_record():
    async with running(agent(echo, "one"), agent(total, "two")) as rig:
        staged = await rig.done(batch([b"{", b"1"]))
        assert (letters(staged), position(staged)) == ([(0, "one", "decode")], Position(2))


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_failed_event_comes_again_as_it_was(concurrency: int):
    async def enrich(stream: Any) -> Any:
        async for order in stream:
            order["price"] *= 2
            if order.get("fails") and len(failed) < 2:
                failed.append(order)
                raise ValueError("not today")
            yield order["price"]

    failed: list[Any] = []
    async with running(agent(enrich, type_=dict, concurrency=concurrency), retries=3) as rig:
        staged = await rig.done(batch([b'{"price": 1}', b'{"price": 2, "fails": true}', b'{"price": 3}']))
    assert sent(staged) == [b"2", b"4", b"6"]


async def test_gathered_events_come_again_as_they_were():
    async def enrich(stream: Any) -> Any:
        async for orders in stream.take(3, within=0):
            for order in orders:
                order["price"] *= 2
            if not failed:
                failed.append(orders)
                raise ValueError("not today")
            yield [order["price"] for order in orders]

    failed: list[Any] = []
    async with running(agent(enrich, type_=dict), retries=3) as rig:
        staged = await rig.done(batch([b'{"price": 1}', b'{"price": 2}', b'{"price": 3}']))
    assert sent(staged) == [b"[2, 4, 6]"]


async def test_what_one_agent_does_to_a_value_no_other_sees():
    async def change(stream: Any) -> None:
        async for order in stream:
            order["price"] = 0

    async def read(stream: Any) -> Any:
        async for order in stream:
            yield order["price"]

    async with running(agent(change, "change", type_=dict), agent(read, "read", type_=dict)) as rig:
        assert sent(await rig.done(batch([b'{"price": 1}', b'{"price": 2}']))) == [b"1", b"2"]


async def test_a_key_that_cannot_be_decoded_is_given_up_at_once():
    async def keys(stream: Any) -> Any:
        async for key, number in stream.items():
            yield f"{key}={number}"

    async with running(agent(keys), retries=3) as rig:
        staged = await rig.done(numbers(1, 2, 3, keys=[b"a", b"\xff", b"c"]))
        assert (sent(staged), letters(staged)) == ([b"a=1", b"c=3"], [(1, "agent", "decode")])
        why = dict(next(message.headers for message in staged.sends if message.topic == LETTERS))
    assert b"could not decode the key" in why["pelton-dlq-error"]
    assert why["pelton-dlq-attempts"] == b"1"


async def test_a_null_key_is_no_trouble():
    seen: list[Any] = []

    async def keys(stream: Any) -> None:
        async for key, _ in stream.items():
            seen.append(key)

    async with running(agent(keys)) as rig:
        await rig.done(numbers(1, 2, keys=[None, b"k"]))
    assert seen == [None, "k"]


async def test_a_tombstone_is_given_up_unless_the_agent_wants_it():
    async with running(agent(echo)) as rig:
        staged = await rig.done(batch([b"1", None]))
        assert (sent(staged), letters(staged)) == ([b"1"], [(1, "agent", "decode")])
    async with running(agent(echo, tombstones=True)) as rig:
        staged = await rig.done(batch([b"1", None]))
        assert (sent(staged), letters(staged)) == ([b"1", b"None"], [])


async def test_a_record_of_five_mebibytes():
    async def size(stream: Any) -> Any:
        async for text in stream:
            yield len(text)

    async with running(agent(size, type_=str)) as rig:
        staged = await rig.done(batch([b'"%s"' % (b"x" * 5 * 1024 * 1024), b"{" * 5 * 1024 * 1024]))
        assert sent(staged) == [b"5242880"]
        assert letters(staged) == [(1, "agent", "decode")]


# Code that leaves its stream


async def test_an_agent_that_returns_goes_on_with_the_next_event():
    async def three(stream: Any) -> None:
        seen = 0
        async for number in stream:
            add(b"all", number)
            seen += 1
            if seen == 3:
                return

    async with running(agent(three)) as rig:
        staged = await rig.done(numbers(*range(1, 9)))
        assert (sums(staged), position(staged)) == ({b"all": b"36"}, Position(8))


async def test_an_agent_that_breaks_off_and_iterates_again_misses_nothing():
    async def pieces(stream: Any) -> Any:
        while True:
            async for number in stream:
                add(b"all", number)
                if number % 3 == 0:
                    break
            else:
                return
            async for lot in stream.take(2, within=0):
                for number in lot:
                    add(b"all", number)
                break
            async for several in stream.batches():
                for number in several.values:
                    add(b"all", number)
                break

    async with running(agent(pieces)) as rig:
        rig.put(numbers(*range(1, 50)))
        rig.put(numbers(*range(50, 100), first=49))
        await rig.idle()
        staged = rig.take()
        assert (sums(staged), position(staged)) == ({b"all": b"4950"}, Position(99))


async def test_gathered_events_that_were_never_handed_out_come_again():
    async def impatient(stream: Any) -> None:
        try:
            async with asyncio.timeout(0.01):
                async for lot in stream.take(100, within=0):
                    add(b"never", sum(lot))
        except TimeoutError:
            pass
        async for number in stream:
            add(b"all", number)
            if number == 3:
                return

    async with running(agent(impatient)) as rig:
        rig.put(numbers(1, 2, 3))
        await rig.until(lambda: rig.tasks[0].positions()[SOURCE] == 3)
        assert sums(rig.take()) == {b"all": b"6"}


async def test_effects_between_events_belong_to_the_next():
    async def before(stream: Any) -> None:
        send("hello")
        async for number in stream:
            add(b"all", number)

    async with running(agent(before)) as rig:
        staged = await rig.done(numbers(1))
        assert (sent(staged), sums(staged)) == ([b"hello"], {b"all": b"1"})


# Its end


async def test_a_stop_lets_the_event_under_way_finish():
    gate = asyncio.Event()

    async def slow(stream: Any) -> Any:
        async for number in stream:
            await gate.wait()
            yield number

    async with running(agent(slow)) as rig:
        rig.put(numbers(1))
        await rig.until(lambda: lane_of(rig).chunk is not None)
        stopping = asyncio.create_task(rig.tasks[0].stop(PATIENCE_S))
        await asyncio.sleep(0)
        gate.set()
        await stopping
        staged = rig.take()
        assert (sent(staged), position(staged)) == ([b"1"], Position(1))


async def test_a_stop_that_takes_too_long_leaves_no_trace_of_the_event():
    async def endless(stream: Any) -> Any:
        async for number in stream:
            add(b"all", number)
            yield number
            await asyncio.Event().wait()

    async with running(agent(endless)) as rig:
        rig.put(numbers(1, 2))
        await rig.until(lambda: lane_of(rig).sends)
        await rig.tasks[0].stop(0.01)
        assert rig.partition.stage(0) is None
        assert rig.tasks[0].positions() == {SOURCE: 0}


async def test_code_that_swallows_its_cancellation_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("pelton.runtime.cancelling._PATIENCES_S", (0.01, 0.01))

    async def stubborn(stream: Any) -> Any:
        async for number in stream:
            add(b"all", number)
            yield number
            for _ in range(3):
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()

    async with running(agent(stubborn)) as rig:
        rig.put(numbers(1))
        await rig.until(lambda: lane_of(rig).sends)
        await rig.tasks[0].stop(0.01)
        assert "agent agent swallows its cancellation: 1 of its coroutines" in caplog.text
        assert rig.partition.stage(0) is None


async def test_a_stop_keeps_gathered_events_for_the_next_owner():
    async def gather(stream: Any) -> None:
        async for lot in stream.take(100, within=0):
            add(b"all", sum(lot))

    async with running(agent(gather)) as rig:
        rig.put(numbers(1, 2))
        await rig.idle()
        await rig.tasks[0].stop(PATIENCE_S)
        assert rig.partition.stage(0) is None


async def test_attempts_are_forgotten_behind_the_position():
    failed: set[int] = set()

    async def fails_once_each(stream: Any) -> None:
        async for number in stream:
            if number not in failed:
                failed.add(number)
                raise OSError("for now")

    async with running(agent(fails_once_each), retries=1) as rig:
        rig.put(numbers(*range(50)))
        await rig.idle()
        assert len(rig.tasks[0]._attempts) <= 1


async def test_the_bytes_that_wait_are_those_of_the_queue():
    gate = asyncio.Event()

    async def slow(stream: Any) -> None:
        async for _ in stream:
            await gate.wait()

    async with running(agent(slow)) as rig:
        first, second = numbers(1, 2), numbers(3, 4, 5, first=2)
        rig.put(first)
        rig.put(second)
        await rig.until(lambda: lane_of(rig).chunk is not None)
        assert rig.partition.queued_bytes == second.nbytes
        gate.set()
        await rig.idle()
        assert rig.partition.queued_bytes == 0


def test_a_record_batch_may_be_empty():
    assert len(RecordBatch("t", 0, [], [], [], [], 7)) == 0
    with pytest.raises(AssertionError):
        lane()


# Pauses, and what comes first


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_paused_task_hands_nothing_out_and_goes_on_where_it_stood(concurrency: int):
    gate, seen = asyncio.Event(), list[int]()

    async def slow(stream: Any) -> Any:
        async for number in stream:
            seen.append(number)
            await gate.wait()
            yield number

    async with running(agent(slow, concurrency=concurrency), agent(echo, "other")) as rig:
        task, other = rig.tasks
        rig.put(numbers(1))
        await rig.until(lambda: seen == [1])
        rig.put(numbers(2, 3, first=1))
        task.pause()
        rig.put(numbers(4, first=3))
        assert (task.queued_bytes, rig.partition.wanted()) == (0, {SOURCE: 4})
        await rig.until(lambda: other.events == 4)
        gate.set()  # the event under way comes to its end
        await rig.idle()
        assert (task.positions(), other.positions()) == ({SOURCE: 1}, {SOURCE: 4})
        staged = rig.take()
        assert (sorted(sent(staged)), staged.positions[SOURCE].offset) == ([b"1", b"1", b"2", b"3", b"4"], 1)
        assert (rig.partition.drained(), seen) == ({SOURCE: 4}, [1])
        assert not rig.partition.behind({TopicPartition("of another agent", 0): 5})
        task.resume()
        assert rig.partition.wanted() == {SOURCE: 1}
        staged = await rig.done(numbers(2, 3, 4, first=1))
        assert (sorted(seen), sorted(sent(staged)), position(staged)) == (
            [1, 2, 3, 4],
            [b"2", b"3", b"4"],
            Position(4),
        )


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_pause_stops_an_event_that_fails_again_and_again(concurrency: int):
    tried: list[int] = []

    async def fails(stream: Any) -> Any:
        async for number in stream:
            tried.append(number)
            if len(tried) < 5:
                raise ConnectionError("not yet")
            yield number

    policy = Backoff(retries=None, first=0.001)
    async with running(replace(agent(fails, concurrency=concurrency), backoff=policy)) as rig:
        rig.put(numbers(1))
        await rig.until(lambda: len(tried) == 2)
        rig.tasks[0].pause()
        await rig.idle()
        assert len(tried) <= 3
        assert rig.tasks[0].positions() == {SOURCE: 0}
        rig.tasks[0].resume()
        await rig.until(lambda: len(tried) == 5)
        await rig.idle()
        assert sent(rig.take()) == [b"1"]


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_what_has_the_higher_priority_comes_first_also_when_it_came_last(concurrency: int):
    gate, seen = asyncio.Event(), list[int]()

    async def slow(stream: Any) -> None:
        async for number in stream:
            seen.append(number)
            await gate.wait()

    spec = agent(slow, concurrency=concurrency)
    low = spec.sources[TOPIC]
    urgent = replace(low, topic=TopicSpec("urgent", 1), priority=1)
    async with running(replace(spec, sources={TOPIC: low, "urgent": urgent})) as rig:
        task = rig.tasks[0]
        task._taken[URGENT] = 0
        task._slice_rows = 1
        rig.put(numbers(1))
        await rig.until(lambda: seen == [1])
        rig.put(numbers(*range(2, 200), first=1))
        rig.put(replace(numbers(-1, -2, -3), topic="urgent"))
        gate.set()
        await rig.idle()
        assert sorted(seen) == [-3, -2, -1, *range(1, 200)]
        assert seen.index(-3) < 100
        assert [number for number in seen if number > 0] == sorted(number for number in seen if number > 0)
        assert task.positions() == {SOURCE: 199, URGENT: 3}


async def test_the_task_of_the_higher_priority_has_its_turn_first_and_none_stands_still():
    order: list[str] = []

    def noting(name: str) -> Any:
        async def note(stream: Any) -> None:
            async for _ in stream:
                order.append(name)

        return note

    low, high = agent(noting("low"), "low"), agent(noting("high"), "high")
    high = replace(high, sources={TOPIC: replace(high.sources[TOPIC], priority=1)})
    async with running(low, high) as rig:
        for task in rig.tasks:
            task._slice_rows = 8
        rig.put(numbers(*range(400)))
        await rig.idle()
    assert (order.count("low"), order.count("high")) == (400, 400)
    assert order[-300:] == ["low"] * 300


async def test_nothing_is_taken_ahead_while_paused():
    gate = asyncio.Event()

    async def slow(stream: Any) -> None:
        async for _ in stream:
            await gate.wait()

    async with running(agent(slow)) as rig:
        task = rig.tasks[0]
        assert isinstance(task, AheadTask)
        task._slice_rows = 1
        rig.put(numbers(1))
        await rig.until(lambda: task.handed_out() == {SOURCE: 1})
        rig.put(numbers(2, 3, first=1))
        task.pause()
        assert task.poll(task.lanes[0], 8) is None
        task.resume()
        rig.put(numbers(2, 3, first=1))
        ahead = task.poll(task.lanes[0], 8)
        assert ahead is not None
        assert list(ahead.values) == [2]
