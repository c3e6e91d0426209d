"""What is learnt of a topic that refuses records, and when there is nothing more to learn: then the worker must end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from pelton.clock import SystemClock
from pelton.errors import RecordRefusedError, RecordTooLargeError
from pelton.log.contract import RecordRules, TopicSpec
from pelton.log.sqlite import SqliteLog
from pelton.runtime.acceptance import Acceptance
from pelton.stream.lane import JUDGED, Send

HOUR_MS = 3_600_000
REFUSAL = RecordRefusedError("no", topic="t")


class StrictLog(SqliteLog):
    """A log that asks for timestamps near its clock, as Kafka may."""

    async def record_rules(self, topics: Iterable[str]) -> Mapping[str, RecordRules]:
        return dict.fromkeys(topics, RecordRules(before_ms=30 * 24 * HOUR_MS, after_ms=30 * 24 * HOUR_MS))


@pytest_asyncio.fixture(params=[SqliteLog, StrictLog])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteLog]:
    made: SqliteLog = request.param(tmp_path / "log.db")
    await made.open()
    await made.declare([TopicSpec("t", 2, cleanup_policy="compact")])
    yield made
    await made.close()


def message(*, key: bytes | None = b"k", partition: int | None = None, ahead_ms: int = 0) -> Send:
    return Send("t", partition, key, b"v", SystemClock().time_ms() + ahead_ms, ())


async def refusals(acceptance: Acceptance) -> int:
    """Return how often a refusal teaches anything."""
    count = 0
    while await acceptance.learn(REFUSAL):
        count += 1
        assert count < 100
    return count


async def test_a_refusal_teaches_what_the_topic_asks_for_and_then_no_more(log: SqliteLog) -> None:
    acceptance = Acceptance(log, SystemClock(), {"t": 2})
    await acceptance.learn_sizes(["t"])
    assert acceptance.limits["t"] == acceptance.sizes["t"] > 0
    strict = isinstance(log, StrictLog)
    assert await refusals(acceptance) == (7 if strict else 1)
    assert acceptance.limits["t"] == JUDGED
    acceptance.judge(message(), 2)
    with pytest.raises(RecordRefusedError, match="none of number 2"):
        acceptance.judge(message(partition=2), 2)
    with pytest.raises(RecordTooLargeError):
        acceptance.judge(message(), 1 << 30)
    if strict:
        for ahead_ms, side in ((31, "after"), (-31, "before")):
            with pytest.raises(RecordRefusedError, match=side):
                acceptance.judge(message(ahead_ms=ahead_ms * 24 * HOUR_MS), 2)
    else:
        with pytest.raises(RecordRefusedError, match="without a key"):
            acceptance.judge(message(key=None), 2)


async def test_a_refusal_of_nobody_knows_what_teaches_nothing(log: SqliteLog) -> None:
    acceptance = Acceptance(log, SystemClock(), {"t": 2})
    assert not await acceptance.learn(RecordRefusedError("no"))
    assert not acceptance.limits
