"""Files of rows, and answers of statements: made in threads and processes, of rows that come page by page."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from pelton.clock import SystemClock
from pelton.errors import ConfigurationError, PartitionsUnavailableError, UnavailableError, UserCodeError
from pelton.log.contract import MemberInfo
from pelton.web.asking import Asking, Surroundings
from pelton.web.columns import Column
from pelton.web.exporting import Exports, Format, export
from pelton.web.queries import Found, Queries
from pelton.web.statements import Statements
from pelton.web.wire import PartitionRows, Row, RowsRequest, WorkerRows
from tests.patience import PATIENCE_S

ROWS = 1_000
START_MS = 1_750_000_020_000


class Payments:
    """A windowed table of payments, whose keys are text and whose values are JSON."""

    name = changelog = "payments"
    help = ""
    replicated = history = False
    size_ms = 60_000
    keys = "text"
    key_type = "text"
    value_type = "nested"
    columns: Sequence[Column] | None = (
        Column("amount", "integer"), Column("at", "time"), Column("from", "nested"), Column("key", "text"),
    )  # fmt: skip


def payment(number: int, amount: Any = 5) -> Found:
    value = {"amount": amount, "at": "2026-07-01T12:00:00Z", "from": {"bank": "A"}, "key": "=1"}
    return Found(f"=key-{number}", value, 3, b"", START_MS)


async def pages(count: int, fails_at: int | None = None) -> AsyncIterator[list[Found]]:
    for page in range(count):
        if page == fails_at:
            raise PartitionsUnavailableError("gone", missing={1: "its worker is gone"})
        yield [payment(page * ROWS + row) for row in range(ROWS)]


async def written(source: AsyncIterator[list[Found]], format_: Format, table: Any = Payments) -> bytes:
    return b"".join([piece async for piece in export(table(), source, format_)])


async def test_a_parquet_file_has_typed_columns_and_the_values_as_they_are() -> None:
    frame = pl.read_parquet(io.BytesIO(await written(pages(50), "parquet")))
    assert frame.height == 50 * ROWS
    assert frame["key"].to_list() == [f"=key-{number}" for number in range(50 * ROWS)]
    first = frame.row(0, named=True)
    assert first == {
        "key": "=key-0", "partition": 3, "window_start": datetime.fromtimestamp(START_MS / 1000, UTC),
        "window_end": datetime.fromtimestamp(START_MS / 1000 + 60, UTC), "amount": 5,
        "at": datetime(2026, 7, 1, 12, tzinfo=UTC), "from": '{"bank":"A"}', "value_key": "=1", "undecodable": None,
    }  # fmt: skip


async def test_in_csv_no_text_begins_like_a_formula() -> None:
    lines = (await written(pages(1), "csv")).decode().splitlines()
    assert len(lines) == ROWS + 1
    assert lines[1].startswith("'=key-0,3,2025-06-15T15:07:00.000+00:00,")
    assert lines[1].endswith(""",5,2026-07-01T12:00:00Z,"{""bank"":""A""}",'=1,""")


@pytest.mark.parametrize("format_", ["csv", "ndjson", "parquet"])
async def test_what_cannot_be_read_to_its_end_is_no_whole_file(format_: Format) -> None:
    with pytest.raises(PartitionsUnavailableError):
        await written(pages(50, fails_at=40), format_)


async def test_a_value_of_another_type_than_its_column_is_named() -> None:
    async def wrong() -> AsyncIterator[list[Found]]:
        yield [payment(0, "five")]

    with pytest.raises(UserCodeError, match="column amount holds what is no integer"):
        await written(wrong(), "parquet")


async def test_rows_are_read_only_as_fast_as_the_file_is_taken_and_no_thread_stays() -> None:
    read = 0

    async def counted() -> AsyncIterator[list[Found]]:
        nonlocal read
        async for rows in pages(10_000):
            read += len(rows)
            yield rows

    exports = Exports()
    begun = await exports.begin(Payments(), counted(), "parquet")
    assert begun.first[:4] == b"PAR1"
    assert read < 1_000_000, "the rest waits for who takes it"
    others = [await exports.begin(Payments(), pages(10_000), "csv") for _ in range(3)]
    with pytest.raises(UnavailableError, match="4 exports run"):
        await exports.begin(Payments(), pages(1), "csv")
    for one in (begun, *others):
        await one.rest.aclose()
    async with aclosing((await exports.begin(Payments(), pages(1), "csv")).rest):
        pass
    for thread in threading.enumerate():
        if thread.name == "parquet":
            await asyncio.to_thread(thread.join, PATIENCE_S)
            assert not thread.is_alive()


class Balances(Payments):
    name = changelog = "balances"
    size_ms = None
    key_type = "text"
    value_type = "any"
    columns = None

    def decode_key(self, data: bytes, /) -> str:
        return data.decode()

    def decode(self, data: bytes, /) -> int:
        return int(data)

    def encode_key(self, key: str, /) -> bytes:
        return key.encode()

    route_key = encode_key


class Accounts(Balances):
    name = changelog = "accounts"
    columns = (Column("opened", "time"), Column("limit", "integer"))


def asking(rows: int) -> Queries:
    """Return what asks one worker that has so many balances, and no accounts."""

    def local(request: RowsRequest) -> WorkerRows:
        count = rows if request.table == "balances" else 0
        first = int(request.starts[0][1:] or b"0")
        end = min(count, first + request.limit)
        taken = [Row(b"k%06d" % n, b"%d" % n) for n in range(first, end)]
        behind = b"k%06d" % end if end < count else None
        return WorkerRows(partitions=[PartitionRows(number=0, role="owner", rows=taken, next=behind)])

    async def members() -> Sequence[MemberInfo]:
        return []

    async def ask(address: str, request: RowsRequest) -> WorkerRows:
        raise AssertionError(address)

    async def count(changelog: str) -> int:
        return 1

    return Queries("app", Asking(Surroundings("here", local, members, ask, SystemClock())), count)


TABLES: Any = {"balances": Balances(), "accounts": Accounts()}


async def answer(text: str, rows: int = 3, rows_max: int = 100) -> Any:
    statements = Statements(SystemClock())
    return await statements.run(text, TABLES, asking(rows), at_ms=None, rows_max=rows_max)


async def test_a_statement_is_answered_with_the_types_of_its_columns() -> None:
    found = await answer("SELECT key, value, value / 2 AS half FROM balances ORDER BY key DESC", rows_max=3)
    told = found.document(2)
    assert told["columns"] == [
        {"name": "key", "type": "text"}, {"name": "value", "type": "integer"}, {"name": "half", "type": "number"},
    ]  # fmt: skip
    assert (told["rows"], told["more"], told["read"]) == (
        [["k000002", 2, 1.0], ["k000001", 1, 0.5]],
        True,
        {"balances": 3},
    )
    file = await (await answer("SELECT '=' || key AS formula FROM balances LIMIT 1")).file("csv")
    assert file.first == b"formula\r\n'=k000000\r\n"
    empty = await answer('SELECT opened, "limit" FROM accounts WHERE "limit" > 5')
    assert empty.document(5)["rows"] == [], "a table without rows has its columns"


async def test_a_statement_that_takes_too_much_says_where_it_may() -> None:
    with pytest.raises(ConfigurationError, match="more than 200,000 rows") as refused:
        await answer("SELECT * FROM balances", rows=200_001)
    assert "faust -A app sql" in (refused.value.hint or "")
    with pytest.raises(ConfigurationError, match="5,000 characters"):
        await answer("SELECT".ljust(5_000))
