"""Parquet files: what is in them, and that no crash and no second worker doubles a row."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

import pelton
from pelton.batch import TopicPartition
from pelton.connect.contract import SinkBatch, SinkRow
from pelton.connect.parquet import ParquetFiles
from pelton.errors import ConfigurationError, UnavailableError
from pelton.testing import Driver


class Order(msgspec.Struct):
    id: int
    at: datetime
    tags: list[str] = []
    note: str | None = None


SOURCE = TopicPartition("orders", 3)


def batch(*offsets: int, value: Any = None) -> SinkBatch:
    return SinkBatch(SOURCE, [SinkRow(offset, 10.0, f"k{offset}", value or {"n": offset}) for offset in offsets])


def rows(directory: Path) -> list[int]:
    return pl.read_parquet(sorted(directory.glob("*.parquet")))["n"].to_list()


async def test_what_a_file_holds(tmp_path: Path) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    writer = await ParquetFiles(tmp_path).open("sink")
    await writer.write(batch(7, 9, value=Order(1, at, ["a"])))
    (file,) = tmp_path.iterdir()  # noqa: ASYNC240 - a directory of a test
    assert file.name == "orders-00003-00000000000000000007.parquet"
    frame = pl.read_parquet(file)
    assert frame.schema == {
        "id": pl.Int64,
        "at": pl.Datetime("us", "UTC"),
        "tags": pl.List(pl.String),
        "note": pl.Null,
        "_offset": pl.Int64,
        "_key": pl.String,
        "_timestamp": pl.Datetime("ms", "UTC"),
    }
    assert frame.row(0) == (1, at, ["a"], None, 7, "k7", datetime(1970, 1, 1, 0, 0, 10, tzinfo=UTC))


async def test_rows_that_come_again_are_passed_over_however_they_are_cut(tmp_path: Path) -> None:
    files = ParquetFiles(tmp_path)
    await (await files.open("sink")).write(batch(0, 1, 2))
    again = await files.open("sink")
    await again.write(batch(1, 2))
    await again.write(batch(0, 1, 2, 3, 4))
    await again.write(batch(5))
    assert rows(tmp_path) == [0, 1, 2, 3, 4, 5]


async def test_of_two_workers_with_the_same_rows_one_is_too_late(tmp_path: Path) -> None:
    files = ParquetFiles(tmp_path)
    replaced, owner = await files.open("sink"), await files.open("sink")
    await replaced.write(batch(0))
    await owner.write(batch(0, 1, 2))
    await replaced.write(batch(1))  # it knows of its own file only
    await replaced.write(batch(2, 3))
    await owner.write(batch(3, 4))
    assert rows(tmp_path) == [0, 1, 2, 3, 4]


async def test_a_file_that_was_not_finished_is_no_file(tmp_path: Path) -> None:
    (tmp_path / ".orders-00003-00000000000000000000.parquet.1-2.part").write_bytes(b"PAR1 and no end")
    files = ParquetFiles(tmp_path)
    await (await files.open("sink")).write(batch(0, 1))
    assert [file.name for file in files.files(SOURCE)] == ["orders-00003-00000000000000000000.parquet"]
    assert rows(tmp_path) == [0, 1]


@pytest.mark.parametrize("turns", range(0, 40, 5))
def test_no_crash_doubles_or_loses_a_row(tmp_path: Path, turns: int) -> None:
    app = pelton.App("out", topic_partitions=2, agent_retries_max=0)
    numbers = app.topic("numbers", key_type=str, value_type=int)

    @app.sink(ParquetFiles(tmp_path), numbers, batch=4, within=1)
    def row(number: int) -> dict[str, int] | None:
        if number == 13:
            raise ValueError("unlucky")
        return {"n": number} if number % 5 else None

    with Driver(app) as driver:
        for life in range(3):
            driver.send_many(numbers, [(str(n), n) for n in range(life * 20, life * 20 + 20)], settle=False)
            driver.crash(after=turns * (life + 1))
            driver.start()
        driver.advance(10)
        assert sorted(rows(tmp_path)) == [n for n in range(60) if n % 5 and n != 13]
        (letter,) = driver.dead_letters()
        assert letter.value == b"13"


async def test_a_directory_that_is_away_is_waited_for(tmp_path: Path) -> None:
    directory = tmp_path / "there"
    writer = await ParquetFiles(directory).open("sink")
    directory.rmdir()
    with pytest.raises(UnavailableError, match="could not write"):
        await writer.write(batch(0))
    directory.mkdir()
    await writer.write(batch(0))
    assert rows(directory) == [0]


def test_what_cannot_be_written() -> None:
    with pytest.raises(ConfigurationError, match="compression: expected"):
        ParquetFiles("x", compression="rar")


async def test_what_a_dead_worker_was_writing_is_deleted_later(tmp_path: Path) -> None:
    old, new = (tmp_path / f".orders-00003-{offset:020d}.parquet.17-ab.part" for offset in (0, 7))
    for part in (old, new):
        part.write_bytes(b"PAR1")
    long_ago = old.stat().st_mtime - 7200
    os.utime(old, (long_ago, long_ago))
    await ParquetFiles(tmp_path).open("sink")
    assert list(tmp_path.iterdir()) == [new]  # noqa: ASYNC240 - a directory of a test


async def test_old_files_are_deleted_but_not_the_last_of_a_partition(tmp_path: Path) -> None:
    files = ParquetFiles(tmp_path, keep=timedelta(days=1))
    await (await files.open("sink")).write(batch(0, 1))
    await (await files.open("sink")).write(batch(2))
    other = TopicPartition("orders", 4)
    await (await files.open("sink")).write(SinkBatch(other, [SinkRow(0, 10.0, "k", {"n": 100})]))
    for file in tmp_path.iterdir():  # noqa: ASYNC240 - a directory of a test
        os.utime(file, (0, 0))
    await (await files.open("sink")).write(batch(3))
    assert rows(tmp_path) == [3, 100]
    await (await files.open("sink")).write(batch(2, 3, 4))
    assert rows(tmp_path) == [3, 4, 100], "where to go on is known all the same"
    with pytest.raises(ConfigurationError, match="keep: expected more than 0 s"):
        ParquetFiles(tmp_path, keep=0)
