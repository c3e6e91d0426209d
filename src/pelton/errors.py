"""Every error pelton raises, in one tree, classed by the reaction it asks for.

    PeltonError
    ├── ConfigurationError      fix the program or its settings, then restart
    │   ├── TopicMismatch       a topic exists, but not as declared
    │   └── CopartitioningError a table and a topic differ in their number of partitions
    ├── DecodeError             dead-letter the record and go on
    ├── UserCodeError           an agent raised: retry, then dead-letter the event
    ├── UnavailableError        retry later: the log or a disk does not answer
    ├── FencedError             abandon the tasks: another worker owns them now
    ├── OffsetOutOfRangeError   the log no longer holds the offset asked for
    ├── StateCorruptedError     wipe the local store and restore it from the changelog
    └── InternalError           our own bug: please report it

An error's text says what failed, what was expected and found, and, on a second line, a hint.
"""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "CopartitioningError",
    "DecodeError",
    "FencedError",
    "InternalError",
    "OffsetOutOfRangeError",
    "PeltonError",
    "StateCorruptedError",
    "TopicMismatch",
    "UnavailableError",
    "UserCodeError",
]


class PeltonError(Exception):
    """The root of every error that pelton raises.

    message: what failed, what was expected, what was found.
    hint: what the reader can do about it; printed on a line of its own.
    topic, partition, offset: where in the log, when that is known.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        topic: str | None = None,
        partition: int | None = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.topic = topic
        self.partition = partition
        self.offset = offset

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class ConfigurationError(PeltonError):
    """The program or its settings are wrong: fix them and restart."""


class TopicMismatch(ConfigurationError):
    """A topic exists, but with other partitions or another policy than declared."""


class CopartitioningError(ConfigurationError):
    """A table and a topic that must share their partitioning do not."""


class DecodeError(PeltonError):
    """Bytes that do not hold what the codec expects; the record is dead-lettered."""


class UserCodeError(PeltonError):
    """An agent raised; the event is retried, then dead-lettered."""


class UnavailableError(PeltonError):
    """The log or a disk does not answer now; retrying later may help."""


class FencedError(PeltonError):
    """Another worker owns these partitions now; nothing that was staged became visible."""


class OffsetOutOfRangeError(PeltonError):
    """The log does not hold the offset asked for (it was trimmed, or the log was replaced)."""


class StateCorruptedError(PeltonError):
    """A local store cannot be trusted; wipe it and restore it from the changelog."""


class InternalError(PeltonError):
    """A broken invariant of pelton itself."""
