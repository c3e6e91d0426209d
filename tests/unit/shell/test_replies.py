"""Promises of answers, what reads the answers, and many requests at a time."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.errors import RequestTimeoutError, UnavailableError, UserCodeError
from pelton.log.sqlite import SqliteLog
from pelton.shell.replies import CORRELATION_ID, Replies, ReplyPromise, fan_out

TOPIC = "app-replies"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    log = SqliteLog(f"sqlite:///{tmp_path / 'log.sqlite'}?synchronous=off")
    await log.open()
    yield log
    await log.close()


@pytest.fixture
async def replies(log: SqliteLog) -> AsyncIterator[Replies]:
    replies = Replies(lambda: log, TOPIC, 60_000)
    yield replies
    await replies.stop()


async def answer(log: SqliteLog, *answers: Any, mark: bool = True) -> None:
    """Append answers, objects or raw bytes; mark: whether a header says whose they are."""
    batch = OutgoingBatch(TOPIC, 0)
    for one in answers:
        data = one if isinstance(one, bytes) else msgspec.json.encode(one)
        marked = mark and isinstance(one, dict)
        batch.append(None, data, 1_000, ((CORRELATION_ID, one["correlation_id"].encode()),) if marked else ())
    await log.append([batch])


@pytest.mark.parametrize("mark", [True, False])
async def test_the_first_answer_counts_and_what_is_no_answer_disturbs_nobody(
    log: SqliteLog, replies: Replies, mark: bool
) -> None:
    one, two = await replies.expect("one"), await replies.expect("two")
    await answer(log, b"{", b"[]", b'"x"', {"correlation_id": "of another process", "value": 0}, mark=mark)
    await answer(log, {"correlation_id": "one", "value": 1}, {"correlation_id": "one", "value": 2}, mark=mark)
    await answer(log, {"correlation_id": "two", "value": None, "error": "ValueError: no"}, mark=mark)
    assert await one.wait(10) == 1
    with pytest.raises(UserCodeError, match="request two was dead-lettered: ValueError: no"):
        await two


async def test_an_answer_from_before_the_first_request_is_not_read(log: SqliteLog, tmp_path: Path) -> None:
    earlier = Replies(lambda: log, TOPIC, 60_000)
    await earlier.expect("one")
    await answer(log, {"correlation_id": "one", "value": "old"})
    await earlier.stop()
    replies = Replies(lambda: log, TOPIC, 60_000)
    promise = await replies.expect("one")
    await answer(log, {"correlation_id": "one", "value": "new"})
    assert await promise.wait(10) == "new"
    await replies.stop()


async def test_a_promise_that_nobody_holds_is_forgotten(replies: Replies) -> None:
    promise = await replies.expect("one", "agent slow")
    with pytest.raises(TimeoutError, match=r"no answer within 0\.01 s from agent slow to request one") as caught:
        await promise.wait(0.01)
    assert isinstance(caught.value, RequestTimeoutError)
    assert isinstance(caught.value, UnavailableError)
    assert caught.value.hint
    assert list(replies._promises) == ["one"]  # it may be waited for again
    del promise, caught
    gc.collect()
    assert list(replies._promises) == []


async def test_answers_that_retention_took_are_passed_over(log: SqliteLog, replies: Replies) -> None:
    await replies.expect("none")
    await answer(log, *({"correlation_id": "other", "value": n} for n in range(3)))
    before = replies._reader
    assert before is not None
    before.cancel()
    await asyncio.gather(before, return_exceptions=True)
    replies._reader = asyncio.create_task(replies._read(log, TopicPartition(TOPIC, 0), 99))  # past all there is
    promise = await replies.expect("one")
    await answer(log, {"correlation_id": "one", "value": 1})
    assert await promise.wait(20) == 1


async def test_a_request_that_cannot_be_sent_fails() -> None:
    promise = ReplyPromise(TOPIC, "one")
    receipt: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    promise.sent(receipt)
    receipt.set_exception(UnavailableError("no log"))
    with pytest.raises(UnavailableError, match="no log"):
        await promise


async def test_no_more_requests_are_under_way_than_may_be() -> None:
    due: dict[int, ReplyPromise] = {}
    most = 0

    async def ask(item: int) -> ReplyPromise:
        nonlocal most
        due[item] = ReplyPromise(TOPIC, str(item))
        most = max(most, len(due))
        return due[item]

    async def numbers() -> AsyncIterator[int]:
        for number in range(100):
            yield number

    async def answer_all() -> None:
        while True:
            await asyncio.sleep(0)
            if due:
                number = max(due)
                due.pop(number).fulfill(number * 10)

    answering = asyncio.create_task(answer_all())
    found = [one async for one in fan_out(numbers(), ask, 10, 5)]
    answering.cancel()
    assert sorted(found) == [(number, number * 10) for number in range(100)]
    assert most == 5


async def test_the_first_failure_ends_the_fan_out_and_what_is_under_way() -> None:
    promises = [ReplyPromise(TOPIC, str(number)) for number in range(3)]
    asked: list[int] = []

    async def ask(item: int) -> ReplyPromise:
        asked.append(item)
        return promises[item]

    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            yield number
        raise AssertionError("the items are at their end only after the failure")

    promises[1].fail(UserCodeError("no"))
    before = asyncio.all_tasks()
    with pytest.raises(UserCodeError, match="no"):
        async for _ in fan_out(numbers(), ask, None, 2):
            pass
    assert asked == [0, 1]
    assert asyncio.all_tasks() == before
