"""The last warnings and errors that this worker logged, for whoever opens Home to see why something is wrong."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["LoggedError", "RecentErrors"]

#: So many are kept; one that repeats counts once.
KEPT = 50
_CHARS_MAX = 500


class LoggedError(msgspec.Struct):
    """A line of the log that says something is wrong. time_ms: when it came last. times: how often, in a row.

    where: what the code was at, as JSON logs tell it: agent, topic, partition, offset.
    """

    time_ms: int
    level: str
    logger: str
    message: str
    where: dict[str, str] = {}
    times: int = 1


class RecentErrors(logging.Handler):
    """Keeps the last of them. where: returns what the code that logs is at."""

    def __init__(self, where: Callable[[logging.LogRecord], Mapping[str, Any]] = lambda _: {}) -> None:
        super().__init__(logging.WARNING)
        self._where = where
        self._kept: deque[LoggedError] = deque(maxlen=KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        try:
            told = _told(record, self._where(record))
        except Exception:  # a line that cannot be formatted: as every handler does
            self.handleError(record)
            return
        last = self._kept[-1] if self._kept else None
        if last is not None and (last.logger, last.message, last.level) == (told.logger, told.message, told.level):
            last.time_ms, last.where = told.time_ms, told.where
            last.times += 1
        else:
            self._kept.append(told)

    def latest(self) -> Sequence[LoggedError]:
        """Return them, newest first."""
        return list(reversed(self._kept))


def _told(record: logging.LogRecord, where: Mapping[str, Any]) -> LoggedError:
    message = record.getMessage().strip()
    if record.exc_info and record.exc_info[1] is not None and str(record.exc_info[1]) not in message:
        message = f"{message}: {record.exc_info[1]!r}"
    place = {name: str(value) for name, value in where.items() if value is not None and name != "task"}
    return LoggedError(int(record.created * 1000), record.levelname, record.name, message[:_CHARS_MAX], place)
