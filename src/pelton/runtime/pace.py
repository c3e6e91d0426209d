"""How soon a commit may follow the last one."""

from __future__ import annotations

from pelton.clock import Clock

__all__ = ["Pace"]

#: How often to look whether a commit is due when nothing wakes whoever looks, in seconds.
_TICK_S = 0.05
#: The least time between two commits that only answers ask for, in seconds; and how many times what one takes.
_ANSWERS_S = 0.005
_ANSWERS_TIMES = 4


class Pace:
    """When the last commit began, how long it took, and what follows for the next.

    interval_s: the longest that complete events wait. Those with answers to requests do not wait for that: whoever
    asked may itself be in the middle of an event, so that nothing would be quiet before the interval has passed.
    """

    def __init__(self, clock: Clock, interval_s: float) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._began = 0.0
        self._answers_s = _ANSWERS_S

    def begin(self) -> None:
        """A commit begins, or the worker does."""
        self._began = self._clock.monotonic()

    def succeeded(self) -> None:
        """The commit has come to its end: answers alone are not to take up much of the time with commits."""
        self._answers_s = max(_ANSWERS_S, _ANSWERS_TIMES * self.elapsed_s())

    def elapsed_s(self) -> float:
        """Return how long ago the last commit began, in seconds."""
        return self._clock.monotonic() - self._began

    def due(self, *, answering: bool) -> bool:
        """Return whether it is time. answering: whether answers wait for a commit."""
        elapsed_s = self.elapsed_s()
        return elapsed_s >= self._interval_s or (answering and elapsed_s >= self._answers_s)

    def tick_s(self, *, answering: bool) -> float:
        """Return after what time to look again at the latest."""
        return min(_TICK_S, max(0.0, self._answers_s - self.elapsed_s())) if answering else _TICK_S
