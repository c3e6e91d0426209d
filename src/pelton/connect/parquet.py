"""Rows as Parquet files, each there whole or not at all, and each row in one file, whatever crashes.

    app.sink(ParquetFiles("warehouse/orders"), orders, batch=50_000, within=60)

    warehouse/orders/orders-00003-00000000000000120000.parquet       topic, partition, offset of the first row

A file is written beside its place and put there by a link, which fails where there is a file already: of two workers
that have the same rows, one that was replaced and does not know it yet among them, one is too late. How far a partition
has come is the greatest offset of its last file, so nothing else has to be kept.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from time import time as wall_clock
from typing import Any
from urllib.parse import quote

import msgspec
import polars as pl

from pelton.batch import TopicPartition
from pelton.connect.contract import SinkBatch, SinkRow
from pelton.errors import ConfigurationError, UnavailableError, UserCodeError

__all__ = ["ParquetFiles"]

logger = logging.getLogger(__name__)

#: What the names of files say of where they come from.
_OFFSET, _KEY, _TIMESTAMP = "_offset", "_key", "_timestamp"
#: Types that polars has too.
_KEPT = (bytes, datetime, date, time, timedelta, Decimal)
_NAME = "{topic}-{partition:05d}-{offset:020d}.parquet"
#: What was being written when its worker died is deleted once nobody has touched it for so long.
_ABANDONED_S = 3600.0
#: How often files are looked through for those that are too old.
_LOOK_EVERY_S = 60.0


class ParquetFiles:
    """Parquet files of a directory.

    schema: column -> polars type, for the columns that a file is to have in any case, in this order; what is known of
        the values when None. compression: as polars names it.
    keep: how long a file is kept from when it was written, in seconds or as a timedelta, for ever when None. The last
        one of each partition stays: it says where to go on.
    Each row has a value's fields, and the columns _offset, _key and _timestamp. Values are structs, dataclasses or
    dicts. Rows have the times of their events; a file has at most `batch=` of them. Raises: ConfigurationError.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        schema: Mapping[str, Any] | None = None,
        compression: str = "zstd",
        keep: float | timedelta | None = None,
    ) -> None:
        if compression not in ("zstd", "lz4", "snappy", "gzip", "uncompressed"):
            raise ConfigurationError(f"ParquetFiles: compression: expected zstd, lz4, snappy, …, got {compression!r}")
        self.keep_s = keep.total_seconds() if isinstance(keep, timedelta) else keep
        if self.keep_s is not None and self.keep_s <= 0:
            raise ConfigurationError(f"ParquetFiles: keep: expected more than 0 s, got {keep!r}")
        self.directory = Path(directory)
        self.schema = schema
        self.compression = compression

    async def open(self, name: str) -> _Writer:
        """Make the directory, and delete what workers that died have left half written."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._tidy()
        except OSError as error:
            raise UnavailableError(f"could not make {self.directory}: {error.strerror}") from error
        return _Writer(self)

    def _tidy(self) -> None:
        before = wall_clock() - _ABANDONED_S
        for part in self.directory.glob(".*.parquet.*.part"):
            with suppress(FileNotFoundError):  # another worker tidies too
                if part.stat().st_mtime < before:
                    part.unlink()
                    logger.info("deleted %s, which was never finished", part)

    def files(self, source: TopicPartition) -> list[Path]:
        """Return the files of a partition, in the order of the log."""
        name = re.escape(quote(source.topic, safe="")) + rf"-{source.partition:05d}-\d{{20}}\.parquet"
        return sorted(path for path in self.directory.iterdir() if re.fullmatch(name, path.name))

    def __repr__(self) -> str:
        return f"ParquetFiles({str(self.directory)!r})"


class _Writer:
    """The files of one sink, as one worker writes them."""

    def __init__(self, files: ParquetFiles) -> None:
        self._files = files
        self._next: dict[TopicPartition, int] = {}
        self._looked: dict[TopicPartition, float] = {}

    async def write(self, batch: SinkBatch) -> None:
        """Write one file of the rows that no file has."""
        await asyncio.to_thread(self._write, batch)

    async def close(self) -> None:
        """Do nothing: files are closed as they are written."""

    def _write(self, batch: SinkBatch) -> None:
        try:
            while rows := batch.behind(self._next_offset(batch.source)):
                if len(rows) < len(batch.rows):
                    logger.info("%s: %d rows are there already", batch.source, len(batch.rows) - len(rows))
                if self._put(batch.source, rows):
                    self._next[batch.source] = rows[-1].offset + 1
                    self._delete_old(batch.source)
                    return
                del self._next[batch.source]  # another worker was faster: see how far it came
        except OSError as error:
            self._next.pop(batch.source, None)
            raise UnavailableError(f"could not write to {self._files.directory}: {error.strerror}") from error

    def _next_offset(self, source: TopicPartition) -> int:
        if source not in self._next:
            files = self._files.files(source)
            self._next[source] = 0 if not files else _last_offset(files[-1]) + 1
        return self._next[source]

    def _delete_old(self, source: TopicPartition) -> None:
        """Delete a partition's files that are too old, but the last one; others may do so too."""
        keep_s, now = self._files.keep_s, wall_clock()
        if keep_s is None or now - self._looked.get(source, 0.0) < min(_LOOK_EVERY_S, keep_s):
            return
        self._looked[source] = now
        for path in self._files.files(source)[:-1]:
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < now - keep_s:
                    path.unlink()

    def _put(self, source: TopicPartition, rows: Sequence[SinkRow]) -> bool:
        """Put a file in its place. Returns: whether there was none yet."""
        directory = self._files.directory
        name = _NAME.format(topic=quote(source.topic, safe=""), partition=source.partition, offset=rows[0].offset)
        part = directory / f".{name}.{os.getpid()}-{id(self):x}.part"
        try:
            _frame(rows, self._files.schema).write_parquet(part, compression=self._files.compression)  # type: ignore[arg-type] # pyright: ignore
            _sync(part)
            os.link(part, directory / name)
            _sync(directory)
        except FileExistsError:
            return False
        finally:
            part.unlink(missing_ok=True)
        return True


