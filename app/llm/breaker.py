"""A circuit breaker: who fails again and again is left alone for a while, instead of being waited for each time.

    closed ──so many failures in a row──▶ open ──the time is over──▶ half open ──one call succeeds──▶ closed
      ▲                                     ▲                            │ it fails
      └──────── a success ─────────         └────────────────────────────┘

Source: M. Nygard, Release It!, 2nd ed., 2018, chapter 5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

__all__ = ["Breaker", "State"]

State = Literal["closed", "open", "half open"]


class Breaker:
    """failures: how many in a row open it. cool_down_s: how long it stays open. now: elapsed time in seconds."""

    def __init__(self, failures: int, cool_down_s: float, now: Callable[[], float]) -> None:
        self._failures_max = failures
        self._cool_down_s = cool_down_s
        self._now = now
        self._failures = 0
        self._opened_s: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        """What it would do with a call now."""
        if self._opened_s is None:
            return "closed"
        return "half open" if self._now() - self._opened_s >= self._cool_down_s else "open"

    def admits(self) -> bool:
        """Return whether a call may begin; of those that come while it is half open, one may."""
        state = self.state
        if state == "closed":
            return True
        if state == "open" or self._probing:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """A call came back."""
        self._failures, self._opened_s, self._probing = 0, None, False

    def failed(self) -> None:
        """A call failed."""
        self._failures += 1
        if self._probing or self._failures >= self._failures_max:
            self._opened_s, self._probing = self._now(), False

    def abandoned(self) -> None:
        """A call was given up for reasons of its own: it says nothing about the other side."""
        self._probing = False
