"""The embedded log's file: its URL, its rows, and what can be wrong with it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelton.batch import OutgoingBatch
from pelton.errors import ConfigurationError, UnavailableError
from pelton.log.contract import TopicSpec
from pelton.log.sqlite import SqliteLog, blob, database
from pelton.log.sqlite.database import Database, parse_url
from tests.unit.log.scene import SOURCE, SettableClock, batch_of, rows


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///var/log.db", (Path("/var/log.db"), "full")),
        ("sqlite:///a%20b.db?synchronous=NORMAL", (Path("/a b.db"), "normal")),
        ("some/log.db", (Path("some/log.db"), "full")),
        (Path("log.db"), (Path("log.db"), "full")),
    ],
)
def test_urls(url: str | Path, expected: tuple[Path, str]) -> None:
    assert parse_url(url) == expected


@pytest.mark.parametrize(
    "url", ["sqlite://host/log.db", "sqlite://", "sqlite:///", "sqlite:///l?synchronous=2", "sqlite:///l?sync=off"]
)
def test_urls_that_say_nothing_we_know(url: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_url(url)


def no_database(path: Path) -> None:
    path.write_bytes(b"this is a letter to my aunt, and no database at all\n" * 100)


def other_version(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()


def directory(path: Path) -> None:
    path.mkdir()


def file_in_the_way(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("a file where the directory should be")


@pytest.mark.parametrize("spoil", [no_database, other_version, directory, file_in_the_way])
async def test_files_that_cannot_be_a_log(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    path = tmp_path / "data" / "log.db"
    path.parent.mkdir()
    spoil(path)
    before = set(threading.enumerate())
    log = SqliteLog(path)
    with pytest.raises(ConfigurationError) as caught:
        await log.open()
    assert str(path) in str(caught.value)
    await log.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sqlite") and thread not in before]


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """A log in a directory that nobody may write to; only its format is wrong, so that opening has to write."""
    sqlite3.connect(tmp_path / "log.db").close()
    tmp_path.chmod(0o500)
    return tmp_path / "log.db"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_file_that_cannot_be_written(read_only: Path) -> None:
    with pytest.raises(ConfigurationError, match="written"):
        await SqliteLog(read_only).open()


async def test_a_damaged_row_is_named(log: SqliteLog) -> None:
    await log.declare([TopicSpec("t", 1)])
    await log.append([batch_of([(b"a", b"1")])])
    await log.write(lambda db: db.execute("UPDATE batches SET columns = x'c1c1'"))
    with pytest.raises(ConfigurationError, match="damaged"):
        await log.read(SOURCE, 0, bytes_max=100, timeout_s=1)


async def test_a_full_disk_passes(log: SqliteLog) -> None:
    await log.declare([TopicSpec("t", 1)])
    await log.append([batch_of([(b"a", b"1")])])
    writer = log._open.writer
    await writer.run(lambda: writer.db.execute("PRAGMA max_page_count = 20"))
    with pytest.raises(UnavailableError, match="full"):
        await log.append([batch_of([(b"b", bytes(1 << 20))])])
    await writer.run(lambda: writer.db.execute("PRAGMA max_page_count = 1000000"))
    assert await log.append([batch_of([(b"c", b"3")])]) == [1]
    assert await rows(log) == [(0, b"a", b"1"), (1, b"c", b"3")]


async def test_a_writer_that_is_held_up_says_so(
    log: SqliteLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.declare([TopicSpec("t", 1)])
    monkeypatch.setattr(database, "_BUSY_S", 0.05)
    other = Database(tmp_path / "log.db", "off")
    with other.writing(), pytest.raises(UnavailableError, match="another process"):
        await log.append([batch_of([(b"a", b"1")])])
    other.close()
    assert await log.append([batch_of([(b"a", b"1")])]) == [0]


async def test_opened_by_many_at_once(tmp_path: Path) -> None:
    logs = [SqliteLog(tmp_path / "new" / "log.db") for _ in range(8)]
    await asyncio.gather(*(log.open() for log in logs))
    await asyncio.gather(*(log.declare([TopicSpec("t", 2)]) for log in logs))
    await asyncio.gather(*(log.close() for log in logs))


async def test_the_write_ahead_log_is_cut_back_though_there_was_always_a_reader(
    log: SqliteLog, tmp_path: Path, clock: SettableClock
) -> None:
    await log.declare([TopicSpec("t", 1)])
    wal = tmp_path / "log.db-wal"
    readers = [Database(tmp_path / "log.db", "off") for _ in range(2)]

    def look(reader: Database) -> None:
        if reader.connection.in_transaction:
            reader.execute("ROLLBACK")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM topics").fetchone()

    look(readers[0])
    number = 0
    while wal.stat().st_size <= 64 << 20:
        await log.append([batch_of([(b"k", bytes(8 << 20))])])
        number += 1
        look(readers[number % 2])
    for reader in readers:
        reader.close()
    await log.clean(clock.time_ms())
    assert wal.stat().st_size == 0
    assert len(await rows(log)) == number


@given(
    st.lists(st.tuples(st.none() | st.binary(max_size=9), st.none() | st.binary(max_size=9)), max_size=30),
    st.integers(0, 2),
)
def test_rows_of_a_batch_are_the_batch(records: list[tuple[bytes | None, bytes | None]], headers: int) -> None:
    batch = OutgoingBatch("t", 0)
    for index, (key, value) in enumerate(records):
        batch.append(key, value, index, (("name", b"v"),) * headers)
    parts = [blob.decode(blob.encode(one)) for one in blob.split(batch, blob.batch_size(batch))]
    assert [key for part in parts for key in part.keys] == batch.keys
    assert [value for part in parts for value in part.values] == batch.values
    assert [time for part in parts for time in part.timestamps_ms] == batch.timestamps_ms
    if batch.headers is not None:
        assert [one for part in parts for one in part.headers or ()] == batch.headers


@pytest.mark.parametrize("sizes", [[100] * 30_000, [3 << 20] * 3, [1, 3 << 20, 1], [0] * 8193])
def test_rows_are_neither_large_nor_many(sizes: list[int]) -> None:
    batch = OutgoingBatch("t", 0, [None] * len(sizes), [bytes(size) for size in sizes], [0] * len(sizes))
    parts = list(blob.split(batch, blob.batch_size(batch)))
    assert [len(value or b"") for part in parts for value in part.values] == sizes
    for part in parts:
        assert 1 <= len(part.keys) <= blob.ROW_RECORDS_MAX
        assert sum(len(value or b"") for value in part.values[:-1]) < blob.ROW_BYTES_MAX
    few = sum(sizes) / blob.ROW_BYTES_MAX + len(sizes) / blob.ROW_RECORDS_MAX
    assert len(parts) <= 2 * few + 1


def test_another_process_that_leaves_takes_nothing_with_it(tmp_path: Path) -> None:
    """A second connection of this process must not give up the locks of the first one."""
    path = tmp_path / "log.db"
    connections = [Database(path, "full")]
    connections[0].prepare()
    connections.append(Database(path, "full"))
    leave = f"""
from pathlib import Path
from pelton.log.sqlite.database import Database

database = Database(Path({str(path)!r}), "full")
database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
database.close()
"""
    subprocess.run([sys.executable, "-c", leave], check=True)
    assert path.with_name("log.db-wal").exists()
    for connection in connections:
        connection.close()
    assert not path.with_name("log.db-wal").exists()
