"""Ctrl-C while a worker is still starting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]


def test_a_start_that_waits_for_an_agent_ends_cleanly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "faust", "-A", "tests.compat.programs.slow_start", "worker", "-l", "info"]
    data = {"BROKER_URL": f"sqlite:///{tmp_path}/log.sqlite", "APP_DATADIR": str(tmp_path / "data")}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | data,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as worker:
        assert worker.stdout is not None
        lines = iter(worker.stdout.readline, "")
        output = next(line for line in lines if "warming up" in line)
        worker.send_signal(signal.SIGINT)
        output += "".join(lines)
        assert worker.wait(PATIENCE_S) == 0, output
    assert "Traceback" not in output
