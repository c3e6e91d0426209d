"""What `stream.map_async` offers besides order: caches, limits, times, processors, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
import pytest

from pelton.backoff import Backoff
from pelton.clock import Clock, SystemClock
from pelton.errors import ConfigurationError
from pelton.runtime.ahead import AheadTask
from pelton.stream.call_cache import CallCache
from pelton.stream.call_limits import RateLimit, TokenBucket
from pelton.stream.stream import Feed, Stream
from tests.unit.runtime.task_rig import Rig, add, agent, lane, letters, numbers, send, sent
from tests.unit.stream.feeding import Program, a_stream

CALLS = "calls"


class CallingProgram(Program):
    """A program whose operators have a table of their own."""

    def operator_table(self, stream: Stream[Any], name: str) -> str:
        return CALLS


class Outside:
    """A service: what was asked of it, and what it waits for."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self, number: int) -> int:
        self.asked.append(number)
        await self.gate.wait()
        return number * 10


@asynccontextmanager
async def calling(
    function: Callable[[Any], Any], *, retries: int = 0, before: Rig | None = None, clock: Clock | None = None
) -> AsyncIterator[Rig]:
    """Run an agent whose function gets a stream, and yields what goes to "out"."""

    def run(stream: Any) -> Any:
        stream.program = CallingProgram()
        return function(stream)

    rig = Rig(agent(run), tables=[CALLS], retries=retries, before=before, clock=clock)
    for task in rig.tasks:
        task.start()
    try:
        yield rig
    finally:
        for task in rig.tasks:
            await task.cancel()


def answers(ask: Callable[[Any], Awaitable[Any]], **options: Any) -> Callable[[Any], Any]:
    """Return an agent's function that yields the results of calls."""

    async def function(stream: Any) -> Any:
        async for result in stream.map_async(ask, **options):
            yield result

    return function


def rows(rig: Rig) -> list[bytes]:
    return [key for key, _ in rig.partition.store.scan(CALLS, b"e", b"f")]


async def test_what_was_asked_before_is_not_asked_again_also_after_a_restart():
    outside = Outside()
    function = answers(outside.ask, cache=True, order="log")
    async with calling(function) as rig:
        assert sent(await rig.done(numbers(7, 8, 7))) == [b"70", b"80", b"70"]
        assert sorted(outside.asked) == [7, 8]
    async with calling(function, before=rig) as rig:
        assert sent(await rig.done(numbers(8, 9, first=3))) == [b"80", b"90"]
    assert sorted(outside.asked) == [7, 8, 9]


async def test_the_same_content_under_way_is_one_call():
    outside = Outside()
    outside.gate.clear()
    async with calling(answers(outside.ask, cache=CallCache(by=lambda number: number % 2), order="none")) as rig:
        rig.put(numbers(1, 3, 5, 2, keys=[b"a", b"b", b"c", b"d"]))
        await rig.until(lambda: len(outside.asked) == 2)
        outside.gate.set()
        await rig.idle()
        assert sorted(sent(rig.take())) == [b"10", b"10", b"10", b"20"]
        assert rows(rig) == []
    assert len(outside.asked) == 2


async def test_a_cache_forgets_what_came_first_and_what_is_too_old_in_event_time():
    outside = Outside()
    async with calling(answers(outside.ask, cache=CallCache(entries=2), order="log")) as rig:
        for offset, number in enumerate([1, 2, 3, 1, 3]):
            await rig.done(numbers(number, first=offset))
        assert outside.asked == [1, 2, 3, 1]
    outside = Outside()
    async with calling(answers(outside.ask, cache=CallCache(expires=0.002), order="log")) as rig:
        for offset in range(4):  # at 1000, 1001, 1002 and 1003 ms
            await rig.done(numbers(1, first=offset))
        assert outside.asked == [1, 1]


async def test_a_content_that_cannot_be_told_apart_is_a_clear_error():
    outside = Outside()
    async with calling(answers(outside.ask, cache=CallCache(by=lambda _: object()))) as rig:
        with pytest.raises(ConfigurationError, match="cannot tell contents of object apart"):
            await rig.done(numbers(1))


@pytest.mark.parametrize("order", ["key", "log", "none"])
async def test_a_content_that_cannot_be_had_costs_its_event_alone(order: str):
    outside = Outside()
    contents: dict[int, Any] = {1: "one", 2: 1 << 70, 4: "four"}  # of 3 there is none, and that of 2 has too many bits
    cache = CallCache(by=contents.__getitem__)
    async with calling(answers(outside.ask, cache=cache, order=order)) as rig:
        staged = await rig.done(numbers(1, 2, 3, 4))
        assert sent(staged) == [b"10", b"40"]
        assert letters(staged) == [(1, "agent", "agent"), (2, "agent", "agent")]
        assert dict(staged.sends[-1].headers)["pelton-dlq-attempts"] == b"1"
    assert outside.asked == [1, 4]


