"""A log's file copied while it is written, and put back.

The copy is a snapshot of one moment: SQLite's own backup reads all pages within one read transaction, and whoever
writes meanwhile goes on. The copy is checked, and has its name only when it is whole.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pelton.clock import Clock
from pelton.errors import ConfigurationError, UnavailableError
from pelton.log.sqlite.database import Database, explaining
from pelton.log.sqlite.header import check_header
from pelton.log.sqlite.membership import uptime_ms

__all__ = ["Copied", "back_up", "restore"]

_ALL_PAGES = -1


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy holds: topics, offsets that were given out in all partitions, and its size."""

    topics: int
    records: int
    nbytes: int


def back_up(log: Path, copy: Path) -> Copied:
    """Copy a log's file as it is at this moment; return what the copy holds.

    Raises: ConfigurationError when there is no log, the copy exists already, or is damaged; UnavailableError.
    """
    _require(log)
    if copy.exists():
        raise ConfigurationError(f"{copy} exists already", hint="name a new file for each backup")
    partial = copy.with_name(f"{copy.name}.partial")
    partial.unlink(missing_ok=True)
    source = Database(log, "full")
    try:
        with explaining(partial), closing(sqlite3.connect(partial, isolation_level=None)) as target:
            source.connection.backup(target, pages=_ALL_PAGES)
            # Alone in its file: a log that is opened from it has a write-ahead log again.
            target.execute("PRAGMA journal_mode = DELETE")
            found = _checked(target, partial)
    finally:
        source.close()
    _settle(partial, copy)
    return found


def restore(copy: Path, log: Path, clock: Clock) -> Path | None:
    """Put a copy in the place of a log, which no worker may use; return where the file went that was there.

    clock: the machine's, by which members of groups are alive.
    Raises: ConfigurationError when the copy is none, or damaged; UnavailableError while workers are members.
    """
    _require(copy)
    with explaining(copy), closing(sqlite3.connect(f"file:{copy}?mode=ro", uri=True)) as source:
        _checked(source, copy)
    aside = None
    if log.exists():
        _refuse_used(log, clock)
        aside = log.with_name(
            f"{log.name}.before-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(clock.time_ms() / 1000))}"
        )
        log.rename(aside)
    for rest in ("-wal", "-shm"):
        log.with_name(log.name + rest).unlink(missing_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    partial = log.with_name(f"{log.name}.partial")
    shutil.copyfile(copy, partial)
    _settle(partial, log)
    return aside


def _require(path: Path) -> None:
    if not path.is_file():
        raise ConfigurationError(f"there is no log in {path}", hint="see the broker URL: sqlite:///path/to/file")
    check_header(path)


def _checked(connection: sqlite3.Connection, path: Path) -> Copied:
    """Return what a file holds. Raises: ConfigurationError when it is damaged."""
    (state,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if state != "ok":
        raise ConfigurationError(f"{path} is damaged: {state}", hint="take an older backup")
    (topics,) = connection.execute("SELECT count(*) FROM topics").fetchone()
    (records,) = connection.execute("SELECT coalesce(sum(next), 0) FROM ranges").fetchone()
    return Copied(topics, records, path.stat().st_size)


def _refuse_used(log: Path, clock: Clock) -> None:
    """Refuse a log with living members; take all that is in its write-ahead log into the file."""
    database = Database(log, "full")
    try:
        with explaining(log):
            alive = database.execute(
                "SELECT group_id, member_id FROM members WHERE abs(? - seen_ms) <= session_timeout_ms",
                (uptime_ms(clock),),
            ).fetchall()
            if alive:
                raise UnavailableError(
                    f"{log} is in use: {', '.join(f'{member} of {group}' for group, member in alive)}",
                    hint="stop the workers first; one that was killed counts until its session is over",
                )
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        database.close()


def _settle(partial: Path, path: Path) -> None:
    """Give a file that is whole its name, once it is on the disk."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
