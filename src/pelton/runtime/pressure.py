"""Back-pressure (invariant I10): what is staged is bounded in bytes, and so is what waits in front of the agents.

    log ──fetch──▶ queues ──▶ lanes ──▶ staged: table writes, outbox ──commit──▶ log, stores
          paused at its share   wait while staged is full        begins when staged is full

The limits hold for a worker; each partition has its share. Between two commits the lanes may stage one limit, while the
commit under way holds another.

How much a commit may take in the time that the log gives it, nobody knows beforehand: Kafka aborts a transaction that
takes too long, and one of the same size would meet the same end, again and again. So the limit of a commit adapts, as
TCP's window does: less after one that was slow, a little more after each that was not (docs/decisions/0009).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from pelton.config import EngineConfig

__all__ = ["SLOW_S", "Pressure"]

logger = logging.getLogger(__name__)

_KIB = 1024
#: A commit is slow when it takes so long, in seconds: a third of what Kafka gives a transaction
#: (`GroupOptions.transaction_timeout_ms`), so that one twice as large might still come to its end.
SLOW_S = 5.0
#: What a commit may take in any case; and how many quick ones bring the limit from nothing back to what is configured.
_LIMIT_MIN, _STEPS = 64 * _KIB, 16


class Pressure:
    """What a worker's complete events have staged since the last commit took them, and what its limits allow.

    count: counts the bytes that are staged now. What the lanes report is only ever too high: a key that is written a
        thousand times is staged once; so the count decides, and it is asked when the reports reach the limit.
        It looks at every write, so it is not asked again before a commit has taken them: many tasks wait for that.
    """

    def __init__(self, config: EngineConfig, count: Callable[[], int]) -> None:
        self._config = config
        self._count = count
        self._reported = 0
        self._taken = 0
        #: Set while there is room; not before a commit has taken what is staged once that was too much.
        self.room = asyncio.Event()
        self.room.set()
        #: What a commit may hold, in bytes; `commit_bytes_max` at most.
        self.limit = config.commit_bytes_max

    def report(self, nbytes: int) -> None:
        """Say that a lane has staged so many bytes."""
        self._reported += nbytes

    def taken(self) -> None:
        """Say that a commit has taken everything that was staged."""
        self._taken, self._reported = self._reported, 0
        self.room.set()

    def ended(self, elapsed_s: float, *, failed: bool = False) -> None:
        """Say that the commit has come to its end, and how long that took: the next may hold less, or more.

        Source: additive increase, multiplicative decrease (Jacobson, Congestion Avoidance and Control, 1988).
        """
        most = self._config.commit_bytes_max
        if elapsed_s >= SLOW_S:
            # One that failed was too large by nobody knows how much, and the watchdog does not wait for many attempts.
            less = min(self.limit, self._taken) // (4 if failed else 2)
            self.limit = min(most, max(_LIMIT_MIN, less))
            outcome, kib = "failed after" if failed else "took", self.limit // _KIB
            logger.warning("a commit %s %.1f s: the next one takes %d KiB at most", outcome, elapsed_s, kib)
        elif not failed:
            self.limit = min(most, self.limit + most // _STEPS)

    def full(self) -> bool:
        """Return whether a commit is due, and the lanes are to wait for it."""
        if not self.room.is_set():
            return True
        limit = self.limit
        if self._reported < limit:
            return False
        self._reported = self._count()
        # Half is enough: with just less than the limit, the next reports would have everything counted again.
        if self._reported >= limit // 2:
            self._reported = max(self._reported, limit)
            self.room.clear()
        return not self.room.is_set()

    def queue_bytes_max(self, partitions: int) -> int:
        """Return how much may wait of one of so many partitions of topics before its fetch pauses."""
        return max(64 * _KIB, self._config.task_queue_bytes_max // max(1, partitions))

    def fetch_bytes_max(self, open_: int, partitions: int) -> int:
        """Return how much to fetch for those partitions that are not paused.

        Each gets its share and no more: a batch is decoded as a whole, into several times its bytes, and if each of
        many partitions came to hold a whole fetch, that would be many times the limit.
        """
        return max(64 * _KIB, self._config.fetch_bytes_max * open_ // max(1, partitions))