async def test_an_attempt_takes_so_long_and_no_longer_and_is_tried_again():
    tried: list[int] = []

    async def slow_at_first(number: int) -> int:
        tried.append(number)
        if len(tried) == 1:
            await asyncio.Event().wait()
        return number

    retries = Backoff(retries=1, first=0, retry_on=TimeoutError)
    async with calling(answers(slow_at_first, timeout=0.001, retries=retries)) as rig:
        assert sent(await rig.done(numbers(5))) == [b"5"]
    assert tried == [5, 5]


async def test_a_call_that_is_given_up_costs_its_event_alone():
    async def ask(number: int) -> int:
        if number % 2:
            raise ValueError(f"{number} is odd")
        return number

    async with calling(answers(ask, retries=Backoff(retries=2, first=0), order="log")) as rig:
        staged = await rig.done(numbers(1, 2, 3, 4))
        assert sent(staged) == [b"2", b"4"]
        assert letters(staged) == [(0, "agent", "agent"), (2, "agent", "agent")]
        assert dict(staged.sends[-1].headers)["pelton-dlq-attempts"] == b"3"


async def test_a_letter_waits_until_the_position_has_passed_its_event():
    gate = asyncio.Event()

    async def ask(number: int) -> int:
        if number == 1:
            await gate.wait()
            return number
        raise ValueError("two fails")

    async with calling(answers(ask, retries=0, order="none")) as rig:
        rig.put(numbers(1, 2))
        await rig.until(lambda: rig.tasks[0].dead_lettered == 1)
        assert rig.partition.stage(0) is None
        assert not rig.partition.staged
        gate.set()
        await rig.idle()
        assert letters(rig.take()) == [(1, "agent", "agent")]


async def test_a_function_that_is_not_async_ends_the_agent_with_a_hint():
    async with calling(answers(lambda number: number)) as rig:  # type: ignore[arg-type,return-value]
        with pytest.raises(ConfigurationError, match="is not async"):
            await rig.done(numbers(1))


async def test_results_are_what_the_function_says_they_are():
    class Point(msgspec.Struct):
        x: int

    async def typed(number: int) -> Point:
        return Point(number)

    async def untyped(number: int):
        return Point(number)

    async def unwritable(number: int):
        return object()

    seen: list[Any] = []
    for ask in (typed, untyped):

        async def function(stream: Any, ask: Any = ask) -> Any:
            async for value, result in stream.map_async(ask, result_type=Point if ask is typed else None).pairs():
                seen.append((value, result))
                yield value

        async with calling(function) as rig:
            await rig.done(numbers(1))
    assert seen == [(1, Point(1)), (1, {"x": 1})]
    async with calling(answers(unwritable)) as rig:
        staged = await rig.done(numbers(1))
        assert letters(staged) == [(0, "agent", "agent")]
        assert b"cannot be recorded" in dict(staged.sends[0].headers)["pelton-dlq-error"]


async def test_processors_come_first_and_what_they_send_belongs_to_their_event():
    gate = asyncio.Event()

    async def ask(number: int) -> int:
        if number == 10:
            await gate.wait()
        return number

    def halved(number: int) -> int:
        send(number, "seen")
        return number // 2

    async def function(stream: Any) -> Any:
        stream.add_processor(halved)
        stream.filter(lambda number: number != 2)
        async for key, result in stream.map_async(ask, order="none").items():
            assert key == str(result)
            yield result

    async with calling(function) as rig:
        rig.put(numbers(20, 4, 6, keys=[b"10", b"2", b"3"]))
        await rig.until(lambda: len(rig.partition.sends) == 3)
        first = rig.take()
        assert (sent(first, "seen"), sent(first)) == ([b"4", b"6"], [b"3"])
    gate.set()
    async with calling(function, before=rig) as rig:
        rig.put(numbers(20, 4, 6, keys=[b"10", b"2", b"3"]))
        await rig.idle()
        second = rig.take()
        assert (sent(second, "seen"), sent(second)) == ([b"20"], [b"10"])
        assert rows(rig) == []


async def test_a_processor_that_writes_a_table_is_refused():
    async def function(stream: Any) -> Any:
        stream.add_processor(lambda number: add(b"all", number))
        async for result in stream.map_async(Outside().ask):
            yield result

    async with calling(function) as rig:
        with pytest.raises(ConfigurationError, match="before map_async wrote to a table"):
            await rig.done(numbers(1))


