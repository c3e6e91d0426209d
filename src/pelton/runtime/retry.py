"""Going on when the log does not answer: a worker outlives the log's outages, also those that meet its start."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pelton.clock import Clock
from pelton.errors import UnavailableError

__all__ = ["RETRY_MAX_S", "RETRY_S", "until_available"]

logger = logging.getLogger(__name__)
T = TypeVar("T")

#: The first wait after the log was unavailable, in seconds; doubled each time.
RETRY_S = 0.1
RETRY_MAX_S = 5.0


async def until_available(attempt: Callable[[], Awaitable[T]], doing: str, clock: Clock) -> T:
    """Return what attempt returns, calling it again for as long as the log does not answer.

    doing: what it does, to follow "could not" in the warnings.
    """
    delay = RETRY_S
    while True:
        try:
            return await attempt()
        except UnavailableError as error:
            logger.warning("could not %s yet, trying again in %.1f s: %s", doing, delay, error)
        await clock.sleep(delay)
        delay = min(delay * 2, RETRY_MAX_S)
