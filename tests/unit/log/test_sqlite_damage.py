"""The embedded log's file, damaged for real: refused with a reason, left alone, or gone on with."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from pelton.batch import OutgoingBatch
from pelton.errors import ConfigurationError, PeltonError, UnavailableError
from pelton.log.contract import TopicSpec
from pelton.log.sqlite import SqliteLog
from tests.small_disk import small_disk
from tests.unit.log.scene import SOURCE, batch_of

COMMITS = 20


def numbered(number: int) -> OutgoingBatch:
    return batch_of([(b"k", b"%d" % number + bytes(10_000))])


async def filled(path: Path) -> SqliteLog:
    """Return an open log with some commits of one record each."""
    log = SqliteLog(path)
    await log.open()
    await log.declare([TopicSpec("t", 1)])
    for number in range(COMMITS):
        await log.append([numbered(number)])
    return log


async def numbers(log: SqliteLog) -> list[int]:
    batch = await log.read(SOURCE, 0, bytes_max=1 << 20, timeout_s=0)
    return [int((value or b"").rstrip(b"\0")) for value in batch.values]


async def opened_and_read(path: Path) -> list[int]:
    log = SqliteLog(path)
    try:
        await log.open()
        return await numbers(log)
    finally:
        await log.close()


async def opened_and_written(path: Path) -> None:
    log = SqliteLog(path)
    try:
        await log.open()
        for _ in range(100):
            await log.append([batch_of([(b"big", bytes(1 << 20))])])
    finally:
        await log.close()


@pytest.mark.parametrize("journal", ["delete", "wal"])
async def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path, journal: str) -> None:
    path = tmp_path / "accounts.db"
    connection = sqlite3.connect(path)
    connection.execute(f"pragma journal_mode = {journal}")
    connection.execute("create table customers (name)")
    connection.execute("insert into customers values ('Ada')")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="no log of pelton"):
        await SqliteLog(path).open()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["accounts.db"]


async def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    await (await filled(tmp_path / "log.db")).close()
    connection = sqlite3.connect(tmp_path / "log.db")
    connection.execute("pragma user_version = 999")
    connection.close()
    with pytest.raises(ConfigurationError, match="format version 999"):
        await SqliteLog(tmp_path / "log.db").open()


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
async def test_a_file_that_was_cut_short_is_found_when_it_is_opened(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "log.db"
    await (await filled(path)).close()
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * kept))
    with pytest.raises(ConfigurationError, match="cut short"):
        await SqliteLog(path).open()


@pytest.mark.parametrize("kept", [0.0, 0.2, 0.5, 0.77, 0.99])
async def test_a_torn_write_ahead_log_leaves_whole_commits(tmp_path: Path, kept: float) -> None:
    """What a power cut leaves: some of the commits, each of them whole, and a log that goes on behind them."""
    log = await filled(tmp_path / "log.db")
    (tmp_path / "crash").mkdir()
    for name in ("log.db", "log.db-wal"):
        shutil.copy(tmp_path / name, tmp_path / "crash" / name)
    await log.close()
    wal = tmp_path / "crash" / "log.db-wal"
    with wal.open("r+b") as file:
        file.truncate(int(wal.stat().st_size * kept))
    torn = SqliteLog(tmp_path / "crash" / "log.db")
    await torn.open()
    await torn.declare([TopicSpec("t", 1)])
    left = await numbers(torn)
    assert left == list(range(len(left)))
    assert len(left) < COMMITS
    await torn.append([numbered(len(left))])
    assert await numbers(torn) == list(range(len(left) + 1))
    await torn.close()


async def test_bits_that_flipped_are_an_error_and_no_other_record(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await (await filled(path)).close()
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 2, len(data), 4096):
        data[place : place + 64] = bytes(byte ^ 0xFF for byte in data[place : place + 64])
    path.write_bytes(data)
    with pytest.raises(PeltonError) as caught:
        await opened_and_read(path)
    assert str(path) in str(caught.value)


async def test_a_full_disk_is_told_of_and_passes(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        log = await filled(disk.path / "log.db")
        disk.fill()
        with pytest.raises(UnavailableError, match="full"):
            await opened_and_written(disk.path / "log.db")
        disk.free()
        (base,) = await log.append([numbered(COMMITS)])
        assert (await log.offsets([SOURCE]))[SOURCE].end == base + 1
        await log.close()


async def test_a_read_only_disk_is_told_of(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        await (await filled(disk.path / "log.db")).close()
        disk.make_read_only()
        with pytest.raises(ConfigurationError, match="written"):
            await opened_and_written(disk.path / "log.db")
