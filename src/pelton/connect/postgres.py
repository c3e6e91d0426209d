"""Rows in a table of PostgreSQL, each once: the offsets they come from are written in the same transaction.

    @app.sink(PostgresTable("postgresql:///bank", "orders", key="id"), orders)
    def row(order: Order) -> dict[str, Any]:
        return {"id": order.id, "amount": order.amount}

    begin; lock the partition's offset; upsert what comes behind it; move it; commit

The row of pelton_offsets that a partition's offset is in is locked first. So of two workers that have the same rows,
one that was replaced and does not know it yet among them, the second finds that they are there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import Jsonb

from pelton.connect.contract import SinkBatch, SinkRow
from pelton.errors import ConfigurationError, UnavailableError, UserCodeError

__all__ = ["OFFSETS_TABLE", "PostgresTable"]

logger = logging.getLogger(__name__)

OFFSETS_TABLE = "pelton_offsets"
_CREATE = sql.SQL(
    "CREATE TABLE IF NOT EXISTS {} (sink text, topic text, partition int, next_offset bigint NOT NULL, "
    "PRIMARY KEY (sink, topic, partition))"
).format(sql.Identifier(OFFSETS_TABLE))
_BEGIN = sql.SQL("INSERT INTO {} VALUES (%s, %s, %s, 0) ON CONFLICT DO NOTHING").format(sql.Identifier(OFFSETS_TABLE))
_LOCK = sql.SQL("SELECT next_offset FROM {} WHERE sink = %s AND topic = %s AND partition = %s FOR UPDATE").format(
    sql.Identifier(OFFSETS_TABLE)
)
_MOVE = sql.SQL("UPDATE {} SET next_offset = %s WHERE sink = %s AND topic = %s AND partition = %s").format(
    sql.Identifier(OFFSETS_TABLE)
)
#: For the lock of the offsets' table as several workers make it at once.
_CREATING = 0x70656C746F6E

Row = dict[str, Any]


class PostgresTable:
    """A table of a PostgreSQL database, which must be there; pelton_offsets is made beside it.

    url: as libpq takes it: postgresql://user@host/database, or "" where PGHOST and the like say all.
    table: its name, with the schema before a dot where it is not on the search path.
    key: the column, or columns, of a unique constraint: a row with the key of an earlier one takes its place, and a
        tombstone deletes it by the record's key. Without one, rows are only added.
    Each partition that a worker has takes a connection. Lists and dicts become jsonb. Raises: ConfigurationError.
    """

    def __init__(self, url: str, table: str, *, key: str | Sequence[str] | None = None) -> None:
        if not table:
            raise ConfigurationError("PostgresTable: expected the name of a table")
        try:
            conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            raise ConfigurationError(f"PostgresTable: {error}", hint="write postgresql://user@host/database") from error
        self.url = url
        self.table = table
        self.key = (key,) if isinstance(key, str) else tuple(key or ())

    async def open(self, name: str) -> _Writer:
        """Connect, and make the table of offsets."""
        writer = _Writer(self, name)
        await writer.connect()
        return writer

    def __repr__(self) -> str:
        return f"PostgresTable({self.table!r})"  # the URL may hold a password


class _Writer:
    """The rows of one sink over one connection."""

    def __init__(self, table: PostgresTable, name: str) -> None:
        self._table = table
        self._name = name
        self._identifier = sql.Identifier(*table.table.split("."))
        self._connection: psycopg.AsyncConnection[Any] | None = None

    async def connect(self) -> psycopg.AsyncConnection[Any]:
        """Return the connection, making another where the last one is gone. Raises: UnavailableError."""
        if self._connection is not None and not self._connection.closed:
            return self._connection
        try:
            connection = await psycopg.AsyncConnection.connect(self._table.url)
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_CREATING,))
                await connection.execute(_CREATE)
        except psycopg.Error as error:
            raise _unavailable(self._table, error) from error
        self._connection = connection
        return connection

    async def write(self, batch: SinkBatch) -> None:
        """Write the rows that are not there, and how far they go, in one transaction."""
        connection = await self.connect()
        place = (self._name, *batch.source)
        try:
            async with connection.transaction():
                await connection.execute(_BEGIN, place)
                found = await (await connection.execute(_LOCK, place)).fetchone()
                rows = batch.behind(found[0] if found is not None else 0)
                if len(rows) < len(batch.rows):
                    logger.info("%s: %d rows are there already", batch.source, len(batch.rows) - len(rows))
                if rows:
                    await self._put(connection, rows)
                    await connection.execute(_MOVE, (rows[-1].offset + 1, *place))
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise UserCodeError(f"{self._table!r} does not take a row: {str(error).strip()}") from error
        except psycopg.Error as error:
            raise _unavailable(self._table, error) from error

    async def _put(self, connection: psycopg.AsyncConnection[Any], rows: Sequence[SinkRow]) -> None:
        for columns, group in self._statements(rows):
            statement = self._delete() if columns is None else self._upsert(columns)
            async with connection.cursor() as cursor:
                await cursor.executemany(statement, group)

    def _statements(self, rows: Sequence[SinkRow]) -> list[tuple[tuple[str, ...] | None, list[list[Any]]]]:
        """Return what is to be written, rows with the same columns together; columns are None for what is deleted.

        Of rows with one key only the last counts.
        """
        last: dict[Any, tuple[tuple[str, ...] | None, list[Any]]] = {}
        for place, row in enumerate(rows):
            key, columns, values = self._row(row)
            last[place if key is None else ("key", key)] = columns, values
        groups: dict[tuple[str, ...] | None, list[list[Any]]] = {}
        for columns, values in last.values():
            groups.setdefault(columns, []).append(values)
        return list(groups.items())

    def _row(self, row: SinkRow) -> tuple[tuple[Any, ...] | None, tuple[str, ...] | None, list[Any]]:
        """Return a row's key, columns and values. Raises: UserCodeError."""
        names = self._table.key
        if row.value is None:
            if not names:
                raise UserCodeError(f"{self._table!r}: a tombstone, and no key=", hint="filter them, or give key=")
            key: list[Any] = list(row.key) if isinstance(row.key, tuple | list) else [row.key]  # pyright: ignore
            return tuple(map(str, key)), None, [str(part) for part in key]
        fields = _fields(row.value)
        if missing := [name for name in names if fields.get(name) is None]:
            raise UserCodeError(f"{self._table!r}: a row has no {', '.join(missing)}", hint="its key= asks for it")
        values = [Jsonb(field, dumps=_dumps) if isinstance(field, dict | list) else field for field in fields.values()]
        return tuple(str(fields[name]) for name in names) if names else None, tuple(fields), values

    def _upsert(self, columns: tuple[str, ...]) -> sql.Composed:
        names = [sql.Identifier(name) for name in columns]
        insert = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            self._identifier, sql.SQL(", ").join(names), sql.SQL(", ").join([sql.Placeholder()] * len(columns))
        )
        if not self._table.key:
            return insert
        target = sql.SQL(", ").join(map(sql.Identifier, self._table.key))
        rest = [name for name in columns if name not in self._table.key]
        moves = sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in rest)
        action = sql.SQL("DO UPDATE SET {}").format(moves) if rest else sql.SQL("DO NOTHING")
        return sql.SQL("{} ON CONFLICT ({}) {}").format(insert, target, action)

    def _delete(self) -> sql.Composed:
        where = sql.SQL(" AND ").join(sql.SQL("{}::text = %s").format(sql.Identifier(key)) for key in self._table.key)
        return sql.SQL("DELETE FROM {} WHERE {}").format(self._identifier, where)

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()


