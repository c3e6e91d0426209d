"""Statements over frames, in their own process: what they may do, and what stops them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import polars as pl
import pytest

from pelton.errors import ConfigurationError, UnavailableError
from pelton.web import sql

MIB = 1 << 20
NUMBERS = pl.DataFrame({"key": [f"k{n}" for n in range(1_000)], "value": list(range(1_000))})


async def run(text: str, *, memory_mib: int = 512, timeout_s: float = 60.0) -> pl.DataFrame:
    return await sql.run(text, {"numbers": NUMBERS}, memory_bytes=memory_mib * MIB, timeout_s=timeout_s)


async def test_a_statement_is_answered() -> None:
    even = "WITH even AS (SELECT value FROM numbers WHERE value % 2 = 0)"
    found = await run(f"-- of all\n{even} SELECT SUM(value) AS s FROM even")
    assert found.to_dicts() == [{"s": sum(range(0, 1_000, 2))}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("DROP TABLE numbers", "expected a statement that reads"),
        ("SELECT * FROM read_csv('/etc/passwd')", "reads files"),
        ("SELECT * FROM numbers, \"READ_parquet\"('x')", "reads files"),
        ("SELECT nothing FROM numbers", "nothing"),
        ("SELECT key FROM numbers; SELECT 1", "statement"),
    ],
)
async def test_what_is_no_reading_of_the_tables_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        await run(text)


def test_no_file_can_be_opened_even_where_the_words_would_pass(tmp_path: Path) -> None:
    file = tmp_path / "secret.csv"
    file.write_text("a\nsecret\n")
    job = sql.SqlJob(f"SELECT * FROM read_csv('{file}')", {}, 512 * MIB)
    words = [sys.executable, "-m", "pelton.web.sql_process"]
    done = subprocess.run(words, input=msgspec.msgpack.encode(job), capture_output=True, check=False)
    assert done.returncode == sql.WRONG, done.stderr
    assert b"secret\n" not in done.stdout
    assert b"Too many open files" in done.stderr


async def test_a_statement_that_takes_too_much_is_stopped() -> None:
    product = "SELECT a.key AS x, b.key AS y, c.key AS z FROM numbers a CROSS JOIN numbers b CROSS JOIN numbers c"
    with pytest.raises(UnavailableError, match="within 64 MiB of memory"):
        await run(f"{product} ORDER BY z, y, x", memory_mib=64)
    with pytest.raises(UnavailableError, match=r"took longer than 0\.01 s"):
        await run("SELECT * FROM numbers", timeout_s=0.01)


async def test_an_answer_has_so_many_rows_and_bytes_at_most() -> None:
    options = {"memory_bytes": 512 * MIB, "timeout_s": 60.0}
    found = await sql.run("SELECT * FROM numbers", {"numbers": NUMBERS}, rows_max=3, bytes_max=MIB, **options)
    assert found.height == 3
    with pytest.raises(ConfigurationError, match="more than 1,000 bytes: ask for fewer rows, with LIMIT"):
        await sql.run("SELECT * FROM numbers", {"numbers": NUMBERS}, bytes_max=1_000, **options)


def test_tables_are_found_by_their_names() -> None:
    tables = ["balances", "balances-old", "minutes"]
    assert sql.mentioned('select * from "balances-old" join minutes', tables) == ["balances-old", "minutes"]
    with pytest.raises(ConfigurationError, match="names no table"):
        sql.mentioned("select 1", tables)
