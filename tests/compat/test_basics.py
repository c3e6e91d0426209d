"""What a first afternoon with Faust teaches: agents, timers, channels, sinks, requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from pelton.errors import UserCodeError
from pelton.shell.replies import REPLY_TO
from tests.compat.harness import load, settled, until, values, worker
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.usefixtures("each_log")


async def test_hello_world() -> None:
    program = load("hello_world")
    async with worker(program.app):
        await program.greetings_topic.send(value="hello")
        await until(lambda: program.heard == ["hello"])
        letter = (await until(lambda: program.letters))[0]
    assert isinstance(letter, program.Greeting)
    assert (letter.from_name, letter.to_name) == ("Ada", "Grace")


async def test_sending_from_outside_gives_receipts() -> None:
    program = load("hello_world")
    async with worker(program.app):
        first = await (await program.app.send(program.greetings_topic, value="one", partition=1, timestamp=12.5))
        second = await (await program.app.send("greetings", value="two", partition=1))
        assert (first.topic, first.partition, first.offset, first.timestamp) == ("greetings", 1, 0, 12.5)
        assert second.offset == 1
        told: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        await program.greetings_topic.send(value="three", callback=lambda receipt: told.set_result(receipt.result()))
        assert (await told).topic == "greetings"
        await program.print_greetings.cast("four")
        await until(lambda: sorted(program.heard) == ["four", "one", "three", "two"])


async def test_requests_and_answers() -> None:
    program = load("calculator")
    async with worker(program.app):
        assert await program.add.ask(program.Sum(x=2, y=3)) == 5
        assert await program.double.ask(21, key="k", timeout=PATIENCE_S) == 42
        assert await program.quadruple.ask(3) == 12
        promise = await program.double.ask_nowait(4)
        assert await promise == 8
        assert sorted([answer async for answer in program.double.map([1, 2, 3])]) == [2, 4, 6]
        assert sorted([answer async for answer in program.double.kvmap([("a", 1), ("b", 2)])]) == [2, 4]
        assert await program.double.join([5, 6, 7]) == [10, 12, 14]
        assert await program.add.join([program.Sum(x=1, y=1), program.Sum(x=2, y=2)]) == [2, 4]

        async def numbers() -> AsyncIterator[tuple[str, int]]:
            yield "a", 8
            yield "b", 9

        assert await program.double.kvjoin(numbers()) == [16, 18]
        await program.note.cast("noted")
        await until(lambda: program.log == ["noted"])
        with pytest.raises(TimeoutError, match="no answer"):
            await program.note.ask("never", timeout=0.05)


async def test_an_agent_that_asks_another_here_does_not_wait_for_the_commit_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PELTON_COMMIT_INTERVAL_MS", "60000")
    program = load("calculator")
    async with worker(program.app):
        assert await program.quadruple.ask(3, timeout=60) == 12
        with pytest.raises(UserCodeError, match="was dead-lettered"):
            await program.quadruple.ask("x", timeout=60)


async def test_answers_to_a_topic_that_is_gone_stop_nobody() -> None:
    program = load("calculator")
    async with worker(program.app):
        for _ in range(2):
            await program.double.send(value=1, reply_to="somewhere", correlation_id="the-first")
            await values(program.app, "somewhere", 1)
            await program.app.log_connection.delete_topics(["somewhere"])
        assert await program.double.ask(2, timeout=60) == 4


async def test_answers_directed_elsewhere() -> None:
    program = load("calculator")
    async with worker(program.app):
        await program.double.send(value=1, reply_to=program.answers_topic, correlation_id="the-first")
        await program.double.ask_nowait(2, reply_to=program.collect)
        await until(lambda: len(program.answers) == 2)
    assert {"value": 2, "correlation_id": "the-first", "key": None} in program.answers


async def test_what_an_agent_yields_goes_to_its_sinks() -> None:
    program = load("sinks")
    async with worker(program.app):
        for number in (2, 3):
            await program.numbers_topic.send(key="n", value=number)
        assert sorted(await values(program.app, "squares", 2)) == [4, 9]
        await until(lambda: sorted(program.from_agent) == [4.0, 9.0])
        await until(lambda: sorted(program.from_channel) == [4, 9])
        await until(lambda: sorted(program.late) == [4, 9])
        assert program.called == [4, 9]
        assert program.awaited == [4, 9]


async def test_channels() -> None:
    program = load("channels")
    async with worker(program.app):
        await until(lambda: program.heard == ["by hand"])
        assert await values(program.app, "results", 1) == ["BY HAND"]
        assert await program.double.ask(4) == 8
        await program.double.cast(5)
        await until(lambda: program.doubled == [8, 10])


async def test_bad_events_do_not_stop_an_agent() -> None:
    program = load("calculator")
    async with worker(program.app):
        await program.app.send(program.sums_topic, value=b"{not json", partition=0)
        await program.app.send(program.sums_topic, value=b'{"x": 1}', partition=0)
        assert await program.add.ask(program.Sum(x=1, y=1)) == 2
        await settled(program.app, 1)
        await until(lambda: program.app.statistics().dead_lettered == 2)


async def test_a_request_that_is_dead_lettered_says_so_to_whoever_waits() -> None:
    program = load("calculator")
    async with worker(program.app):
        with pytest.raises(UserCodeError, match="was dead-lettered: TypeError: unsupported operand"):
            await program.double.ask({"no": "number"})
        with pytest.raises(UserCodeError, match="was dead-lettered: DecodeError"):
            await program.quadruple.ask("x")
        with pytest.raises(UserCodeError, match="was dead-lettered: OSError: no file"):
            await program.double.ask("missing")
        await until(lambda: program.app.statistics().dead_lettered == 3)


async def test_a_request_whose_answer_can_go_nowhere_is_handled() -> None:
    program = load("calculator")
    async with worker(program.app):
        for nowhere in (b"no topic!", b"..", b"", b"\xff" * 3, b"x" * 250):
            await program.app.send(program.sums_topic, value=b'{"x": 1, "y": 2}', headers=((REPLY_TO, nowhere),))
        await settled(program.app, 5)
        assert program.app.statistics().dead_lettered == 0
