"""SQL over a snapshot of tables: what a statement may be, the tables as frames, and the process that runs it.

A statement runs in a process of its own (`pelton.web.sql_process`), which can be ended at any moment, may take so much
memory and no more, and can open no file: polars' SQL has functions that read files, and its work cannot be
interrupted.
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import polars as pl

from pelton.errors import ConfigurationError, UnavailableError
from pelton.web.columns import Column, ColumnType
from pelton.web.parameters import KeyedTable
from pelton.web.queries import Found, Queries
from pelton.window import iso_time

__all__ = ["POLARS_TYPES", "WRONG", "SqlJob", "column_name", "frame_of", "mentioned", "run", "snapshot", "statement"]

#: How the process ends when the statement is wrong.
WRONG = 3

_OPENING = re.compile(r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*(?:select|with)\b", re.IGNORECASE | re.DOTALL)
#: Functions of polars' SQL that read files.
_READS_FILES = re.compile(r"\b(?:read|scan)_\w+", re.IGNORECASE)
_KEY_COLUMNS = ("key", "partition", "window_start", "window_end")
#: What columns are in polars; those that are not here are text.
POLARS_TYPES: Mapping[ColumnType, Any] = {"integer": pl.Int64, "number": pl.Float64, "boolean": pl.Boolean}


class SqlJob(msgspec.Struct, frozen=True):
    """What the process is to do: a statement, the tables in Arrow's stream format, and the memory it may take.

    rows_max: so many rows of the answer are given, 0 for all; bytes_max: more than so many bytes of them are an error.
    """

    statement: str
    tables: dict[str, bytes]
    memory_bytes: int
    rows_max: int = 0
    bytes_max: int = 0


def statement(text: str) -> str:
    """Return a statement that only reads the tables. Raises: ConfigurationError for any other."""
    if _OPENING.match(text) is None:
        raise ConfigurationError("expected a statement that reads", hint="begin with SELECT, or WITH")
    if found := _READS_FILES.search(text):
        raise ConfigurationError(f"{found[0]} reads files", hint="only the application's tables can be read")
    return text


def mentioned(text: str, tables: Iterable[str]) -> list[str]:
    """Return the tables whose names are in a statement. Raises: ConfigurationError when none is."""
    known = sorted(tables)
    found = [name for name in known if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)]
    if not found:
        raise ConfigurationError(
            "the statement names no table", hint=f"there are {', '.join(known) or 'none'}; quote a name with a dash"
        )
    return found


def frame_of(table: KeyedTable, rows: Sequence[Found]) -> pl.DataFrame:
    """Return rows as a frame: key, partition, the window's start and end; then the value, or its fields.

    rows: with keys and values as JSON can hold them. A field that is called as one of the first columns is `value_…`.
    """
    if not rows:
        return pl.DataFrame(schema=_schema(table))
    spread = all(isinstance(row.value, dict) for row in rows)
    records = [
        {"key": row.key, "partition": row.partition, **_window(table, row), **_content(row.value, spread=spread)}
        for row in rows
    ]
    return pl.from_dicts(records, infer_schema_length=None, strict=False)


def _schema(table: KeyedTable) -> dict[str, Any]:
    """Return the columns of a table without rows, as its declaration tells them."""
    windows = () if table.size_ms is None else ("window_start", "window_end")
    values = table.columns if table.columns is not None else (Column("value", table.value_type),)
    return {
        "key": POLARS_TYPES.get(table.key_type, pl.String),
        "partition": pl.Int64,
        **dict.fromkeys(windows, pl.String),
        **{column_name(one.name): POLARS_TYPES.get(one.type, pl.String) for one in values},
    }


def column_name(field: str) -> str:
    """Return the name of a field's column: its own, unless one of ours is called so."""
    return f"value_{field}" if field in _KEY_COLUMNS else field


def _window(table: KeyedTable, row: Found) -> dict[str, Any]:
    if table.size_ms is None or row.start_ms is None:
        return {}
    return {"window_start": iso_time(row.start_ms), "window_end": iso_time(row.start_ms + table.size_ms)}


def _content(value: Any, *, spread: bool) -> Mapping[str, Any]:
    if not spread:
        return {"value": value}
    return {column_name(str(name)): field for name, field in value.items()}


async def snapshot(
    queries: Queries, tables: Mapping[str, KeyedTable], *, at_ms: int | None, rows_max: int, hint: str
) -> dict[str, pl.DataFrame]:
    """Return the rows of tables as frames, read page by page. tables: with values as JSON can hold them.

    rows_max: of all tables together. hint: what to do where they have more.
    Raises: PartitionsUnavailableError, HistoryExpiredError; ConfigurationError when there are more rows.
    """
    frames: dict[str, pl.DataFrame] = {}
    left = rows_max
    for name, table in tables.items():
        rows: list[Found] = []
        async for row in queries.rows(table, at_ms=at_ms):
            rows.append(row)
            if len(rows) > left:
                raise ConfigurationError(f"the tables have more than {rows_max:,} rows", hint=hint)
        left -= len(rows)
        frames[name] = await asyncio.to_thread(frame_of, table, rows)
    return frames


async def run(
    text: str,
    frames: Mapping[str, pl.DataFrame],
    *,
    memory_bytes: int,
    timeout_s: float,
    rows_max: int = 0,
    bytes_max: int = 0,
    hint: str = "give it more with --timeout and --memory, or read fewer rows",
) -> pl.DataFrame:
    """Return what a statement makes of the tables. Raises: ConfigurationError, UnavailableError for its limits.

    rows_max, bytes_max: see `SqlJob`. hint: what to do where it takes more than it may.
    """
    tables = {name: _stream(frame) for name, frame in frames.items()}
    job = SqlJob(statement(text), tables, memory_bytes, rows_max, bytes_max)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pelton.web.sql_process",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(timeout_s):
            output, trouble = await process.communicate(msgspec.msgpack.encode(job))
    except TimeoutError:
        raise UnavailableError(f"the statement took longer than {timeout_s:g} s", hint=hint) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return pl.read_ipc_stream(io.BytesIO(output))
    if process.returncode == WRONG:
        raise ConfigurationError(trouble.decode(errors="replace").strip() or "the statement failed")
    raise UnavailableError(
        f"the statement could not be run within {memory_bytes / (1 << 20):,.0f} MiB of memory:"
        f" {(trouble.decode(errors='replace').strip().splitlines() or ['it was ended'])[0]}",
        hint=hint,
    )


def _stream(frame: pl.DataFrame) -> bytes:
    written = io.BytesIO()
    frame.write_ipc_stream(written)
    return written.getvalue()
