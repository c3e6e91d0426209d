"""What was asked of a windowed stream, and what it gives: the vocabulary that windows' operators and readers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from pelton.aggregate import Aggregate
from pelton.errors import ConfigurationError
from pelton.stream.lane import Send
from pelton.window import (
    WINDOW_PREFIX_BYTES,
    HoppingWindow,
    SessionWindow,
    SlidingWindow,
    TumblingWindow,
    Window,
    window_key_prefix,
    window_start_of,
)

__all__ = [
    "CLOSED",
    "OPEN",
    "PROCESSING_TIME",
    "WHOLE",
    "CountWindow",
    "ProcessingTimeMark",
    "UnboundedWindow",
    "WindowPlan",
    "WindowResult",
    "Windowing",
    "stored_window",
    "window_of",
]

R = TypeVar("R")

#: What the keys of open windows begin with, and those of windows that are closed and kept.
OPEN, CLOSED = b"w", b"d"
#: What the keys of windows of events begin with: one at a time a key.
WHOLE = b"c"


class ProcessingTimeMark:
    """The wall clock, where an event's time is asked for: `stream.window(..., time=pelton.PROCESSING_TIME)`."""

    def __repr__(self) -> str:
        return "PROCESSING_TIME"


PROCESSING_TIME = ProcessingTimeMark()


@dataclass(frozen=True, slots=True)
class CountWindow:
    """Windows of so many events of a key, whenever they come. Raises: ConfigurationError if size < 1."""

    size: int

    def __post_init__(self) -> None:
        if type(self.size) is not int or self.size < 1:
            raise ConfigurationError(f"a window of events: expected at least 1, got {self.size!r}")


@dataclass(frozen=True, slots=True)
class UnboundedWindow:
    """One window a key, which holds all of its events and never closes."""


Windowing = TumblingWindow | HoppingWindow | SessionWindow | SlidingWindow | CountWindow | UnboundedWindow


@dataclass(frozen=True, slots=True)
class WindowResult:
    """What a window of a key came to, or has come to so far.

    start_ms, end_ms: start_ms <= event time < end_ms; of a window of events, the least and the greatest of their
    times, and one more. values: by the names given to `agg`. final: whether the window is closed.
    aggregates: what was given to `agg`, by the same names.
    """

    key: Any
    start_ms: int
    end_ms: int
    values: Mapping[str, Any]
    final: bool
    aggregates: Mapping[str, Aggregate[Any]] = field(
        default_factory=dict[str, Aggregate[Any]], repr=False, compare=False
    )

    @overload
    def __getitem__(self, name: str) -> Any: ...

    @overload
    def __getitem__(self, name: Aggregate[R]) -> R: ...

    def __getitem__(self, name: str | Aggregate[Any]) -> Any:
        """Return one aggregate's value, by its name, or by the aggregate itself: type checkers know what that gives.

        Raises: KeyError when `agg` was given no such thing.
        """
        if isinstance(name, str):
            return self.values[name]
        for known, one in self.aggregates.items():
            if one is name or one == name:
                return self.values[known]
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """What `stream.window` was asked for.

    grace_ms: how long after its end, in stream time, a window takes late events.
    time_of: reads an event's time; None for the time of its topic. table: where the states are kept.
    late: makes a message of a late event, for a topic that collects them; None to only count them.
    idle_s: how long a topic may be silent before its time goes on with the wall clock; None to wait for ever.
    max_future_ms: how far an event may be ahead of its record's time before it is put aside; None for any.
    retention_ms: how long a window can be read after it was closed; None when not at all.
    processing: whether the time is that of the wall clock.
    """

    windowing: Windowing
    grace_ms: int
    time_of: Callable[[Any], Any] | None
    table: str
    late: Callable[[object, object], Send] | None
    idle_s: float | None = None
    max_future_ms: int | None = None
    retention_ms: int | None = None
    processing: bool = False

    @property
    def wakes(self) -> bool:
        """Whether windows may close without a record."""
        return self.processing or self.idle_s is not None


def stored_window(prefix: bytes, key: bytes, window: Window) -> bytes:
    """Return the table's key of a window: bytes that sort by its end, then its start, then the key."""
    return prefix + window_key_prefix(window.end_ms) + window_key_prefix(window.start_ms) + key


def window_of(stored: bytes) -> tuple[bytes, Window]:
    """Return the key and the window that a table's key stands for."""
    end, start = stored[1:], stored[1 + WINDOW_PREFIX_BYTES :]
    return start[WINDOW_PREFIX_BYTES:], Window(window_start_of(start), window_start_of(end))
