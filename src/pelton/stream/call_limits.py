"""How often calls to the outside begin: a token bucket, one a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from heapq import heappop, heappush

from pelton.errors import ConfigurationError
from pelton.window import seconds

__all__ = ["RateLimit", "TokenBucket", "rate_limit_of"]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many calls in a time.

    calls: how many; per: in which time, in seconds or as a timedelta. burst: how many may begin at once after a pause;
    with 1 they are spread evenly, so that no window of that time sees more than calls + 1.
    Raises: ConfigurationError.
    """

    calls: float
    per: float | timedelta = 1.0
    burst: int = 1

    def __post_init__(self) -> None:
        if not self.calls > 0 or not seconds(self.per) > 0 or self.burst < 1:
            raise ConfigurationError(
                f"a rate limit: expected calls, a time and a burst above 0, got {self!r}",
                hint="write rate_limit=10 for ten calls a second, or rate_limit=pelton.RateLimit(500, per=60)",
            )


class TokenBucket:
    """Says how long each call has to wait for its turn; those that ask first go first.

    Source: the generic cell rate algorithm, ITU-T I.371, in its virtual-scheduling form: a token bucket without a
        timer that fills it.
    """

    def __init__(self, limit: RateLimit) -> None:
        self._interval_s = seconds(limit.per) / limit.calls
        self._ahead_s = self._interval_s * (limit.burst - 1)
        self._due_s = float("-inf")
        #: Tokens that were given back: when each is due, a heap.
        self._free_s: list[float] = []

    def reserve_s(self, now_s: float) -> float:
        """Take the next token; return how long to wait for it, in seconds. now_s: elapsed time, as of a clock."""
        while self._free_s and self._free_s[0] < now_s:
            heappop(self._free_s)  # used later than it is due, it would be one too many with those behind it
        if self._free_s:
            due_s = heappop(self._free_s)
        else:
            due_s = max(self._due_s, now_s)
            self._due_s = due_s + self._interval_s
        return max(0.0, due_s - self._ahead_s - now_s)

    def give_back(self, turn_s: float) -> None:
        """Give back a token that was waited for in vain. turn_s: the elapsed time at which its call was to begin."""
        heappush(self._free_s, turn_s + self._ahead_s)

    async def turn(self, monotonic: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        """Wait until a call may begin; a wait that is cancelled leaves its token to others."""
        now_s = monotonic()
        wait_s = self.reserve_s(now_s)
        if wait_s > 0:
            try:
                await sleep(wait_s)
            except asyncio.CancelledError:
                self.give_back(now_s + wait_s)
                raise


def rate_limit_of(given: RateLimit | float | None) -> RateLimit | None:
    """Return what `rate_limit=` means: a number is of calls a second. Raises: ConfigurationError."""
    return given if given is None or isinstance(given, RateLimit) else RateLimit(given)
