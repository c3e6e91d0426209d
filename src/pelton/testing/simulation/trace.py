"""What happened in a run, line by line: its hash tells whether two runs were the same."""

from __future__ import annotations

import logging
from collections.abc import Callable
from hashlib import sha256

__all__ = ["Trace", "TraceHandler"]


class Trace:
    """The story of a run. show: called with each line, when somebody wants to read it."""

    def __init__(self, show: Callable[[str], None] | None = None) -> None:
        self._hash = sha256()
        self._show = show

    @property
    def shown(self) -> bool:
        """Whether somebody reads it."""
        return self._show is not None

    def note(self, time_s: float, who: str, what: str) -> None:
        """Add a line."""
        line = f"{time_s:10.6f}  {who:<8} {what}"
        self._hash.update(line.encode())
        if self._show is not None:
            self._show(line)

    def remark(self, time_s: float, who: str, what: str) -> None:
        """Add a line for the reader alone: the engine's own log, which is no part of what happened."""
        if self._show is not None:
            self._show(f"{time_s:10.6f}  {who:<8}   | {what}")

    def digest(self) -> str:
        """Return the hash of all lines so far."""
        return self._hash.hexdigest()[:16]


class TraceHandler(logging.Handler):
    """Takes the engine's log into the trace."""

    def __init__(self, remark: Callable[[str], None]) -> None:
        super().__init__()
        self._remark = remark

    def emit(self, record: logging.LogRecord) -> None:
        """Add the record's text, without tracebacks."""
        self._remark(record.getMessage())
