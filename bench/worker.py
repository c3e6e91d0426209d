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
        self._peak_mib = 0.0

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
        """Return the CPU seconds, user and system, that the worker's processes have used since they started."""
        return sum(times.user + times.system for times in (process.cpu_times() for process in self._processes()))

    def peak_rss_mib(self) -> float:
        """Return the largest resident memory so far, in MiB; of several processes, the sum of each one's largest.

        Linux keeps the exact peak (VmHWM); elsewhere it is the largest of the values seen by calling this.
        """
        kib = [_peak_kib(process.pid) for process in self._processes()]
        if None not in kib:
            return sum(filter(None, kib)) / 1024
        self._peak_mib = max(self._peak_mib, self.rss_mib())
        return self._peak_mib

    def rss_mib(self) -> float:
        """Return the resident memory now, in MiB."""
        return sum(process.memory_info().rss for process in self._processes()) / 1024**2

    def _processes(self) -> list[psutil.Process]:
        """Return the process and those that it has started."""
        return [self._process, *self._process.children(recursive=True)]

    def stop(self) -> None:
        """Ask the worker to stop, and kill it when it does not within `STOP_S`. Idempotent."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except psutil.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _peak_kib(pid: int) -> int | None:
    """Return a process' peak of resident memory as Linux keeps it; None elsewhere."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1])
