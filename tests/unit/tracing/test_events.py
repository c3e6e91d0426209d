"""What a task tells of its events, and what their messages carry."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

import pelton
from tests.unit.tracing.tracing_scene import id_of, parent_of, trace_of, traced

_PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_TRACE, _SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
_NOT_KEPT = _PARENT[:-1] + b"0"


def _chain() -> pelton.App:
    """Return an application in which a payment becomes an alert, and that a case."""
    app = pelton.App("chain", topic_partitions=2, agent_retries_max=1)
    payments = app.topic("payments", key_type=str, value_type=int)
    alerts = app.topic("alerts", key_type=str, value_type=int)
    cases = app.topic("cases", key_type=str, value_type=int)

    @app.agent(payments, sink=[alerts], name="fraud")
    async def fraud(stream: pelton.Stream[int]) -> AsyncIterator[int]:
        async for amount in stream:
            yield amount
            if amount < 0:
                raise ValueError("negative")
            yield amount + 1

    @app.agent(alerts, sink=[cases], name="correlate")
    async def correlate(stream: pelton.Stream[int]) -> AsyncIterator[int]:
        async for amount in stream:
            if amount % 2 == 0:
                yield amount

    return app


def test_a_trace_from_payment_to_case() -> None:
    with traced(_chain()) as driver:
        driver.send("payments", "ann", 10, headers={"traceparent": _PARENT, "tracestate": b"a=b"})
        (case,) = driver.read("cases")
        spans = [span for span in driver.spans() if trace_of(span) == _TRACE]
        (paid,) = [span for span in spans if span.name == "process payments"]
        created = [span for span in spans if span.name == "create alerts"]
        judged = [span for span in spans if span.name == "process alerts"]
        (opened,) = [span for span in spans if span.name == "create cases"]
        assert parent_of(paid) == _SPAN
        assert {parent_of(span) for span in created} == {id_of(paid)}
        assert {parent_of(span) for span in judged} == {id_of(span) for span in created}
        assert len(created) == len(judged) == 2
        assert case.headers == {
            "traceparent": f"00-{_TRACE:032x}-{id_of(opened):016x}-01".encode(),
            "tracestate": b"a=b",
        }
        assert dict(paid.attributes or {}) == {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "payments",
            "messaging.destination.partition.id": str(paid.attributes["messaging.destination.partition.id"]),  # type: ignore[index]
            "messaging.consumer.group.name": "chain",
            "messaging.kafka.offset": 0,
            "pelton.agent": "fraud",
        }
        sends = driver.spans("send cases")
        assert [[link.context.span_id for link in span.links] for span in sends] == [[id_of(opened)]]
        assert {parent_of(span) for span in sends} <= {id_of(span) for span in driver.spans("commit")}


def test_slices_are_linked_to_the_traces_of_their_records() -> None:
    with traced(_chain(), events=False) as driver:
        driver.send("payments", "ann", 10, headers={"traceparent": _PARENT})
        driver.send("payments", "bob", 12, headers={"traceparent": _NOT_KEPT})
        driver.send("payments", "eve", 14)
        (first, second, third) = sorted(driver.read("cases"), key=lambda record: record.value)
        assert first.headers == {"traceparent": _PARENT}
        assert second.headers == {"traceparent": _NOT_KEPT}
        assert not third.headers
        slices = driver.spans("process payments")
        assert all(span.parent is None for span in slices)
        assert [link.context.span_id for span in slices for link in span.links] == [_SPAN]


def _sent(ratio: float, crash_after: int | None = None) -> list[tuple[Any, ...]]:
    """Return all cases, of payments some of which come with a context."""
    with traced(_chain(), ratio=ratio) as driver:
        driver.send("payments", "ann", 10, headers={"traceparent": _PARENT})
        driver.send("payments", "bob", 10, headers={"traceparent": _NOT_KEPT})
        payments = [(str(number), number) for number in range(60)]
        driver.send_many("payments", payments, settle=crash_after is None)
        if crash_after is not None:
            driver.crash(after=crash_after)
            driver.restart()
        found = [*driver.read("alerts"), *driver.read("cases")]
        return sorted((one.topic, one.partition, one.offset, one.value, one.headers["traceparent"]) for one in found)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_what_is_sent_is_the_same_each_time(ratio: float) -> None:
    """An event that is handled again sends the same bytes, headers and all (invariant I9)."""
    once = _sent(ratio)
    assert _sent(ratio) == once
    for turns in (3, 8, 13, 21):
        assert _sent(ratio, crash_after=turns) == once
    kept = sum(record[-1].endswith(b"-01") for record in once)
    assert (kept > 3) == (ratio > 0)
    assert (kept < len(once) - 3) == (ratio < 1)


def test_an_event_that_fails_has_one_span_over_all_attempts() -> None:
    with traced(_chain()) as driver:
        driver.send("payments", "ann", -1, headers={"traceparent": _PARENT})
        driver.send("payments", "ann", b"no number", headers={"traceparent": _PARENT})
        driver.advance(timedelta(seconds=5))
        assert len(driver.dead_letters()) == 2
        failed, undecoded = driver.spans("process payments")
        assert [event.name for event in failed.events] == ["exception"] * 3  # two attempts, and the end
        assert failed.status.description == "ValueError: negative"
        assert undecoded.status.description is not None
        assert undecoded.status.description.startswith("DecodeError")
        assert not driver.spans("create alerts")


def test_the_code_of_an_event_runs_within_its_span() -> None:
    app = pelton.App("inner", topic_partitions=1)
    numbers = app.topic("numbers", key_type=str, value_type=int)
    doubled = app.topic("doubled", key_type=str, value_type=int)
    seen: list[int] = []

    @app.agent(numbers, concurrency=2, name="inside")
    async def inside(stream: pelton.Stream[int]) -> None:
        async for _ in stream:
            seen.append(trace.get_current_span().get_span_context().span_id)

    async def double(value: int) -> int:
        seen.append(trace.get_current_span().get_span_context().span_id)
        return value * 2

    @app.agent(numbers, sink=[doubled], name="calls")
    async def calls(stream: pelton.Stream[int]) -> AsyncIterator[int]:
        async for result in stream.map_async(double):
            yield result

    with traced(app) as driver:
        driver.send("numbers", "one", 1)
        (record,) = driver.read("doubled")
        spans = {span.attributes["pelton.agent"]: span for span in driver.spans("process numbers")}  # type: ignore[index]
        (call,) = driver.spans("call double")
        assert sorted(seen) == sorted([id_of(spans["inside"]), id_of(call)])
        assert parent_of(call) == id_of(spans["calls"])
        assert trace_of(spans["inside"]) == trace_of(spans["calls"])  # of one record, whoever reads it
        (created,) = driver.spans("create doubled")
        assert record.headers["traceparent"].split(b"-")[2] == f"{id_of(created):016x}".encode()


def test_what_is_gathered_carries_no_trace() -> None:
    """Which events share a batch is chance, and what is sent must not depend on that (invariant I9)."""
    app = pelton.App("gathered", topic_partitions=1)
    numbers = app.topic("numbers", key_type=str, value_type=int)
    sums = app.topic("sums", key_type=str, value_type=int)

    @app.agent(numbers, sink=[sums], name="total")
    async def total(stream: pelton.Stream[int]) -> AsyncIterator[int]:
        async for batch in stream.batches():
            yield sum(batch.values)

    with traced(app) as driver:
        driver.send_many("numbers", [("k", number) for number in range(5)])
        assert not any(record.headers for record in driver.read("sums"))
        assert [span.attributes["messaging.batch.message_count"] for span in driver.spans("process numbers")] == [5]  # type: ignore[index]


def test_a_request_lasts_until_its_answer_and_is_part_of_the_event() -> None:
    app = pelton.App("asks", topic_partitions=1)
    questions = app.topic("questions", key_type=str, value_type=int)

    @app.agent(app.topic("squares", value_type=int), name="square")
    async def square(stream: pelton.Stream[int]) -> AsyncIterator[int]:
        async for value in stream:
            yield value * value

    @app.agent(questions, name="asks")
    async def asks(stream: pelton.Stream[int]) -> None:
        async for value in stream:
            await square.ask(value, key="k")

    with traced(app) as driver:
        driver.send("questions", "k", 3, headers={"traceparent": _PARENT})
        driver.advance(1)
        (asked,) = driver.spans("process questions")
        (ask,) = [span for span in driver.spans() if span.name.startswith("ask ")]
        (send,) = [span for span in driver.spans("send squares") if parent_of(span) == id_of(ask)]
        (answered,) = driver.spans("process squares")
        assert parent_of(ask) == id_of(asked)
        assert parent_of(answered) == id_of(send)
        assert trace_of(answered) == _TRACE


def test_a_request_that_nobody_waits_for_any_more_ends_too() -> None:
    """Its span is the parent of others, which would hang in the air."""
    app = pelton.App("waits", topic_partitions=1)
    questions = app.topic("questions", key_type=str, value_type=str)
    silent = app.agent(app.topic("silence", value_type=str), name="silent")(_say_nothing)

    @app.agent(questions, name="asks")
    async def asks(stream: pelton.Stream[str]) -> None:
        async for value in stream:
            if value == "wait":
                with pytest.raises(TimeoutError):
                    await silent.ask(value, key="k", timeout=5)
            else:
                await silent.ask_nowait(value, key="k")

    with traced(app) as driver:
        driver.send("questions", "k", "wait")
        driver.advance(10)
        (ask,) = driver.spans("ask agent silent")
        assert ask.status.status_code is StatusCode.ERROR
        assert ask.attributes is not None
        assert ask.attributes["error.type"] == "RequestTimeoutError"
        driver.send("questions", "k", "forget")
        driver.advance(1)
        gc.collect()
        driver.advance(1)
        _, forgotten = driver.spans("ask agent silent")
        assert forgotten.status.status_code is StatusCode.UNSET
        asks_ = {id_of(span) for span in driver.spans("ask agent silent")}
        assert {parent_of(span) for span in driver.spans("send silence")} == asks_


async def _say_nothing(stream: pelton.Stream[str]) -> AsyncIterator[str]:
    async for _ in stream.filter(lambda _: False):
        yield ""
