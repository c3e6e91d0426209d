"""A program in the background: it ends with whoever started it, however that ends, unless it is to last."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pelton.testing.broker.program import launch, living
from tests.patience import PATIENCE_S

STARTER = """
import sys, time
from pathlib import Path
from pelton.testing.broker.program import launch
place = Path(sys.argv[1])
launch("it", ["sleep", "3600"], place, place / "log", place / "pid", lasting=sys.argv[2] == "lasting")
print("started", flush=True)
time.sleep(3600)
"""


@contextmanager
def started(place: Path, kind: str) -> Generator[subprocess.Popen[bytes]]:
    """Start a process that starts the program; neither outlives this."""
    process = subprocess.Popen([sys.executable, "-c", STARTER, str(place), kind], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        yield process
    finally:
        process.kill()
        process.communicate()
        if (pid := living(place / "pid")) is not None:
            os.kill(pid, signal.SIGKILL)


def until_gone(pid_file: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while living(pid_file) is not None:
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_who_started_it(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path, "bound") as process:
        assert living(tmp_path / "pid") is not None
        process.send_signal(number)
        process.wait()
        until_gone(tmp_path / "pid")


def test_one_that_is_to_last_goes_on(tmp_path: Path) -> None:
    with started(tmp_path, "lasting") as process:
        process.kill()
        process.wait()
        assert living(tmp_path / "pid") is not None


def test_one_that_ends_before_is_gone_with_who_watched_it(tmp_path: Path) -> None:
    process = launch("it", ["sleep", "3600"], tmp_path, tmp_path / "log", tmp_path / "pid")
    assert living(tmp_path / "pid") == process.pid
    process.terminate()
    assert process.wait(PATIENCE_S) == -signal.SIGTERM
    until_gone(tmp_path / "pid")
    deadline = time.monotonic() + PATIENCE_S
    while members(process.pid):
        assert time.monotonic() < deadline, "what watched is there still"
        time.sleep(0.1)


def members(group: int) -> list[int]:
    """Return the processes of a group."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found
