"""mypy and pyright, both strict, know what a program's values are, and find what is wrong with it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def mypy(file: Path) -> dict[int, str]:
    """Return line -> what mypy says of it."""
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = re.findall(r"^[^:\n]+:(\d+): error: (.*)$", done.stdout, re.MULTILINE)
    return {int(line): text for line, text in found}


def pyright(file: Path) -> dict[int, str]:
    """Return line -> what pyright says of it."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    told = json.loads(done.stdout)
    assert told["summary"]["filesAnalyzed"] == 1
    errors = [one for one in told["generalDiagnostics"] if one["severity"] == "error"]
    return {one["range"]["start"]["line"] + 1: one["message"] for one in errors}


@pytest.mark.parametrize("check", [mypy, pyright])
def test_types_are_known(check: Callable[[Path], dict[int, str]]) -> None:
    assert check(HERE / "known.py") == {}


@pytest.mark.parametrize("check", [mypy, pyright])
def test_what_is_wrong_is_found_and_nothing_else(check: Callable[[Path], dict[int, str]]) -> None:
    lines = (HERE / "wrong.py").read_text().splitlines()
    marked = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert len(marked) > 10
    found = check(HERE / "wrong.py")
    assert set(found) == marked, found


def test_installed_packages_are_typed() -> None:
    assert (ROOT / "src" / "pelton" / "py.typed").exists()
