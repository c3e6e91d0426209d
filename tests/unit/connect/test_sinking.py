"""How a sink is run: batches, what is tried again, and what is dead-lettered."""

from __future__ import annotations

import pelton
from pelton.connect.contract import SinkBatch
from pelton.errors import UnavailableError
from pelton.testing import Driver


class Shelf:
    """A sink that keeps its rows, is away now and then, and takes no thirteen."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.opened: list[str] = []
        self.batches: list[list[int]] = []
        self.closed = 0

    async def open(self, name: str) -> Shelf:
        self.opened.append(name)
        return self

    async def write(self, batch: SinkBatch) -> None:
        if self.away:
            self.away -= 1
            raise UnavailableError("away")
        if any(row.value == 13 for row in batch.rows):
            raise ValueError("thirteen")
        self.batches.append([row.value for row in batch.rows])

    async def close(self) -> None:
        self.closed += 1


def test_rows_come_in_batches_of_a_partition() -> None:
    shelf, app = Shelf(), pelton.App("shelves", topic_partitions=1)
    numbers = app.topic("numbers", key_type=str, value_type=int)
    app.sink(shelf, numbers, batch=4, within=10)
    with Driver(app) as driver:
        driver.send_many(numbers, [(str(n), n) for n in range(10)])
        assert shelf.batches == [[0, 1, 2, 3], [4, 5, 6, 7]]
        driver.advance(11)
        assert shelf.batches[2:] == [[8, 9]]
        assert shelf.opened == ["numbers-shelf"]
    assert shelf.closed == 1


def test_what_is_away_is_waited_for_and_nothing_is_dead_lettered() -> None:
    shelf, app = Shelf(away=7), pelton.App("shelves", topic_partitions=1)
    numbers = app.topic("numbers", key_type=str, value_type=int)
    app.sink(shelf, numbers, within=0.01)
    with Driver(app) as driver:
        driver.send_many(numbers, [(str(n), n) for n in range(3)])
        driver.advance(60)
        assert shelf.batches == [[0, 1, 2]]
        assert driver.dead_letters() == []


def test_of_a_batch_that_fails_only_the_row_that_fails_is_dead_lettered() -> None:
    shelf, app = Shelf(), pelton.App("shelves", topic_partitions=1, agent_retries_max=0)
    numbers = app.topic("numbers", key_type=str, value_type=int)
    app.sink(shelf, numbers, batch=4, within=0.01)
    with Driver(app) as driver:
        driver.send_many(numbers, [(str(n), n) for n in range(11, 17)])
        driver.advance(60)
        assert [n for batch in shelf.batches for n in batch] == [11, 12, 14, 15, 16]
        assert [letter.value for letter in driver.dead_letters()] == [b"13"]