async def test_a_function_is_at_no_event():
    lanes: list[Any] = []

    async def ask(number: int) -> int:
        from pelton.stream.lane import CURRENT_LANE  # noqa: PLC0415

        lanes.append(CURRENT_LANE.get())
        return number

    async with calling(answers(ask)) as rig:
        await rig.done(numbers(1))
    assert lanes == [None]


async def test_code_that_leaves_the_loop_has_completed_its_event_and_no_other():
    outside = Outside()
    left: list[int] = []

    async def function(stream: Any) -> Any:
        async for result in stream.map_async(outside.ask, order="log"):
            yield result
            if result == 20:
                left.append(result)
                return

    async with calling(function) as rig:
        assert sent(await rig.done(numbers(1, 2, 3, 4))) == [b"10", b"20", b"30", b"40"]
        assert rows(rig) == []
    assert left == [20]
    assert sorted(outside.asked) == [1, 2, 3, 4], "calls that were under way are not made again"


async def test_no_more_is_taken_ahead_than_there_is_room_for():
    outside = Outside()
    outside.gate.clear()
    async with calling(answers(outside.ask, concurrency=2, order="none")) as rig:
        rig.put(numbers(*range(1_000)))
        await rig.until(lambda: len(outside.asked) == 2)
        for _ in range(50):
            await asyncio.sleep(0)
        task = rig.tasks[0]
        assert len(task.lanes[0].held) == 16
        assert len(outside.asked) == 2
        outside.gate.set()
        await rig.idle()
        assert len(sent(rig.take())) == 1_000


@pytest.mark.parametrize(("order", "restart"), [("key", False), ("none", True)])
async def test_no_more_is_done_behind_a_call_that_hangs_than_may_be_marked(order: str, restart: bool):
    count = 12_000
    keys = [b"%d" % number for number in range(count)]
    gates = {0: asyncio.Event(), 9_000: asyncio.Event()}

    async def ask(number: int) -> int:
        if number in gates:
            await gates[number].wait()
        return number

    async def at_rest(rig: Rig) -> int:
        """Let it do all it will, and return how many events that was since the last commit."""
        before = -1
        while before != (before := len(rig.partition.sends)):
            for _ in range(200):
                await asyncio.sleep(0)
        return before

    async def go_on(rig: Rig, done: int) -> list[bytes | None]:
        assert await at_rest(rig) == 0
        gates[0].set()
        assert await at_rest(rig) == count - done - 1, "a mark counts no more once the position has passed it"
        gates[9_000].set()
        await rig.idle()
        staged = rig.take()
        assert rows(rig) == []
        return sent(staged)

    function = answers(ask, concurrency=3, order=order)
    async with calling(function) as rig:
        rig.put(numbers(*range(count), keys=keys))
        assert 9_500 < await at_rest(rig) < 10_500
        done = sent(rig.take())
        assert len(rows(rig)) == len(done)
        if not restart:
            done += await go_on(rig, len(done))
    if restart:
        async with calling(function, before=rig) as rig:
            rig.put(numbers(*range(count), keys=keys))
            done += await go_on(rig, len(done))
    assert sorted(int(number or b"") for number in done) == list(range(count))


async def test_a_stop_lets_calls_come_to_their_end_and_cancels_those_that_do_not():
    quick, never = asyncio.Event(), asyncio.Event()
    cancelled: list[int] = []

    async def ask(number: int) -> int:
        try:
            await (quick if number == 1 else never).wait()
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    async with calling(answers(ask, order="log")) as rig:
        rig.put(numbers(1, 2, keys=[b"a", b"b"]))
        await rig.until(lambda: len(rig.tasks[0].lanes[0].held) == 2)
        asyncio.get_running_loop().call_soon(quick.set)
        await rig.tasks[0].stop(0.1)
        staged = rig.take()
        assert sent(staged) == []
        assert len(rows(rig)) == 1, "what came back in time is recorded"
    assert cancelled == [2]


async def test_an_event_sees_the_tables_as_those_of_its_key_before_left_them():
    seen: list[int] = []

    async def ask(number: int) -> int:
        seen.append(int(rig.partition.caches["sums"].get(b"k") or 0))
        return number

    async def function(stream: Any) -> Any:
        async for result in stream.map_async(ask, order="key"):
            add(b"k", result)
            yield result

    async with calling(function) as rig:
        await rig.done(numbers(1, 2, 3))
    assert seen == [0, 1, 3]


