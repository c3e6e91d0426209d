"""Where the engine gets its time from, so that a simulation can give it another.

Only three decisions may look at a clock: when to commit, when to flush, and when to give up. Time in
results is event time (invariant I8).
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Protocol

__all__ = ["Clock", "SystemClock", "wait_for"]


class Clock(Protocol):
    """Wall-clock time, elapsed time, and waiting."""

    def time_ms(self) -> int:
        """Return the wall clock in milliseconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float, *, idle: bool = False) -> None:
        """Return after this many seconds.

        idle: whether it is only for looking again now and then; by default something waits to be done.
        """
        ...

    async def wait(self, event: asyncio.Event, seconds: float, *, due: bool = False) -> None:
        """Return when an event is set, or after about so many seconds.

        due: whether something will be done then; by default it is only for looking again now and then.
        """
        ...


class SystemClock:
    """The machine's own clocks."""

    def time_ms(self) -> int:
        """Return the wall clock in milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float, *, idle: bool = False) -> None:
        """Return after this many seconds."""
        await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float, *, due: bool = False) -> None:
        """Return when an event is set, or after so many seconds."""
        await wait_for(event, seconds)


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Return when an event is set, or after so many seconds of the running loop's time.

    Not asyncio.wait_for: before Python 3.12 it swallows a cancellation that meets the event, and whoever stops the
    waiting coroutine waits for ever.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
