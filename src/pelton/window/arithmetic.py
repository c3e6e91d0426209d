"""Which windows hold a timestamp: pure arithmetic on integer milliseconds.

Windows are half-open, [start, end). Timestamps may lie before the epoch and may come in any order. Nothing here
reads a clock or keeps state; a session, which depends on what came before, is told the sessions that there are.
Source: Akidau et al., The Dataflow Model, VLDB 2015, section 2.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pelton.errors import ConfigurationError

__all__ = [
    "HoppingWindow",
    "Int64Array",
    "SessionMerge",
    "SessionWindow",
    "SlidingWindow",
    "TumblingWindow",
    "Window",
    "hopping_starts",
    "tumbling_starts",
]

Int64Array = NDArray[np.int64]


class Window(NamedTuple):
    """One window: start_ms <= timestamp < end_ms."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class TumblingWindow:
    """Windows side by side: window k is [k*size, (k+1)*size).

    Raises: ConfigurationError if size_ms < 1.
    """

    size_ms: int

    def __post_init__(self) -> None:
        _at_least_one("size_ms", self.size_ms)

    def start(self, timestamp_ms: int) -> int:
        """Return the start of the window that holds a timestamp.

        >>> TumblingWindow(60_000).start(-1)
        -60000
        """
        return timestamp_ms - timestamp_ms % self.size_ms

    def window(self, timestamp_ms: int) -> Window:
        """Return the window that holds a timestamp."""
        start = timestamp_ms - timestamp_ms % self.size_ms
        return Window(start, start + self.size_ms)

    def windows(self, timestamp_ms: int) -> list[Window]:
        """Return all windows that hold a timestamp: the one."""
        return [self.window(timestamp_ms)]


@dataclass(frozen=True, slots=True)
class HoppingWindow:
    """Windows of one size that start every step: window k is [k*step, k*step + size).

    With a step below the size they overlap, with one above it they leave gaps, in which a timestamp has no window.
    Raises: ConfigurationError if size_ms or step_ms < 1.
    """

    size_ms: int
    step_ms: int

    def __post_init__(self) -> None:
        _at_least_one("size_ms", self.size_ms)
        _at_least_one("step_ms", self.step_ms)

    def starts(self, timestamp_ms: int) -> range:
        """Return the starts of all windows that hold a timestamp, in order; empty in a gap.

        >>> list(HoppingWindow(size_ms=10, step_ms=5).starts(12))
        [5, 10]
        """
        step = self.step_ms
        last = timestamp_ms - timestamp_ms % step
        oldest = timestamp_ms - self.size_ms + 1
        return range(oldest + -oldest % step, last + 1, step)

    def latest_start(self, timestamp_ms: int) -> int:
        """Return the start of the last window to begin at or before a timestamp, whether or not it holds it."""
        return timestamp_ms - timestamp_ms % self.step_ms

    def windows(self, timestamp_ms: int) -> list[Window]:
        """Return all windows that hold a timestamp, in order; empty in a gap."""
        return [Window(start, start + self.size_ms) for start in self.starts(timestamp_ms)]


@dataclass(frozen=True, slots=True)
class SlidingWindow:
    """A window of its own around each timestamp: [t - before, t + after], both ends included.

    Raises: ConfigurationError if before_ms or after_ms is negative.
    """

    before_ms: int
    after_ms: int = 0

    def __post_init__(self) -> None:
        _not_negative("before_ms", self.before_ms)
        _not_negative("after_ms", self.after_ms)

    def window(self, timestamp_ms: int) -> Window:
        """Return the window around a timestamp, half-open: its end is one millisecond past the last it holds.

        >>> SlidingWindow(before_ms=10, after_ms=5).window(100)
        Window(start_ms=90, end_ms=106)
        """
        return Window(timestamp_ms - self.before_ms, timestamp_ms + self.after_ms + 1)


class SessionMerge(NamedTuple):
    """What one timestamp does to the sessions of its key.

    session: the session that holds it now.
    merged: the sessions that were there before and are part of it now; their values are to be joined into it.
    """

    session: Window
    merged: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class SessionWindow:
    """Windows of activity: timestamps at most a gap apart belong together.

    A lone timestamp's session is [t, t + gap). Two sessions that overlap or touch are one.
    Raises: ConfigurationError if gap_ms < 1.
    """

    gap_ms: int

    def __post_init__(self) -> None:
        _at_least_one("gap_ms", self.gap_ms)

    def merge(self, timestamp_ms: int, sessions: Iterable[Window]) -> SessionMerge:
        """Return the session of a timestamp, given the sessions its key has so far, in any order.

        Only sessions that touch `reach(timestamp_ms)` can matter; others may be left out.

        >>> SessionWindow(10).merge(12, [Window(0, 15), Window(22, 40), Window(90, 100)]).session
        Window(start_ms=0, end_ms=40)
        """
        start, end = timestamp_ms, timestamp_ms + self.gap_ms
        merged = tuple(window for window in sessions if window.start_ms <= end and window.end_ms >= start)
        if merged:
            start = min(start, *(window.start_ms for window in merged))
            end = max(end, *(window.end_ms for window in merged))
        return SessionMerge(Window(start, end), merged)

    def reach(self, timestamp_ms: int) -> Window:
        """Return the span that a session must overlap or touch for a timestamp to become part of it."""
        return Window(timestamp_ms, timestamp_ms + self.gap_ms)


def tumbling_starts(timestamps_ms: Int64Array, size_ms: int) -> Int64Array:
    """Return the start of the tumbling window holding each timestamp.

    timestamps_ms: shape (n,), milliseconds since the epoch, any order.
    Returns: shape (n,), milliseconds; window k is [k*size, (k+1)*size).
    Raises: ConfigurationError if size_ms < 1.
    Source: Akidau et al., The Dataflow Model, VLDB 2015, section 2.2.
    """
    _at_least_one("size_ms", size_ms)
    return timestamps_ms - timestamps_ms % np.int64(size_ms)


def hopping_starts(timestamps_ms: Int64Array, size_ms: int, step_ms: int) -> tuple[Int64Array, Int64Array]:
    """Return every pair of a timestamp and a hopping window that holds it.

    timestamps_ms: shape (n,), milliseconds since the epoch, any order.
    Returns: rows and starts, both of shape (m,): timestamps_ms[rows[i]] lies in [starts[i], starts[i] + size),
        ordered by row, then by start.
    Raises: ConfigurationError if size_ms or step_ms < 1.
    """
    _at_least_one("size_ms", size_ms)
    latest = tumbling_starts(timestamps_ms, step_ms)
    windows_max = -(-size_ms // step_ms)
    back = np.arange(windows_max - 1, -1, -1, dtype=np.int64) * np.int64(step_ms)
    starts = latest[:, None] - back[None, :]
    held = timestamps_ms[:, None] < starts + np.int64(size_ms)
    rows = np.nonzero(held)[0].astype(np.int64)
    return rows, starts[held]


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ConfigurationError(f"{name}: expected at least 1 millisecond, got {value}")


def _not_negative(name: str, value: int) -> None:
    if value < 0:
        raise ConfigurationError(f"{name}: expected 0 milliseconds or more, got {value}")
