"""The machine that the figures come from, and how fast it is at this moment.

A shared or virtual machine changes its speed between runs and even between two systems of one run. The same short loop
is timed before each, so that a figure can be read beside the speed of its moment.
"""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import psutil

__all__ = ["Stolen", "describe", "loops_per_s"]

_LOOPS = 1_000_000


def loops_per_s() -> float:
    """Return how many turns of a fixed arithmetic loop one core of this Python does in a second of CPU time."""
    started, total = time.process_time(), 0
    for number in range(_LOOPS):
        total += number * number % 7
    return _LOOPS / (time.process_time() - started)


def describe() -> str:
    """Return one line: processor, cores, memory, system, Python, and the load of the last minute."""
    memory_gib = psutil.virtual_memory().total / 1024**3
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()} {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}, load average {psutil.getloadavg()[0]:.1f}"
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


class Stolen:
    """The share of the cores' time that the hypervisor gave to others since this was made: 0 where it does not tell."""

    def __init__(self) -> None:
        self._before = psutil.cpu_times()

    def share(self) -> float:
        """Return the share, from 0 to 1."""
        now = psutil.cpu_times()
        spent = sum(now) - sum(self._before)
        stolen = getattr(now, "steal", 0.0) - getattr(self._before, "steal", 0.0)
        return stolen / spent if spent > 0 else 0.0
