"""What a task lets operators do that take rows ahead, wait for something else than rows, or go by a clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, cast

from pelton.backoff import Backoff
from pelton.errors import ConfigurationError
from pelton.stream.lane import Chunk, Lane

__all__ = ["AheadFeed", "ahead_feed"]


class AheadFeed(Protocol):
    """A feed whose lane may take rows ahead: the runtime's task."""

    @property
    def paused(self) -> bool:
        """Whether the lane is to begin nothing."""
        ...

    @property
    def backoff(self) -> Backoff:
        """How what fails is tried again."""
        ...

    def monotonic(self) -> float:
        """Return the engine's elapsed time in seconds."""
        ...

    def time_ms(self) -> int:
        """Return the wall clock in milliseconds since the epoch."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Return after so many seconds."""
        ...

    def turn(self, lane: Lane) -> None:
        """Begin to look for something to do; what comes from here on ends the next `rest`. Raises: StreamEnded."""
        ...

    def poll(self, lane: Lane, limit: int) -> Chunk | None:
        """Return rows that are there already, for the lane to hold; None when there are none."""
        ...

    async def breathe(self, lane: Lane) -> None:
        """Let the other tasks have their turn, and wait while too much is staged."""
        ...

    async def rest(self, lane: Lane, *, idle: bool, timeout_s: float | None = None) -> None:
        """Wait until rows come, `wake` is called, or the time has passed. idle: nothing that was taken is undone."""
        ...

    async def resumed(self) -> None:
        """Return once it is not paused. Raises: StreamEnded when it stops before."""
        ...

    def wake(self) -> None:
        """Have the lane look again."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None], name: str, at: Chunk | None = None) -> asyncio.Task[None]:
        """Run something beside the lane, until the task ends. at: the row that it is done for, if it is."""
        ...

    def on_commit(self, then: Callable[[], None], *, waiting: bool = False) -> None:
        """Call something once all that is complete by now is durable. waiting: whether somebody waits for that."""
        ...

    def give_up(self, lane: Lane, chunk: Chunk, error: Exception, attempts: int) -> None:
        """Dead-letter a row that the lane holds, though its code never saw it."""
        ...


def ahead_feed(feed: object, what: str) -> AheadFeed:
    """Return a feed that lets its lane take rows ahead. what: needs it. Raises: ConfigurationError."""
    if hasattr(feed, "turn"):
        return cast(AheadFeed, feed)
    raise ConfigurationError(
        f"{what} needs an agent over a topic, without concurrency=",
        hint="a channel keeps nothing to go back to, and several lanes a partition would be in each other's way",
    )