def _frame(rows: Sequence[SinkRow], schema: Mapping[str, Any] | None) -> pl.DataFrame:
    """Return rows as columns. Raises: UserCodeError for values without fields, or of mixed types."""
    records = [_fields(row) for row in rows]
    names = list(schema) if schema is not None else []
    names += [name for name in dict.fromkeys(name for record in records for name in record) if name not in names]
    try:
        columns = [
            pl.Series(name, [record.get(name) for record in records], dtype=(schema or {}).get(name), strict=True)
            for name in names
        ]
        keys = [key if isinstance(key, str | int | None) else str(key) for key in (_text(row.key) for row in rows)]
        own = [
            pl.Series(_OFFSET, [row.offset for row in rows], dtype=pl.Int64),
            pl.Series(_KEY, [None if key is None else str(key) for key in keys], dtype=pl.String),
            pl.Series(_TIMESTAMP, [round(row.timestamp * 1000) for row in rows], dtype=pl.Int64).cast(
                pl.Datetime("ms", "UTC")
            ),
        ]
        return pl.DataFrame([*columns, *own])
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        raise UserCodeError(
            f"rows do not fit into one Parquet file: {error}",
            hint="give ParquetFiles(..., schema={...}), or make rows of one shape in the decorated function",
        ) from error


def _fields(row: SinkRow) -> dict[str, Any]:
    if row.value is None:
        return {}
    fields: dict[str, Any] = msgspec.to_builtins(row.value, builtin_types=_KEPT, str_keys=True)
    if type(fields) is not dict:
        raise UserCodeError(
            f"expected a value with fields, got {type(row.value).__name__}",
            hint="return a dict of column to value from the decorated function",
        )
    if taken := {_OFFSET, _KEY, _TIMESTAMP} & set(fields):
        raise UserCodeError(f"a field may not be called {', '.join(sorted(taken))}: that is what a column of ours is")
    return fields


def _text(key: Any) -> Any:
    return key.decode(errors="replace") if isinstance(key, bytes) else key


def _last_offset(file: Path) -> int:
    """Return the greatest offset of a file's rows."""
    found: Any = pl.scan_parquet(file).select(pl.col(_OFFSET).max()).collect().item()
    return int(found)


def _sync(path: Path) -> None:
    """Make a file's content, or a directory's names, durable."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