def _fields(value: Any) -> Row:
    if isinstance(value, dict):
        return cast(Row, value)
    # Types that PostgreSQL has are left as they are.
    fields = msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else msgspec.to_builtins(value)
    if not isinstance(fields, dict):
        raise UserCodeError(
            f"expected a value with fields, got {type(value).__name__}",
            hint="return a dict of column to value from the decorated function",
        )
    return {name: _plain(field) for name, field in cast(Mapping[str, Any], fields).items()}


def _plain(field: Any) -> Any:
    return msgspec.to_builtins(field) if isinstance(field, msgspec.Struct | list | dict | tuple) else field  # pyright: ignore


def _dumps(value: Any) -> bytes:
    return msgspec.json.encode(value)


def _unavailable(table: PostgresTable, error: psycopg.Error) -> UnavailableError:
    """Return what is wrong: the database is away, or not as it must be; the sink goes on once it is."""
    hint = {
        "42P01": f"create the table {table.table}",
        "42703": f"add the column to {table.table}; the sink goes on then",
        "42P10": f"key={table.key!r} needs a unique constraint over these columns",
        "42501": "grant the worker's user what it needs",
    }.get(error.sqlstate or "")
    return UnavailableError(f"{table!r}: {str(error).strip() or type(error).__name__}", hint=hint)
