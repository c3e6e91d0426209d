"""Several processes behind one command, with plain programs in the place of workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S as WAIT_S

pytestmark = pytest.mark.timeout(300)

#: Notes its start under a name of its own, then does what the file `<name>.do` says once it is there.
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
directory, name = Path(sys.argv[1]), os.environ["NAME"]
def note(word):
    with (directory / name).open("a") as file:
        file.write(word + " ")
def end(*_):
    note("ended")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
if os.environ.get("WATCH"):
    from pelton.shell.processes import end_with_parent
    end_with_parent()
note(f"started {os.getpid()}")
while not (order := directory / f"{name}.do").exists():
    time.sleep(0.02)
status = int(order.read_text())
order.unlink()
sys.exit(status)
"""
FAMILY = """
import sys
from pelton.shell.processes import run_processes
words = [sys.executable, "-c", sys.argv[1], sys.argv[2]]
commands = [(words, {"NAME": name}) for name in ("a", "b")]
sys.exit(run_processes(commands, early_s=float(sys.argv[3])))
"""


class Family:
    def __init__(self, directory: Path, early_s: float, **variables: str) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-c", FAMILY, PROGRAM, str(directory), str(early_s)],
            env=os.environ | variables,
            stderr=subprocess.PIPE,
            text=True,
        )

    def notes(self, name: str) -> list[str]:
        file = self.directory / name
        return file.read_text().split() if file.exists() else []

    def order(self, name: str, status: int) -> None:
        draft = self.directory / "draft"
        draft.write_text(str(status))
        draft.rename(self.directory / f"{name}.do")

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def until_started(self, name: str, times: int = 1) -> None:
        self.until(lambda: self.notes(name).count("started") == times)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_in_order(tmp_path: Path, signum: int) -> None:
    family = Family(tmp_path, 0.0)
    for name in ("a", "b"):
        family.until_started(name)
    family.process.send_signal(signum)
    family.process.communicate(timeout=WAIT_S)
    assert family.process.returncode == 0
    assert [family.notes(name)[2:] for name in ("a", "b")] == [["ended"], ["ended"]]


def test_one_that_ends_by_itself_is_started_anew(tmp_path: Path) -> None:
    family = Family(tmp_path, 0.0)
    for name in ("a", "b"):
        family.until_started(name)
    family.order("b", 75)
    family.until_started("b", 2)
    family.process.send_signal(signal.SIGTERM)
    _, told = family.process.communicate(timeout=WAIT_S)
    assert family.process.returncode == 0
    assert "process 2 of 2 ended with status 75, it is started anew" in told
    assert family.notes("a").count("started") == 1


def test_one_that_ends_soon_after_its_start_ends_all(tmp_path: Path) -> None:
    family = Family(tmp_path, 3_600.0)
    for name in ("a", "b"):
        family.until_started(name)
    family.order("b", 3)
    _, told = family.process.communicate(timeout=WAIT_S)
    assert family.process.returncode == 3
    assert "process 2 of 2 ended with status 3, so soon that all end" in told
    assert family.notes("a")[2:] == ["ended"]


def test_none_outlives_the_command(tmp_path: Path) -> None:
    family = Family(tmp_path, 0.0, WATCH="1")
    for name in ("a", "b"):
        family.until_started(name)
    family.process.kill()
    family.process.communicate(timeout=WAIT_S)
    for name in ("a", "b"):
        family.until(lambda name=name: family.notes(name)[2:] == ["ended"])
