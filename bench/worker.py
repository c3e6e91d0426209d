"""A system under test as a real worker process: started, watched from outside, stopped.

The harness never reaches into the process: CPU time and memory are the operating system's own figures.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

__all__ = ["Worker", "WorkerFailed"]

#: A worker that was asked to stop gets this long to commit and leave.
STOP_S = 30.0
LOG_TAIL_LINES = 25


class WorkerFailed(RuntimeError):
    """The worker ended by itself or stood still; the text holds the end of its output."""


class Worker:
    """A running worker process, to be used in a with statement.

    command: the argument list. environment: added to the harness' own. output: a file that takes stdout and stderr.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], output: Path, directory: Path) -> None:
        self._command = list(command)
        self._environment = {**os.environ, **environment}
        self._output = output
        self._directory = directory
        self._peak_bytes = 0

    def __enter__(self) -> Self:
        with self._output.open("wb") as sink:
            self._process = psutil.Popen(
                self._command, env=self._environment, cwd=self._directory, stdout=sink, stderr=subprocess.STDOUT
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def check(self) -> None:
        """Raise WorkerFailed when the process has ended."""
        if self._process.poll() is not None:
            raise self.failed(f"worker ended with code {self._process.returncode}")

    def failed(self, reason: str) -> WorkerFailed:
        """Return the error for a reason, with the end of the worker's output."""
        lines = self._output.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return WorkerFailed("\n".join([reason, *lines]))

    def cpu_s(self) -> float:
        """Return the CPU seconds, user and system, that the process has used since it started."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def peak_rss_mib(self) -> float:
        """Return the largest resident memory so far, in MiB.

        Linux keeps the exact peak (VmHWM); elsewhere it is the largest of the values seen by calling this.
        """
        status = Path(f"/proc/{self._process.pid}/status")
        if status.exists():
            kib = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]
            return int(kib) / 1024
        self._peak_bytes = max(self._peak_bytes, self._process.memory_info().rss)
        return self._peak_bytes / 1024**2

    def stop(self) -> None:
        """Ask the worker to stop, and kill it when it does not within `STOP_S`. Idempotent."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except psutil.TimeoutExpired:
            self._process.kill()
            self._process.wait()
