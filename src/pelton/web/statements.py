"""SQL over HTTP: one statement at a time for each worker, over so many rows, within so much time and memory.

A worker has agents to run: what a statement takes from them is bounded, and `faust -A app sql`, which has a process of
its own, may be given more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl

from pelton.clock import Clock
from pelton.errors import ConfigurationError, UnavailableError
from pelton.web import sql
from pelton.web.exporting import Export, Format, frame_as
from pelton.web.parameters import KeyedTable
from pelton.web.queries import Queries

__all__ = ["SQL_CHARS_MAX", "SQL_ROWS", "SQL_ROWS_MAX", "SqlAnswer", "Statements"]

#: How long a statement may be: an address has to hold it.
SQL_CHARS_MAX = 4_000
#: Rows of an answer: when nobody says how many, and at most.
SQL_ROWS, SQL_ROWS_MAX = 1_000, 100_000
#: What a statement may take: rows that are read, and bytes that are answered; memory of its process; time in all.
_READ_ROWS_MAX = 200_000
_ANSWER_BYTES_MAX = 32 * 1024 * 1024
_MEMORY_BYTES = 512 * 1024 * 1024
_SECONDS_MAX = 15.0
_IN_A_SHELL = "run it in a shell, where it may take more: faust -A app sql, with --timeout, --memory and --rows"


@dataclass(frozen=True, slots=True)
class SqlAnswer:
    """What came of a statement. read: table -> how many rows of it were read. seconds: that it took."""

    frame: pl.DataFrame
    read: Mapping[str, int]
    seconds: float

    def document(self, rows_max: int) -> dict[str, Any]:
        """Return it for JSON, with so many rows at most."""
        shown = self.frame.head(rows_max)
        return {
            "columns": [{"name": name, "type": _type_name(type_)} for name, type_ in shown.schema.items()],
            "rows": [[msgspec.to_builtins(value, str_keys=True) for value in row] for row in shown.rows()],
            "more": self.frame.height > rows_max,
            "read": dict(self.read),
            "seconds": round(self.seconds, 3),
        }

    async def file(self, format_: Format) -> Export:
        """Return it as a file."""
        return Export(await asyncio.to_thread(frame_as, self.frame, format_), _nothing())


class Statements:
    """Runs statements."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running = asyncio.Lock()

    async def run(
        self, text: str, tables: Mapping[str, KeyedTable], queries: Queries, *, at_ms: int | None, rows_max: int
    ) -> SqlAnswer:
        """Return what a statement makes of the tables, at most so many rows.

        Raises: ConfigurationError, PartitionsUnavailableError; UnavailableError while another one runs, or for its
        limits.
        """
        if len(text) > SQL_CHARS_MAX:
            raise ConfigurationError(
                f"the statement has {len(text):,} characters, expected at most {SQL_CHARS_MAX:,}", hint=_IN_A_SHELL
            )
        text = sql.statement(text)
        wanted = {name: tables[name] for name in sql.mentioned(text, tables)}
        if self._running.locked():
            raise UnavailableError("this worker runs another statement", hint="try again in a moment")
        async with self._running:
            began_s = self._clock.monotonic()
            try:
                async with asyncio.timeout(_SECONDS_MAX):
                    frames = await sql.snapshot(queries, wanted, at_ms=at_ms, rows_max=_READ_ROWS_MAX, hint=_IN_A_SHELL)
            except TimeoutError:
                raise UnavailableError(
                    f"to read the tables took longer than {_SECONDS_MAX:g} s", hint=_IN_A_SHELL
                ) from None
            left_s = max(0.1, _SECONDS_MAX - (self._clock.monotonic() - began_s))
            frame = await sql.run(
                text, frames, memory_bytes=_MEMORY_BYTES, timeout_s=left_s, rows_max=rows_max,
                bytes_max=_ANSWER_BYTES_MAX, hint=_IN_A_SHELL,
            )  # fmt: skip
            read = {name: one.height for name, one in frames.items()}
            return SqlAnswer(frame, read, self._clock.monotonic() - began_s)


def _type_name(type_: Any) -> str:
    """Return what a column is, as columns of tables are."""
    if type_.is_integer():
        return "integer"
    if type_.is_numeric():
        return "number"
    if type_.is_temporal():
        return "time" if isinstance(type_, pl.Datetime) else "text"
    return "boolean" if type_ == pl.Boolean else "nested" if type_.is_nested() else "text"


async def _nothing() -> AsyncGenerator[bytes, None]:
    """Yield no more: the first piece was all."""
    nothing: tuple[bytes, ...] = ()
    for piece in nothing:
        yield piece
