"""What a task knows of its events that failed: how often each was tried, and whether and when it is tried again."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pelton.backoff import Backoff
from pelton.batch import TopicPartition
from pelton.errors import ConfigurationError, DecodeError, InternalError, RecordRefusedError, StateCorruptedError

__all__ = ["Attempts", "ends_the_worker"]

logger = logging.getLogger(__name__)

Event = tuple[TopicPartition, int]


class Attempts:
    """Counts of failed attempts, by partition and offset."""

    def __init__(self, backoff: Backoff) -> None:
        self.backoff = backoff
        self._counts: dict[Event, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def forget(self, positions: Mapping[TopicPartition, int]) -> None:
        """Forget the events that the positions have passed, and all but the last of what is no record (timers)."""
        last = next(reversed(self._counts), None)
        self._counts = {
            event: n
            for event, n in self._counts.items()
            if (event[1] >= positions[event[0]] if event[0] in positions else event == last)
        }

    def failed(self, event: Event) -> int:
        """Count one more failed attempt; return how many that makes."""
        attempts = self._counts[event] = self._counts.pop(event, 0) + 1  # the last one failed last
        return attempts

    def gives_up(self, event: Event, error: Exception) -> bool:
        """Return whether the event is not tried again; its attempts are forgotten then."""
        final = isinstance(error, DecodeError) or self._policy_gives_up(event, error)
        if final:
            del self._counts[event]
        return final

    def _policy_gives_up(self, event: Event, error: Exception) -> bool:
        attempts, retries = self._counts[event], self.backoff.retries
        try:
            return self.backoff.gives_up(error, attempts)
        except Exception:  # the program's own function of the error: a lane must not end of it
            logger.exception("the retry policy could not judge %r; the number of retries decides", error)
            return retries is not None and attempts > retries

    def pause_s(self, event: Event) -> float:
        """Return how long to wait before the event is tried again, in seconds."""
        return self.backoff.pause_s(self._counts[event], f"{event[0]}@{event[1]}")


def ends_the_worker(error: Exception) -> bool:
    """Return whether an error is not the event's fault: then it must not become a dead letter."""
    wrong = isinstance(error, ConfigurationError | InternalError | StateCorruptedError)
    return wrong and not isinstance(error, RecordRefusedError)
