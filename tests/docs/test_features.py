"""The table of features in docs/semantics.md: each of pelton's cells leads to a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "semantics.md"
COLUMNS = ["", "pelton", "Faust", "Quix Streams", "Kafka Streams", "Flink"]


def rows() -> list[list[str]]:
    section = PAGE.read_text().partition("## Feature by feature\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_compares_with_all_of_them() -> None:
    header, rule, *features = rows()
    assert header == COLUMNS
    assert set(rule) == {"---"}
    assert len(features) >= 25
    for cells in features:
        assert len(cells) == len(COLUMNS)
        assert all(cells), cells


def test_each_cell_of_ours_leads_to_a_test_that_is_there() -> None:
    for feature, ours, *_ in rows()[2:]:
        targets = re.findall(r"\]\(([^)#]+)#([^)]+)\)", ours)
        assert targets, f"{feature}: no test"
        for file, name in targets:
            text = (PAGE.parent / file).resolve().read_text()
            assert re.search(rf"^ *(async )?def {re.escape(name)}\(", text, re.MULTILINE), (
                f"{feature}: {file} has no {name}"
            )


def test_every_test_that_the_page_names_is_there() -> None:
    for file in re.findall(r"\]\((\.\./tests/[^)#]+)", PAGE.read_text()):
        assert (PAGE.parent / file).exists(), file
