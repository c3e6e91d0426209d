"""The first hundred bytes of the file, read before SQLite is: is it a log of ours, and is it whole?

SQLite touches a file by opening it: the database of another program would be switched to a write-ahead log, or its own
one copied into it. And it finds a missing end only when somebody reads that far.
Source: "Database File Format", section 1.3, sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

from pelton.errors import ConfigurationError

__all__ = ["APPLICATION_ID", "check_header"]

#: "pltn"; SQLite keeps it in the header for whoever wants to know whose file it is.
APPLICATION_ID = 0x706C746E
_MAGIC = b"SQLite format 3\0"
_BYTES = 100


class _Header(NamedTuple):
    page_bytes: int
    changes: int
    pages: int
    user_version: int
    application_id: int
    pages_valid_for: int


def check_header(path: Path) -> None:
    """Return when a file is missing, empty, or ours and whole; a file that is no SQLite database is left to SQLite.

    Raises: ConfigurationError for another program's database, which stays as it is, and for one that was cut short.
    """
    header = _read(path)
    if header is None:
        return
    fresh = header.pages <= 1 and header.user_version == 0 and header.application_id == 0
    if header.application_id != APPLICATION_ID and not fresh:
        raise ConfigurationError(
            f"{path}: a SQLite database, but no log of pelton "
            f"(application id {header.application_id:#x}, expected {APPLICATION_ID:#x})",
            hint="name another file in the broker URL; this one was left as it is",
        )
    size, expected = path.stat().st_size, header.page_bytes * header.pages
    if header.pages_valid_for == header.changes and size < expected and not _has_wal(path):
        raise ConfigurationError(
            f"{path}: not a log file, or damaged (cut short: {size} bytes, expected {expected})",
            hint="restore it from a backup",
        )


def _read(path: Path) -> _Header | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        data = file.read(_BYTES)
    if len(data) < _BYTES or not data.startswith(_MAGIC):
        return None
    (page_bytes,) = struct.unpack_from(">H", data, 16)
    changes, pages = struct.unpack_from(">II", data, 24)
    (user_version,) = struct.unpack_from(">I", data, 60)
    (application_id,) = struct.unpack_from(">I", data, 68)
    (pages_valid_for,) = struct.unpack_from(">I", data, 92)
    # 1 stands for 65,536, which two bytes cannot hold.
    return _Header(
        65_536 if page_bytes == 1 else page_bytes, changes, pages, user_version, application_id, pages_valid_for
    )


def _has_wal(path: Path) -> bool:
    """Return whether there may be pages that are not in the file yet."""
    wal = path.with_name(f"{path.name}-wal")
    return wal.exists() and wal.stat().st_size > 0
