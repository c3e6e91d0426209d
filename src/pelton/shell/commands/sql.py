"""`faust -A app sql "select …"`: SQL over the application's tables, wherever their partitions are."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import click
import polars as pl
from faust.cli.base import cli

from pelton.errors import PeltonError, UnavailableError
from pelton.shell.commands.on_log import LogCommand
from pelton.shell.commands.table import missing_text
from pelton.web import sql
from pelton.web.parameters import time_of

__all__ = ["Sql"]

_MIB = 1 << 20


class Sql(LogCommand):
    """Answer a SELECT over tables, as polars' SQL has it.

    A table has the columns key, partition, window_start and window_end where it has windows, and value, or the fields
    of its values. The statement sees rows that were read just before, each partition as its owner had committed it; it
    changes nothing, and reads no files. Names with a dash go in double quotes.
    """

    group: ClassVar[Any] = cli
    name = "sql"
    options: Any = (
        click.argument("statement"),
        click.option("--at", metavar="TIME", help="As the tables were then; all of them need history."),
        click.option("--timeout", "timeout_s", type=float, default=30.0, show_default=True, help="Seconds, in all."),
        click.option("--memory", "memory_mib", type=click.IntRange(64), default=1024, show_default=True, help="MiB."),
        click.option("--rows", "rows_max", type=click.IntRange(1), default=1_000_000, show_default=True,
                     help="So many rows may be read of all tables."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON: one object a row and line."),
    )  # fmt: skip

    def work(
        self, statement: str, at: str | None, timeout_s: float, memory_mib: int, rows_max: int, as_json: bool = False
    ) -> int:
        """Print the rows."""
        app = self.application
        text, at_ms = sql.statement(statement), time_of({"at": at} if at else {}, "at")

        async def answered(_: Any) -> pl.DataFrame:
            began_s = app.clock.monotonic()
            tables = {name: app.table_handle(name, as_json=True) for name in sql.mentioned(text, app.tables)}
            frames = await sql.snapshot(
                app.queries, tables, at_ms=at_ms, rows_max=rows_max, hint="allow more with --rows"
            )
            left_s = max(0.1, timeout_s - (app.clock.monotonic() - began_s))
            return await sql.run(text, frames, memory_bytes=memory_mib * _MIB, timeout_s=left_s)

        async def in_time(log: Any) -> pl.DataFrame:
            try:
                async with asyncio.timeout(timeout_s):
                    return await answered(log)
            except TimeoutError:
                raise UnavailableError(
                    f"to read the tables took longer than {timeout_s:g} s", hint="give it more with --timeout"
                ) from None

        found = self.with_log(in_time)
        if as_json or self.json:
            click.echo(found.write_ndjson(), nl=False)
        else:
            with pl.Config(tbl_rows=-1, tbl_cols=-1, fmt_str_lengths=200, tbl_hide_dataframe_shape=True):
                click.echo(str(found))
        return 0

    def tell(self, error: PeltonError) -> str:
        """Return what to say of an error."""
        return missing_text(error)
