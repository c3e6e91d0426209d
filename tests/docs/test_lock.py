"""The lock files are as they must be, and the audit finds those that are not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def audit(directory: Path) -> tuple[int, str]:
    words = (sys.executable, str(ROOT / ".ci" / "audit.py"), str(directory))
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_lock_files() -> None:
    status, printed = audit(ROOT / "requirements")
    assert status == 0, printed


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: "aiohttp>=3\n" + text, "not pinned to one version: aiohttp>=3"),
        (lambda text: "requests==2.0\n" + text, "requests has no sha256 hash"),
        (lambda text: text.replace("msgspec==", "msgspec==0.1."), "msgspec is"),
        (lambda text: text.replace("venusian==3.1.0", "venusian==9.9"), "is installed, 9.9 is locked"),
    ],
    ids=["not pinned", "no hash", "files disagree", "not what is installed"],
)
def test_faults_are_found(tmp_path: Path, spoil: Callable[[str], str], said: str) -> None:
    for file in (ROOT / "requirements").glob("*.txt"):
        shutil.copy(file, tmp_path)
    first = tmp_path / "dev.txt"
    first.write_text(spoil(first.read_text()))
    status, printed = audit(tmp_path)
    assert status == 1
    assert said in printed


def test_what_pyproject_asks_for_is_locked(tmp_path: Path) -> None:
    shutil.copy(ROOT / "requirements" / "kafka.txt", tmp_path)
    assert "ruff is in pyproject.toml, and not locked" in audit(tmp_path)[1]
