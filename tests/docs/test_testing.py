"""The examples of docs/testing.md are programs and tests that pass, and its list of what a driver does is whole."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from pelton.testing import Driver
from tests.patience import PATIENCE_S

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
_BLOCK = re.compile(r"^```python\n# (?P<file>\w+\.py)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_examples_pass(tmp_path: Path) -> None:
    text = PAGE.read_text()
    blocks = list(_BLOCK.finditer(text))
    assert len(blocks) == text.count("```python") > 5
    for block in blocks:
        (tmp_path / block["file"]).write_text(block["code"])
    settings = ("asyncio_mode = auto", "asyncio_default_fixture_loop_scope = function", "filterwarnings = error")
    (tmp_path / "pytest.ini").write_text("\n".join(["[pytest]", *settings]))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    tests = sum(block["code"].count("def test_") for block in blocks)
    assert f"{tests} passed" in done.stdout, done.stdout + done.stderr


def test_everything_a_driver_does_is_on_the_page() -> None:
    text = PAGE.read_text()
    names = {name for name in vars(Driver) if not name.startswith("_")}
    assert {name for name in names if f"driver.{name}" not in text} == {"app", "settle", "turns", "close"} & names
