"""The file: its tables, its settings, and what SQLite's errors mean here."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from pelton.errors import ConfigurationError, PeltonError, StateCorruptedError, UnavailableError

__all__ = ["Database", "connect", "explain", "parse_url"]

#: Raised when the tables change; a file with another version is refused.
FORMAT_VERSION = 1
#: How long a writer waits for another process to finish its transaction, in seconds.
_BUSY_S = 15.0
_SYNCHRONOUS = ("off", "normal", "full")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS topics (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    partitions INTEGER NOT NULL,
    cleanup_policy TEXT NOT NULL,
    retention_ms INTEGER NOT NULL,
    record_bytes_max INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS ranges (
    topic INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    first INTEGER NOT NULL DEFAULT 0,
    next INTEGER NOT NULL DEFAULT 0,
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
    last_timestamp_ms INTEGER NOT NULL,
    appended_ms INTEGER NOT NULL,
    nbytes INTEGER NOT NULL,
    columns BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS batches_by_offset ON batches (topic, partition, base);
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
    """Return the file and the synchronous setting of a URL (`sqlite:///path?synchronous=full`) or a plain path."""
    text = str(url)
    if not text.startswith("sqlite:"):
        return Path(text), "full"
    parts = urlsplit(text)
    synchronous = parse_qs(parts.query).get("synchronous", ["full"])[0].lower()
    if synchronous not in _SYNCHRONOUS:
        raise ConfigurationError(f"synchronous: expected one of {', '.join(_SYNCHRONOUS)}, got {synchronous!r}")
    return Path(unquote(parts.path)), synchronous


def connect(path: Path, synchronous: str) -> sqlite3.Connection:
    """Open a connection with our settings. Transactions are begun and ended by hand."""
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA page_size = 16384")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA wal_autocheckpoint = 1000")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("PRAGMA cache_size = -16384")
    return connection


class Database:
    """One connection, used from one thread at a time."""

    def __init__(self, path: Path, synchronous: str) -> None:
        self.path = path
        with explaining(path):
            self.connection = connect(path, synchronous)
            self.execute = self.connection.execute
            self.executemany = self.connection.executemany

    def prepare(self) -> None:
        """Make the tables, or check that the file is ours.

        Raises: ConfigurationError when another version wrote it.
        """
        with self.writing():
            version = self.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, FORMAT_VERSION):
                raise ConfigurationError(
                    f"{self.path}: written by format version {version}, expected {FORMAT_VERSION}",
                    hint="use the pelton version that made the file, or another file",
                )
            for statement in _SCHEMA.split(";"):
                self.execute(statement)
            self.execute(f"PRAGMA user_version = {FORMAT_VERSION}")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Run the body as one transaction: all of it, or nothing when it raises."""
        with explaining(self.path):
            self.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Run the body's reads against one snapshot."""
        with explaining(self.path):
            self.execute("BEGIN")
            try:
                yield
            finally:
                if self.connection.in_transaction:
                    self.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self.connection.close()


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Raise what SQLite raises as an error of ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(error, path) from error


def explain(error: sqlite3.Error, path: Path) -> PeltonError:
    """Return the error of ours that asks for the right reaction."""
    text = str(error)
    if "locked" in text or "busy" in text:
        return UnavailableError(f"{path}: another process holds the log for too long", hint="is one of them stopped?")
    if "full" in text:
        return UnavailableError(f"{path}: the disk is full", hint="free some space; the log goes on by itself")
    if "readonly" in text or "unable to open" in text:
        return ConfigurationError(f"{path}: cannot be written ({text})", hint="check the directory and its permissions")
    if isinstance(error, sqlite3.DatabaseError) and ("malformed" in text or "not a database" in text):
        return StateCorruptedError(f"{path}: not a log file, or damaged ({text})", hint="restore it from a backup")
    return UnavailableError(f"{path}: {text}")
