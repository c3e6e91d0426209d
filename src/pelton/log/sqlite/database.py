"""The file: its tables, its settings, and what SQLite's errors mean here."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from pelton.errors import ConfigurationError, PeltonError, UnavailableError
from pelton.killpoints import step
from pelton.log.sqlite.header import APPLICATION_ID, check_header

__all__ = ["Database", "explaining", "parse_url"]

#: Raised when the tables change; a file with another version is refused.
FORMAT_VERSION = 2
#: How long a writer waits for another process to finish its transaction, in seconds.
_BUSY_S = 15.0
_RETRY_S = 0.001
_SYNCHRONOUS = ("off", "normal", "full")
#: The write-ahead log is copied into the file after so many pages, and cut back to this size when it had to grow.
_CHECKPOINT_PAGES = 1000
WAL_BYTES_MAX = 64 * 1024 * 1024

#: How many connections this process has to each file.
_OPENED: Counter[Path] = Counter()
_OPENING = threading.Lock()

# A row of `batches` is found by its `next`: the first one past an offset holds that offset, or what follows it.
# `reached_ms` is the highest timestamp of the partition up to the end of the row; it never falls: it can be bisected.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS topics (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    partitions INTEGER NOT NULL,
    cleanup_policy TEXT NOT NULL,
    retention_ms INTEGER NOT NULL,
    record_bytes_max INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS log_time (
    topic INTEGER PRIMARY KEY
);
CREATE TABLE IF NOT EXISTS tombstones (
    topic INTEGER PRIMARY KEY,
    kept_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS cleaned (
    topic INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    below INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ranges (
    topic INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    first INTEGER NOT NULL DEFAULT 0,
    next INTEGER NOT NULL DEFAULT 0,
    reached_ms INTEGER NOT NULL DEFAULT 0,
    compacted INTEGER NOT NULL DEFAULT 0,
    live INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY,
    topic INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    base INTEGER NOT NULL,
    next INTEGER NOT NULL,
    reached_ms INTEGER NOT NULL,
    appended_ms INTEGER NOT NULL,
    nbytes INTEGER NOT NULL,
    columns BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS batches_by_next ON batches (topic, partition, next);
CREATE TABLE IF NOT EXISTS positions (
    group_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    PRIMARY KEY (group_id, topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS groups (
    group_id TEXT PRIMARY KEY,
    generation INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS members (
    group_id TEXT NOT NULL,
    member_id TEXT NOT NULL,
    instance_id TEXT,
    address TEXT NOT NULL,
    topics TEXT NOT NULL,
    held TEXT NOT NULL,
    standby_replicas INTEGER NOT NULL,
    session_timeout_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL,
    tasks TEXT NOT NULL DEFAULT '[]',
    standbys TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (group_id, member_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owners (
    group_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    member_id TEXT NOT NULL,
    PRIMARY KEY (group_id, number)
) WITHOUT ROWID;
"""


def parse_url(url: str | Path) -> tuple[Path, str]:
    """Return the file and the synchronous setting of a URL (`sqlite:///path?synchronous=full`) or a plain path.

    Raises: ConfigurationError.
    """
    text = str(url)
    if not text.startswith("sqlite:"):
        return Path(text), "full"
    parts = urlsplit(text)
    if parts.netloc or not parts.path.strip("/"):
        raise ConfigurationError(f"expected sqlite:///path/to/file, got {text!r}", hint="three slashes, then the path")
    settings = parse_qs(parts.query)
    synchronous = settings.pop("synchronous", ["full"])[0].lower()
    if synchronous not in _SYNCHRONOUS:
        raise ConfigurationError(f"synchronous: expected one of {', '.join(_SYNCHRONOUS)}, got {synchronous!r}")
    if settings:
        raise ConfigurationError(f"unknown in {text!r}: {', '.join(settings)}", hint="only synchronous can be set")
    return Path(unquote(parts.path)), synchronous


