"""The table of the Nexmark queries says what there is."""

from __future__ import annotations

from pathlib import Path

from bench.nexmark.catalogue import QUERIES

PAGE = Path(__file__).parents[2] / "docs" / "nexmark.md"


def test_the_page_lists_every_query() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| q") and "](" in line]
    assert rows == [
        f"| q{number}: {query.title} | {query.shows} | [q{number}.py](../bench/nexmark/queries/q{number}.py) "
        "| passed | passed |"
        for number, query in QUERIES.items()
    ]
    assert all((PAGE.parent / f"../bench/nexmark/queries/q{number}.py").exists() for number in QUERIES)


def test_every_query_s_program_says_what_it_is() -> None:
    for number, query in QUERIES.items():
        text = (PAGE.parent / f"../bench/nexmark/queries/q{number}.py").read_text()
        assert text.startswith(f'"""Query {number}: {query.title}. ')
