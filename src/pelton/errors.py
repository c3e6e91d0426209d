"""Every error pelton raises, in one tree, classed by the reaction it asks for.

    PeltonError
    ├── ConfigurationError      fix the program or its settings, then restart
    │   ├── TopicMismatch       a topic exists, but not as declared
    │   ├── CopartitioningError tables and topics that belong together are partitioned differently
    │   ├── RecordRefusedError  a topic does not take the record: dead-letter the event that sends it
    │   │   └── RecordTooLargeError  because of its size
    │   └── RecordsLostError    records were deleted unread, and the setting is to stop then
    ├── DecodeError             dead-letter the record and go on
    ├── UserCodeError           an agent raised: retry, then dead-letter the event
    │   └── HistoryExpiredError it asked for a time that lies further back than the history of a table
    ├── VersionConflictError    a command expected another version of its entity: read it, and decide anew
    ├── CommandRejectedError    an entity does not take a command in the state it is in
    ├── UnavailableError        retry later: the log or a disk does not answer
    │   ├── DiskError           it is a store's disk, full for example: open the store anew when it is tried again
    │   ├── PartitionsUnavailableError  no worker can answer for some partitions of a table now
    │   └── RequestTimeoutError an agent did not answer in time; a TimeoutError too
    ├── FencedError             abandon the tasks: another worker owns them now
    ├── OffsetOutOfRangeError   the log no longer holds the offset asked for
    ├── StateCorruptedError     wipe the local store and restore it from the changelog
    └── InternalError           our own bug: please report it

An error's text says what failed, what was expected and found, and, on a second line, a hint.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "CommandRejectedError",
    "ConfigurationError",
    "CopartitioningError",
    "DecodeError",
    "DiskError",
    "FencedError",
    "HistoryExpiredError",
    "InternalError",
    "OffsetOutOfRangeError",
    "PartitionsUnavailableError",
    "PeltonError",
    "RecordRefusedError",
    "RecordTooLargeError",
    "RecordsLostError",
    "RequestTimeoutError",
    "StateCorruptedError",
    "TopicMismatch",
    "UnavailableError",
    "UserCodeError",
    "VersionConflictError",
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


class RecordRefusedError(ConfigurationError):
    """A topic does not take a record; an event that sends, or stores, one is dead-lettered."""


class RecordTooLargeError(RecordRefusedError):
    """A record is larger than its topic takes."""


class RecordsLostError(ConfigurationError):
    """The log has deleted records before they were read, and `on_lost_records` says to stop."""


class DecodeError(PeltonError):
    """Bytes that do not hold what the codec expects; the record is dead-lettered."""


class UserCodeError(PeltonError):
    """An agent raised; the event is retried, then dead-lettered."""


class HistoryExpiredError(UserCodeError):
    """A table was asked for a time that lies further back than its history."""


class VersionConflictError(PeltonError):
    """A command expected another version of its entity than there is: nothing was done.

    expected, found: the two versions.
    """

    def __init__(self, message: str, *, expected: int, found: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.expected = expected
        self.found = found


class CommandRejectedError(PeltonError):
    """An entity does not take a command in the state it is in; raised by `decide`, with the reason."""


class UnavailableError(PeltonError):
    """The log or a disk does not answer now; retrying later may help."""


class DiskError(UnavailableError):
    """A store cannot write or read its files; it takes nothing more until it is opened anew."""


class PartitionsUnavailableError(UnavailableError):
    """No worker can answer for some partitions of a table now.

    missing: partition number -> why not.
    """

    def __init__(self, message: str, *, missing: Mapping[int, str], hint: str | None = None) -> None:
        super().__init__(message, hint=hint, partition=min(missing, default=None))
        self.missing = missing


class RequestTimeoutError(UnavailableError, TimeoutError):
    """An agent did not answer in time; it may still handle the request."""


class FencedError(PeltonError):
    """Another worker owns these partitions now; nothing that was staged became visible."""


class OffsetOutOfRangeError(PeltonError):
    """The log does not hold the offset asked for (it was trimmed, or the log was replaced)."""


class StateCorruptedError(PeltonError):
    """A local store cannot be trusted; wipe it and restore it from the changelog."""


class InternalError(PeltonError):
    """A broken invariant of pelton itself."""
