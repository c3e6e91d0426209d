"""Every compatibility program works in a directory of its own, and is configured by the environment alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat.harness import environment


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the test's directory; the log and the data of its program are there."""
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    return tmp_path
