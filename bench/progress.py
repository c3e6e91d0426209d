"""What the harness is doing, on stderr, with the seconds so far."""

from __future__ import annotations

import sys
import time
from typing import TextIO

__all__ = ["Progress"]


class Progress:
    """Prints a line for each step, and one for a running step at most every `every_s` seconds."""

    def __init__(self, stream: TextIO = sys.stderr, every_s: float = 2.0) -> None:
        self._stream = stream
        self._every_s = every_s
        self._start = self._last = time.monotonic()

    def step(self, text: str) -> None:
        """Say what begins now."""
        self._last = time.monotonic()
        print(f"[{self._last - self._start:6.1f} s] {text}", file=self._stream, flush=True)

    def tick(self, text: str) -> None:
        """Say how far the running step is, unless that was said just now."""
        if time.monotonic() - self._last >= self._every_s:
            self.step(text)
