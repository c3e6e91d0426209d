"""Rows as files: CSV, NDJSON or Parquet, made a page of rows at a time, so that memory is bounded whatever the table.

NDJSON has rows as the API tells them, and is exact. CSV and Parquet have a column for each field of the values, or one,
`value`, where these have no fields; what is nested is JSON in its cell. In CSV a text that a spreadsheet would take for
a formula has an apostrophe before it, so that no record of a table runs in somebody's spreadsheet.
Source: CSV injection: https://owasp.org/www-community/attacks/CSV_Injection
"""

from __future__ import annotations

import asyncio
import csv
import io
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import IO, Any, Literal, NamedTuple, TypeVar, cast, get_args

import msgspec
import polars as pl
from polars.io.plugins import register_io_source

from pelton.errors import PeltonError, UnavailableError, UserCodeError
from pelton.web.columns import Column, ColumnType
from pelton.web.parameters import KeyedTable, bad_parameter
from pelton.web.queries import Found, Queries, Reach
from pelton.web.sql import POLARS_TYPES, column_name
from pelton.window import iso_time

__all__ = [
    "CONTENT_TYPES",
    "FORMATS",
    "Export",
    "Exports",
    "Format",
    "csv_of",
    "export",
    "format_of",
    "frame_as",
    "pages_of",
    "row_as_json",
]

T = TypeVar("T")

