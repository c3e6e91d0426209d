"""Every fault of Faust has a test, and every such test a row on the page for those who come from Faust."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def described() -> dict[str, str]:
    """Return test -> its docstring."""
    found: dict[str, str] = {}
    for file in (ROOT / "tests" / "faust_faults").glob("test_*.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found[node.name] = ast.get_docstring(node) or ""
    return found


def test_every_fault_has_a_row_and_every_row_a_test() -> None:
    page = (ROOT / "docs" / "moving-from-faust.md").read_text()
    rows = re.findall(r"^\| (\d+)\. .*\| `(test_\w+)` \|$", page, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 22))
    assert {test for _, test in rows} == set(described())
    for number, test in rows:
        assert test.startswith(f"test_{int(number):02d}_")


def test_every_test_tells_of_faust_and_of_pelton() -> None:
    for test, text in described().items():
        faust, _, here = text.partition("\n\n")
        assert "Faust" in faust, test
        assert here.startswith("Here "), test
