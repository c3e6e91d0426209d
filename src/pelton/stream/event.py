"""One event, as an object, for the code that asks for it (`stream.events()`); the engine itself never makes one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pelton.stream.lane import Chunk

__all__ = ["Event", "Message"]

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Message:
    """Where an event stands in the log, and its raw bytes.

    timestamp: seconds since the epoch, as Faust has it; timestamp_ms: the log's own milliseconds.
    headers: one value a name (the last one, when a name repeats).
    """

    topic: str
    partition: int
    offset: int
    timestamp: float
    timestamp_ms: int
    headers: Mapping[str, bytes]
    key: bytes | None
    value: bytes | None


class Event(Generic[V]):
    """A key and a value, with the message that they came in."""

    __slots__ = ("_chunk", "_index", "key", "value")

    def __init__(self, chunk: Chunk, index: int, value: V) -> None:
        self._chunk = chunk
        self._index = index
        self.key = chunk.key(index)
        self.value = value

    @property
    def message(self) -> Message:
        """The message as it stands in the log."""
        batch, row = self._chunk.batch, self._chunk.rows[self._index]
        timestamp_ms = batch.timestamps_ms[row]
        return Message(
            batch.topic,
            batch.partition,
            batch.offsets[row],
            timestamp_ms / 1000,
            timestamp_ms,
            self.headers,
            batch.keys[row],
            batch.values[row],
        )

    @property
    def headers(self) -> Mapping[str, bytes]:
        """The message's headers, by name."""
        return dict(self._chunk.headers(self._index))

    def ack(self) -> bool:
        """Do nothing: an event is acknowledged by the commit that holds its effects.

        Returns: True, as Faust does when it was the last reference.
        """
        return True

    def __repr__(self) -> str:
        return f"<Event key={self.key!r} value={self.value!r}>"