Format = Literal["csv", "ndjson", "parquet"]
FORMATS: Sequence[Format] = get_args(Format)
CONTENT_TYPES: Mapping[Format, str] = {
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
#: What a spreadsheet takes for the beginning of a formula, or for what leads to one; the last four are full width.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
#: A Parquet file's row groups, in rows: what is held in memory until it is written.
_GROUP_ROWS = 20_000
#: Chunks of a Parquet file that wait to be sent.
_CHUNKS_WAITING = 8

#: So many exports run at a time, on one worker.
_EXPORTS_MAX = 4

Pages = AsyncIterator[Sequence[Found]]


def format_of(query: Mapping[str, str]) -> Format:
    """Return the format that is asked for. Raises: ConfigurationError."""
    given = query.get("format", "csv")
    for one in FORMATS:
        if one == given:
            return one
    raise bad_parameter("format", given, " or ".join(FORMATS))


async def pages_of(
    queries: Queries, table: KeyedTable, start: bytes, end: bytes | None, *, at_ms: int | None, reach: Reach
) -> Pages:
    """Yield the rows of a range, a page at a time. Raises: as `Queries.scan`."""
    after: Mapping[int, bytes] | None = None
    while True:
        page = await queries.scan(table, start, end, at_ms=at_ms, after=after, reach=reach)
        yield page.rows
        after = page.next
        if after is None:
            return


class Export(NamedTuple):
    """A file that has begun: its first piece is there, so no error of the request is left. rest: to be closed."""

    first: bytes
    rest: AsyncGenerator[bytes, None]


class Exports:
    """The exports of a worker: so many at a time, as each holds some pages in memory."""

    def __init__(self) -> None:
        self._running = 0

    async def begin(self, table: KeyedTable, pages: Pages, format_: Format) -> Export:
        """Begin to write rows to a file. Raises: UnavailableError when too many run; as `export`."""
        if self._running >= _EXPORTS_MAX:
            raise UnavailableError(f"{self._running} exports run on this worker", hint="try again when one has ended")
        rest = self._counted(table, pages, format_)
        return Export(await anext(rest, b""), rest)

    async def _counted(self, table: KeyedTable, pages: Pages, format_: Format) -> AsyncGenerator[bytes, None]:
        self._running += 1
        try:
            async with aclosing(export(table, pages, format_)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            self._running -= 1


async def export(table: KeyedTable, pages: Pages, format_: Format) -> AsyncGenerator[bytes, None]:
    """Yield rows as a file, in pieces. Raises: as the pages; UserCodeError for what does not fit into a column."""
    if format_ == "parquet":
        pages = await _begun(pages)  # before the thread is: polars writes the head of a file without a row
        pipe = _ParquetPipe(table, pages)
        try:
            async for chunk in pipe.chunks():
                yield chunk
        finally:
            pipe.stop()
    elif format_ == "ndjson":
        async for rows in pages:
            yield b"".join(msgspec.json.encode(row_as_json(table, row)) + b"\n" for row in rows)
    else:
        head = [[one.name for one in _columns(table)]]
        async for rows in pages:
            yield csv_of([*head, *(_cells(table, row) for row in rows)])
            head = []


async def _begun(pages: Pages) -> Pages:
    """Return the pages, once the first is there. Raises: as it does."""
    first = await anext(pages, None)

    async def all_of_them() -> Pages:
        if first is not None:
            yield first
        async for rows in pages:
            yield rows

    return all_of_them()


def row_as_json(table: KeyedTable, row: Found) -> dict[str, Any]:
    """Return a row as the API tells it."""
    told = {"key": row.key, "value": row.value, "partition": row.partition}
    if row.start_ms is not None and table.size_ms is not None:
        told |= {"start_ms": row.start_ms, "end_ms": row.start_ms + table.size_ms}
    return told


# -- columns ---------------------------------------------------------------------------------------

#: Where a value that cannot be decoded is kept: its bytes, in base64.
_UNDECODABLE = Column("undecodable", "text")


def _columns(table: KeyedTable) -> list[Column]:
    windows = [] if table.size_ms is None else [Column("window_start", "time"), Column("window_end", "time")]
    values = table.columns if table.columns is not None else [Column("value", table.value_type)]
    named = [Column(column_name(one.name), one.type) for one in values]
    return [Column("key", table.key_type), Column("partition", "integer"), *windows, *named, _UNDECODABLE]


def _cells(table: KeyedTable, row: Found) -> list[Any]:
    """Return a row's values, in the order of the columns."""
    windows: list[Any] = []
    if row.start_ms is not None and table.size_ms is not None:
        windows = [iso_time(row.start_ms), iso_time(row.start_ms + table.size_ms)]
    value = row.value
    fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    lost = fields["base64"] if fields.keys() == {"undecodable", "base64"} else None
    values: list[Any] = [value if lost is None else None]
    if table.columns is not None:
        values = [fields.get(one.name) for one in table.columns]
    return [row.key, row.partition, *windows, *values, lost]


# -- CSV -------------------------------------------------------------------------------------------


def csv_of(rows: Iterator[Sequence[Any]] | Sequence[Sequence[Any]]) -> bytes:
    """Return rows of values as lines of CSV, as RFC 4180 has them, safe to open in a spreadsheet."""
    text = io.StringIO()
    csv.writer(text).writerows([_csv_cell(value) for value in row] for row in rows)
    return text.getvalue().encode(errors="backslashreplace")


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return msgspec.json.encode(value).decode()


# -- Parquet ---------------------------------------------------------------------------------------


def frame_as(frame: pl.DataFrame, format_: Format) -> bytes:
    """Return a frame as a file."""
    if format_ == "csv":
        return csv_of([frame.columns]) + csv_of([[_builtin(value) for value in row] for row in frame.rows()])
    written = io.BytesIO()
    if format_ == "parquet":
        frame.write_parquet(written)
    else:
        frame.write_ndjson(written)
    return written.getvalue()


def _builtin(value: Any) -> Any:
    return msgspec.to_builtins(value, str_keys=True)


def _polars_type(type_: ColumnType) -> Any:
    return pl.Datetime("us", "UTC") if type_ == "time" else POLARS_TYPES.get(type_, pl.String)


def _frame(table: KeyedTable, columns: Sequence[Column], rows: Sequence[Found]) -> pl.DataFrame:
    cells = [_cells(table, row) for row in rows]
    series: list[pl.Series] = []
    for place, column in enumerate(columns):
        values = [_parquet_cell(row[place], column.type) for row in cells]
        try:
            series.append(pl.Series(column.name, values, dtype=_polars_type(column.type), strict=True))
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
            reason = str(error).splitlines()[0]
            raise UserCodeError(
                f'table "{table.name}": column {column.name} holds what is no {column.type}: {reason}',
                hint="NDJSON takes any value",
            ) from error
    return pl.DataFrame(series)


def _parquet_cell(value: Any, type_: ColumnType) -> Any:
    if value is None or type_ in ("integer", "boolean"):
        return value
    if type_ == "number":
        return float(value) if isinstance(value, int) else value
    if type_ == "time":
        time = datetime.fromisoformat(value)
        return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    return value if type_ == "text" and isinstance(value, str) else msgspec.json.encode(value).decode()


async def _next(pages: Pages) -> Sequence[Found] | None:
    return await anext(pages, None)


class _ParquetPipe(io.RawIOBase):
    """A Parquet file on its way: polars writes it in a thread of its own, from pages that the event loop reads.

    The thread waits for each page, and for each piece that it has written to be taken, so neither side runs ahead.
    """

    def __init__(self, table: KeyedTable, pages: Pages) -> None:
        super().__init__()
        self._table = table
        self._pages = pages
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(_CHUNKS_WAITING)
        self._stopped = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: BaseException | None = None
        self._columns = _columns(table)
        # A thread of its own, none of the executor's few: commits wait for those, and a client may be slow.
        threading.Thread(target=self._write_all, name="parquet", daemon=True).start()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the file in pieces. Raises: as the pages."""
        while (chunk := await self._chunks.get()) is not None:
            yield chunk
        if self._failed is not None:
            raise self._failed

    def _write_all(self) -> None:
        schema = {one.name: _polars_type(one.type) for one in self._columns}
        source = register_io_source(self._frames, schema=schema)
        try:
            source.sink_parquet(cast("IO[bytes]", self), row_group_size=_GROUP_ROWS, maintain_order=True)
        except BaseException as error:  # for the loop to raise
            # polars tells an error of the pages in words of its own.
            self._failed = self._failed or error
        with suppress(CancelledError, RuntimeError):  # nobody takes it any more, or the loop is closed
            self._in_loop(lambda: self._chunks.put(None))

    def _frames(
        self, with_columns: list[str] | None, predicate: Any, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        """Yield the pages as frames; polars asks for all columns and rows, as nothing is selected."""
        pages = aiter(self._pages)
        try:
            while (rows := self._in_loop(lambda: _next(pages))) is not None:
                yield _frame(self._table, self._columns, rows)
        except PeltonError as error:
            self._failed = error
            raise

    def writable(self) -> bool:
        """Return that it can be written to."""
        return True

    def write(self, data: Any) -> int:
        """Hand a piece over; waits while many wait to be sent."""
        piece = bytes(data)
        if piece:
            self._in_loop(lambda: self._chunks.put(piece))
        return len(piece)

    def _in_loop(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Wait in a thread for what the event loop does; polars calls from several threads. Raises: CancelledError."""
        waiting: Future[T] = Future()

        async def settle() -> None:
            try:
                waiting.set_result(await make())
            except BaseException as error:
                waiting.set_exception(error)

        def begin() -> None:
            if self._stopped:
                waiting.cancel()
                return
            task = self._loop.create_task(settle())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._loop.call_soon_threadsafe(begin)
        return waiting.result()

    def stop(self) -> None:
        """Have the threads end, wherever they are; what they write is not wanted any more. Idempotent."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()
