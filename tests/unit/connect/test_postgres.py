"""Rows in a real PostgreSQL: upserts, deletes, types, what it does not take, and two workers with the same rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import psycopg
import pytest
import pytest_asyncio

from pelton.batch import TopicPartition
from pelton.connect.contract import SinkBatch, SinkRow
from pelton.connect.postgres import PostgresTable
from pelton.errors import ConfigurationError, UnavailableError, UserCodeError
from tests.servers import postgres


class Customer(msgspec.Struct):
    id: str
    name: str
    tags: list[str] = []


SOURCE = TopicPartition("customers", 0)


def batch(*rows: tuple[int, Any], source: TopicPartition = SOURCE) -> SinkBatch:
    return SinkBatch(
        source, [SinkRow(offset, 0.0, getattr(value, "id", f"c{offset}"), value) for offset, value in rows]
    )


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgres() as (found, _):
        yield found


@pytest_asyncio.fixture
async def database(url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("DROP TABLE IF EXISTS customers, pelton_offsets")
        await connection.execute("CREATE TABLE customers (id text PRIMARY KEY, name text NOT NULL, tags jsonb)")
        yield connection


async def rows(database: psycopg.AsyncConnection[Any]) -> list[tuple[Any, ...]]:
    return await (await database.execute("SELECT id, name, tags FROM customers ORDER BY id")).fetchall()


async def test_the_last_row_of_a_key_counts_and_a_tombstone_deletes_it(
    url: str, database: psycopg.AsyncConnection[Any]
) -> None:
    writer = await PostgresTable(url, "customers", key="id").open("sink")
    await writer.write(batch((0, Customer("a", "ann", ["x"])), (1, Customer("b", "bob")), (2, Customer("a", "anna"))))
    assert await rows(database) == [("a", "anna", []), ("b", "bob", [])]
    await writer.write(SinkBatch(SOURCE, [SinkRow(3, 0.0, "b", None)]))
    await writer.write(batch((4, {"id": "c", "name": "cy", "tags": {"deep": [1]}}), (5, {"id": "a", "name": "ada"})))
    assert await rows(database) == [("a", "ada", []), ("c", "cy", {"deep": [1]})]
    await writer.close()


async def test_rows_that_come_again_change_nothing(url: str, database: psycopg.AsyncConnection[Any]) -> None:
    table = PostgresTable(url, "public.customers", key="id")
    first, second = await asyncio.gather(table.open("sink"), table.open("sink"))
    await first.write(batch((0, Customer("a", "old")), (1, Customer("a", "new"))))
    await second.write(batch((0, Customer("a", "old"))))
    assert await rows(database) == [("a", "new", [])]
    await asyncio.gather(
        first.write(batch((1, Customer("a", "new")), (2, Customer("b", "bob")))),
        second.write(batch((0, Customer("a", "old")), (2, Customer("b", "bob")), (3, Customer("c", "cy")))),
    )
    assert [row[0] for row in await rows(database)] == ["a", "b", "c"]
    found = await (await database.execute("SELECT topic, partition, next_offset FROM pelton_offsets")).fetchall()
    assert found == [("customers", 0, 4)]
    await first.close()
    await second.close()


async def test_what_the_table_does_not_take_fails_its_batch_and_what_is_missing_is_waited_for(
    url: str, database: psycopg.AsyncConnection[Any]
) -> None:
    writer = await PostgresTable(url, "customers", key="id").open("sink")
    with pytest.raises(UserCodeError, match="does not take a row"):
        await writer.write(batch((0, {"id": "a", "name": "ann"}), (1, {"id": "b", "name": None})))
    assert await rows(database) == []
    with pytest.raises(UserCodeError, match="a row has no id"):
        await writer.write(batch((0, {"name": "ann"})))
    with pytest.raises(UnavailableError, match="add the column"):
        await writer.write(batch((0, {"id": "a", "name": "ann", "age": 5})))
    await database.execute("ALTER TABLE customers ADD COLUMN age int")
    await writer.write(batch((0, {"id": "a", "name": "ann", "age": 5})))
    assert [row[0] for row in await rows(database)] == ["a"]
    await database.execute("DROP TABLE customers")
    with pytest.raises(UnavailableError, match="create the table customers"):
        await writer.write(batch((1, {"id": "b", "name": "bob"})))
    await writer.close()


async def test_a_connection_that_is_gone_is_made_anew(url: str, database: psycopg.AsyncConnection[Any]) -> None:
    writer = await PostgresTable(url, "customers", key="id").open("sink")
    await database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'pelton'"
    )
    with pytest.raises(UnavailableError):
        await writer.write(batch((0, Customer("a", "ann"))))
    await writer.write(batch((0, Customer("a", "ann"))))
    assert [row[0] for row in await rows(database)] == ["a"]
    await writer.close()


async def test_a_database_that_is_away() -> None:
    with pytest.raises(UnavailableError):
        await PostgresTable("postgresql://127.0.0.1:1/none", "customers").open("sink")
    with pytest.raises(ConfigurationError, match="write postgresql://"):
        PostgresTable("no url = at all", "customers")
    assert "secret" not in repr(PostgresTable("postgresql://user:secret@host/db", "customers"))
