"""The program `faust` as it is installed: what it says of an application that is not there, and of its own options."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os
import pelton
app = pelton.App("here", datadir=os.environ["HERE"])
"""


def faust(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pelton.shell.main", *words]
    return subprocess.run(
        command, cwd=directory, env={"HERE": str(directory)}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("nope.agents:app", "there is no application 'nope.agents:app': no module named 'nope'"),
        ("empty", "there is no application 'empty': the module 'empty' has no 'app'"),
    ],
)
def test_an_application_that_is_not_there_takes_two_lines(named: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("")
    done = faust(tmp_path, "-A", named, "worker")
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first == f"error: {told}"
    assert second.startswith("hint: ")


def test_what_an_application_fails_to_import_itself_comes_with_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import no_such_library\n")
    done = faust(tmp_path, "-A", "broken", "worker")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "No module named 'no_such_library'" in done.stderr


def test_the_worker_says_where_its_web_server_listens(tmp_path: Path) -> None:
    (tmp_path / "here.py").write_text(PROGRAM)
    done = faust(tmp_path, "-A", "here", "worker", "--help")
    assert done.returncode == 0, done.stderr
    assert "0.0.0.0" not in done.stdout
    assert " ".join(done.stdout.split()).count("default: 127.0.0.1") == 1
    assert done.stdout.count("--web-bind") == done.stdout.count("--web-host") == 1
