"""The unit of work: a run of records of one partition, held as columns.

Nothing in the engine is done per record that can be done per batch, so records never exist as objects
here: they are rows of parallel lists. This module knows no codec, no log and no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Headers", "OutgoingBatch", "RecordBatch", "TopicPartition"]

#: The headers of one record, in order; names may repeat.
Headers = tuple[tuple[str, bytes], ...]


_NO_HEADERS: Headers = ()


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


@dataclass(slots=True)
class RecordBatch:
    """Records of one partition, in log order, as columns of equal length.

    offsets: strictly increasing, with gaps where records were compacted away or aborted.
    timestamps_ms: milliseconds since the epoch, any order.
    keys, values: raw bytes; None is a null key, or a tombstone.
    headers: one entry a record, or None when no record of the batch has any.
    next_offset: where the next read starts; past the last record, and past any gap behind it.
    A batch may hold no records and still move the position (a gap of transaction markers).
    """

    topic: str
    partition: int
    offsets: Sequence[int]
    timestamps_ms: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    next_offset: int
    headers: Sequence[Headers] | None = None
    nbytes: int = 0

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def source(self) -> TopicPartition:
        """The partition that the records come from."""
        return TopicPartition(self.topic, self.partition)


@dataclass(slots=True)
class OutgoingBatch:
    """Records to append to one partition, in order, as columns of equal length.

    headers: one entry a record, or None when no record has any.
    """

    topic: str
    partition: int
    keys: list[bytes | None] = field(default_factory=list["bytes | None"])
    values: list[bytes | None] = field(default_factory=list["bytes | None"])
    timestamps_ms: list[int] = field(default_factory=list[int])
    headers: list[Headers] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def append(
        self,
        key: bytes | None,
        value: bytes | None,
        timestamp_ms: int,
        headers: Headers = (),
    ) -> None:
        """Add one record at the end."""
        if headers and self.headers is None:
            self.headers = [_NO_HEADERS for _ in self.keys]
        self.keys.append(key)
        self.values.append(value)
        self.timestamps_ms.append(timestamp_ms)
        if self.headers is not None:
            self.headers.append(headers)