class Database:
    """One connection, used from one thread at a time. Transactions are begun and ended by hand."""

    def __init__(self, path: Path, synchronous: str) -> None:
        self.path = path
        self._file = path.resolve()
        self._closed = False
        with _OPENING:
            # Never while this process has the file open: closing any descriptor of a file gives up the process' locks
            # on it (POSIX), and the next process to leave would take the write-ahead log away from under us.
            if not _OPENED[self._file]:
                check_header(path)
            _OPENED[self._file] += 1
        try:
            with explaining(path):
                self.connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        except BaseException:
            _OPENED[self._file] -= 1
            raise
        self.execute = self.connection.execute
        self.executemany = self.connection.executemany
        try:
            with explaining(path):
                self._configure(synchronous)
        except BaseException:
            self.close()
            raise

    def _configure(self, synchronous: str) -> None:
        self.execute("PRAGMA page_size = 16384")
        if self._mark() == 0:
            # Before anything else, and before the write-ahead log: from its first page on, the file says whose it is.
            self._insist(f"PRAGMA application_id = {APPLICATION_ID}")
        mode = self._insist("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise ConfigurationError(
                f"{self.path}: this file system allows no write-ahead log (journal mode {mode})",
                hint="use a local disk, not a network share",
            )
        self.execute(f"PRAGMA synchronous = {synchronous}")
        self.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        self.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
        self.execute("PRAGMA cache_size = -16384")

    def _insist(self, statement: str) -> sqlite3.Cursor:
        """Execute a statement that needs the file for itself, waiting for whoever has it.

        SQLite's own wait backs off to 100 ms, while the one in possession begins its next transaction: of three busy
        writers one had a p99 of 240 ms. And it does not wait at all where a file is switched to a write-ahead log.
        """
        deadline = time.monotonic() + _BUSY_S
        self.execute("PRAGMA busy_timeout = 0")
        try:
            while True:
                try:
                    return self.execute(statement)
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                        raise
                time.sleep(_RETRY_S)
        finally:
            self.execute(f"PRAGMA busy_timeout = {_BUSY_S * 1000:.0f}")

    def prepare(self) -> None:
        """Make the tables, or check that the file is ours.

        Raises: ConfigurationError when another version wrote it.
        """
        with explaining(self.path):
            if self._format() == FORMAT_VERSION and self._complete():
                return
        with self.writing():
            if self._format() not in (0, FORMAT_VERSION):
                raise ConfigurationError(
                    f"{self.path}: written by format version {self._format()}, expected {FORMAT_VERSION}",
                    hint="use the pelton version that made the file, or another file",
                )
            for statement in _SCHEMA.split(";"):
                self.execute(statement)
            self.execute(f"PRAGMA user_version = {FORMAT_VERSION}")

    def _complete(self) -> bool:
        """Whether the file has the tables that came later: older versions do without them."""
        later = "SELECT count(*) FROM sqlite_master WHERE name IN ('tombstones', 'cleaned')"
        return bool(self.execute(later).fetchone()[0] == 2)

    def _mark(self) -> int:
        return int(self.execute("PRAGMA application_id").fetchone()[0])

    def _format(self) -> int:
        return int(self.execute("PRAGMA user_version").fetchone()[0])

    def version(self) -> int:
        """Return a number that changes when another connection has written; takes some microseconds."""
        with explaining(self.path):
            return int(self.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def writing(self) -> Generator[None]:
        """Run the body as one transaction: all of it, or nothing when it raises."""
        with explaining(self.path):
            self._begin()
            try:
                yield
                self._commit()
            except BaseException:
                if self.connection.in_transaction:
                    self.execute("ROLLBACK")
                raise

    @step("begin")
    def _begin(self) -> None:
        self._insist("BEGIN IMMEDIATE")

    @step("commit")
    def _commit(self) -> None:
        self.execute("COMMIT")

    @contextmanager
    def reading(self) -> Generator[None]:
        """Run the body's reads against one snapshot."""
        with explaining(self.path):
            self.execute("BEGIN")
            try:
                yield
            finally:
                if self.connection.in_transaction:
                    self.execute("ROLLBACK")

    def checkpoint_if_large(self) -> None:
        """Cut the write-ahead log back when it has outgrown its limit.

        SQLite starts it anew only when a commit finds no reader in it; where readers follow each other without a gap,
        it would grow for ever. This waits for them: those that begin meanwhile read the file itself.
        """
        with explaining(self.path), suppress(FileNotFoundError):
            if self.path.with_name(f"{self.path.name}-wal").stat().st_size > WAL_BYTES_MAX:
                self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def close(self) -> None:
        """Close the connection. Idempotent."""
        with _OPENING:
            self.connection.close()
            _OPENED[self._file] -= not self._closed
            self._closed = True


@contextmanager
def explaining(path: Path) -> Generator[None]:
    """Raise what SQLite raises, or what a damaged row does, as an error of ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(error, path) from error
    except msgspec.MsgspecError as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, text: str) -> ConfigurationError:
    return ConfigurationError(f"{path}: not a log file, or damaged ({text})", hint="restore it from a backup")


def _explain(error: sqlite3.Error, path: Path) -> PeltonError:
    """Return the error of ours that asks for the right reaction."""
    # The low byte is the kind; what lies above it is a detail. Errors of the module itself have none.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            hint = "is one of them stopped?"
            return UnavailableError(f"{path}: another process holds the log for too long ({error})", hint=hint)
        case sqlite3.SQLITE_FULL:
            hint = "free some space; the log goes on by itself"
            return UnavailableError(f"{path}: the disk is full ({error})", hint=hint)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            hint = "check the directory and its permissions"
            return ConfigurationError(f"{path}: cannot be written ({error})", hint=hint)
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return _damaged(path, str(error))
        case _:
            return UnavailableError(f"{path}: {error}")