async def test_events_have_the_result_for_their_value():
    async def function(stream: Any) -> Any:
        async for event in stream.map_async(Outside().ask).events():
            assert lane().key == event.key == "k"
            yield event.value

    async with calling(function) as rig:
        assert sent(await rig.done(numbers(4))) == [b"40"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: {"order": "time"},
        lambda: {"concurrency": 0},
        lambda: {"timeout": 0},
        lambda: {"rate_limit": 0},
        lambda: {"rate_limit": RateLimit(1, burst=0)},
        lambda: {"cache": 7},
        lambda: {"cache": CallCache(entries=0)},
        lambda: {"cache": CallCache(expires=0)},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: Callable[[], dict[str, Any]]) -> None:
    stream = a_stream()[0]
    with pytest.raises(ConfigurationError):
        stream.map_async(Outside().ask, **wrong())


async def test_a_channel_is_refused() -> None:
    stream = a_stream()[0]
    stream.feed = cast(Feed, object())  # one that lets its lane take nothing ahead
    with pytest.raises(ConfigurationError, match="needs an agent over a topic"):
        async for _ in stream.map_async(Outside().ask):
            pass


def test_a_token_bucket_spreads_calls_evenly_and_lets_a_burst_through() -> None:
    bucket = TokenBucket(RateLimit(10))
    assert [round(bucket.reserve_s(5.0), 3) for _ in range(4)] == [0, 0.1, 0.2, 0.3]
    assert bucket.reserve_s(9.0) == 0
    burst = TokenBucket(RateLimit(60, per=60, burst=3))
    assert [round(burst.reserve_s(0.0), 3) for _ in range(5)] == [0, 0, 0, 1, 2]


def test_a_turn_that_is_given_back_is_the_next_one_taken_until_it_is_over() -> None:
    bucket = TokenBucket(RateLimit(1))
    assert [bucket.reserve_s(0.0) for _ in range(4)] == [0, 1, 2, 3]
    bucket.give_back(2.0)
    bucket.give_back(1.0)
    assert [bucket.reserve_s(0.5) for _ in range(3)] == [0.5, 1.5, 3.5], "never two calls in one turn"
    bucket.give_back(4.0)
    assert bucket.reserve_s(4.5) == 0.5
    burst = TokenBucket(RateLimit(1, burst=3))
    assert [burst.reserve_s(0.0) for _ in range(5)] == [0, 0, 0, 1, 2]
    burst.give_back(2.0)
    burst.give_back(1.0)
    assert [burst.reserve_s(3.0) for _ in range(4)] == [0, 0, 0, 1]


async def test_a_wait_for_the_rate_limit_that_is_cancelled_takes_no_turn() -> None:
    bucket = TokenBucket(RateLimit(1, per=3_600))
    outside = Outside()

    class Limited(CallingProgram):
        def call_bucket(self, stream: Any, table: str, limit: Any) -> TokenBucket:
            return bucket

    async def function(stream: Any) -> Any:
        stream.program = Limited()
        async for result in stream.map_async(outside.ask, rate_limit=1, order="none"):
            yield result

    class Standing(SystemClock):
        """A clock that stands still, in which nobody's turn comes."""

        def __init__(self) -> None:
            self.sleepers = 0

        def monotonic(self) -> float:
            return 0.0

        async def sleep(self, delay_s: float) -> None:
            self.sleepers += delay_s > 60
            await asyncio.Event().wait()

    clock = Standing()
    async with calling(function, clock=clock) as rig:
        rig.put(numbers(1, 2, 3))
        await rig.until(lambda: clock.sleepers == 2)
    assert outside.asked == [1]
    assert bucket.reserve_s(0.0) == 3_600, "the turns of the two that waited are free"


async def test_a_rate_limit_holds_for_attempts() -> None:
    reserved: list[float] = []

    class Bucket(TokenBucket):
        def reserve_s(self, now_s: float) -> float:
            reserved.append(super().reserve_s(now_s))
            return reserved[-1]

    class Limited(CallingProgram):
        def call_bucket(self, stream: Any, table: str, limit: Any) -> TokenBucket:
            return Bucket(limit)

    async def function(stream: Any) -> Any:
        stream.program = Limited()
        async for result in stream.map_async(Outside().ask, rate_limit=1_000, order="none"):
            yield result

    async with calling(function) as rig:
        await rig.done(numbers(1, 2, 3, keys=[b"a", b"b", b"c"]))
    assert len(reserved) == 3
    assert sorted(reserved)[-1] > 0.0005


async def test_a_call_that_is_cancelled_before_its_first_step_leaves_no_warning(recwarn: pytest.WarningsRecorder):
    begun: list[int] = []

    async def ask(number: int) -> int:
        begun.append(number)
        return number

    async with calling(answers(ask)) as rig:
        (task,) = rig.tasks
        assert isinstance(task, AheadTask)
        spawned = task.spawn(ask(1), "call")
        await task.cancel()
        assert spawned.cancelled()
    del rig, task, spawned
    gc.collect()
    assert begun == []
    assert [str(one.message) for one in recwarn] == []
