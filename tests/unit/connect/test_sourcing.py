"""How a source is run: what is read ahead, what is acknowledged when, and what becomes of errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import pelton
from pelton.connect.contract import SourceBatch, SourceRecord
from pelton.errors import ConfigurationError, UnavailableError
from pelton.testing import Driver


class Counter:
    """A source of numbers, and what it was asked and told, over all of its readers."""

    def __init__(self, end: int, *, size: int = 1, fails_at: Mapping[int, Exception] | None = None) -> None:
        self.end = end
        self.size = size
        self.fails_at = dict(fails_at or {})
        self.opened: list[int] = []
        self.acknowledged: list[int] = []
        self.closed = 0
        self.ahead_max = 0
        self.before_acknowledging: Callable[[int], None] = lambda number: None

    async def open(self, positions: Mapping[str, Any]) -> CounterReader:
        self.opened.append(positions.get("count", 0))
        return CounterReader(self, self.opened[-1])


class CounterReader:
    def __init__(self, counter: Counter, position: int) -> None:
        self.counter = counter
        self.position = position

    async def read(self) -> SourceBatch:
        counter = self.counter
        if (error := counter.fails_at.pop(self.position, None)) is not None:
            raise error
        if self.position >= counter.end:
            await asyncio.Event().wait()
        self.position += 1
        counter.ahead_max = max(counter.ahead_max, self.position - len(counter.acknowledged))
        record = SourceRecord(str(self.position).ljust(counter.size), key=b"a")
        return SourceBatch([record], {"count": self.position})

    async def committed(self, batch: SourceBatch) -> None:
        number = int(batch.records[0].value)
        self.counter.before_acknowledging(number)
        self.counter.acknowledged.append(number)

    async def close(self) -> None:
        self.counter.closed += 1


def application(counter: Counter, **settings: Any) -> pelton.App:
    app = pelton.App("counting", topic_partitions=1, **settings)
    app.source(counter, app.topic("numbers", key_type=str, value_type=str), name="counter")
    return app


def numbers(driver: Driver) -> list[int]:
    return [int(record.value) for record in driver.read("numbers", again=True)]


def test_batches_are_acknowledged_once_they_are_committed_in_order() -> None:
    counter = Counter(20)
    with Driver(application(counter)) as driver:
        driver.settle()
        assert numbers(driver) == list(range(1, 21))
        assert counter.acknowledged == list(range(1, 21))
        assert counter.opened == [0]
    assert counter.closed == 1


def test_what_is_acknowledged_is_in_the_topic() -> None:
    counter, missing = Counter(0), list[int]()
    with Driver(application(counter)) as driver:

        def look(number: int) -> None:
            if len(driver.read("numbers", again=True)) < number:
                missing.append(number)

        driver.stop()
        counter.before_acknowledging, counter.end = look, 50
        driver.start()
        driver.settle()
        assert counter.acknowledged == list(range(1, 51))
    assert missing == []


@pytest.mark.parametrize("turns", range(0, 60, 4))
def test_after_any_crash_it_goes_on_behind_what_is_in_the_topic(turns: int) -> None:
    counter = Counter(5)
    with Driver(application(counter)) as driver:
        driver.settle()
        counter.end = 12
        driver.stop()
        driver.start()
        driver.crash(after=turns)
        there = len(driver.read("numbers", again=True))
        assert set(counter.acknowledged) <= set(range(1, there + 1))  # nothing that could still be lost
        driver.lose_disk()
        driver.start()
        assert counter.opened[-1] == there
        driver.settle()
        assert numbers(driver) == list(range(1, 13))


def test_nothing_is_read_ahead_of_commits_but_what_may_be_staged() -> None:
    counter = Counter(400, size=10_000)
    with Driver(application(counter, commit_bytes_max=1 << 20)) as driver:
        driver.settle()
        assert len(driver.read("numbers")) == 400
    assert counter.ahead_max < 150, "a mebibyte of staged records, and two batches"


def test_a_source_whose_other_side_is_away_is_opened_again_where_it_was() -> None:
    counter = Counter(10, fails_at={0: UnavailableError("away"), 4: UnavailableError("away"), 7: ValueError("odd")})
    with Driver(application(counter)) as driver:
        driver.advance(60)
        assert numbers(driver) == list(range(1, 11))
        assert counter.opened == [0, 0, 4, 7]
        assert driver.dead_letters() == []


def test_a_configuration_that_is_wrong_ends_the_worker() -> None:
    counter = Counter(10, fails_at={3: ConfigurationError("wrong")})
    with pytest.raises(ConfigurationError, match="wrong"), Driver(application(counter)) as driver:
        driver.advance(60)


def test_what_cannot_be_declared() -> None:
    app = pelton.App("counting")
    topic = app.topic("numbers", value_type=str)
    source = app.source(Counter(1), topic)
    assert source.name == "numbers-counter"
    with pytest.raises(ConfigurationError, match="declared twice"):
        app.source(Counter(1), topic)
    with pytest.raises(ConfigurationError, match="expected a topic"):
        app.source(Counter(1), "numbers")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="cannot be the name"):
        app.source(Counter(1), topic, name="a/b")
    with pytest.raises(ConfigurationError, match="expected a plain function"):

        @source
        async def read(record: SourceRecord) -> None: ...
