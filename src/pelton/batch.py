"""The unit of work: a run of records of one partition, held as columns.

Nothing in the engine is done per record that can be done per batch, so records never exist as objects
here: they are rows of parallel lists. This module knows no codec, no log and no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Headers", "OutgoingBatch", "RecordBatch", "TopicPartition", "by_rank", "record_bytes"]

#: The headers of one record, in order; names may repeat, and a value may be null. Bytes of a name that are not UTF-8
#: are lone surrogates in it (PEP 383), so that any name goes out byte for byte as it came in.
Headers = tuple[tuple[str, bytes | None], ...]


_NO_HEADERS: Headers = ()
#: At most what the two lengths of a header take.
_HEADER_BYTES = 10


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
    log_times_ms: the records' own timestamps, where timestamps_ms are the times of their events; None where they are
        the same.
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
    log_times_ms: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.offsets)

    def log_time_ms(self, row: int) -> int:
        """Return the timestamp of a record as the log has it."""
        return (self.timestamps_ms if self.log_times_ms is None else self.log_times_ms)[row]

    @property
    def source(self) -> TopicPartition:
        """The partition that the records come from."""
        return TopicPartition(self.topic, self.partition)


@dataclass(slots=True)
class OutgoingBatch:
    """Records to append to one partition, in order, as columns of equal length.

    headers: one entry a record, or None when no record has any.
    rank: what `Group.commit` writes first where it is no transaction: lower ranks before higher ones.
    """

    topic: str
    partition: int
    keys: list[bytes | None] = field(default_factory=list["bytes | None"])
    values: list[bytes | None] = field(default_factory=list["bytes | None"])
    timestamps_ms: list[int] = field(default_factory=list[int])
    headers: list[Headers] | None = None
    rank: int = 0

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


def by_rank(batches: Sequence[OutgoingBatch]) -> list[list[int]]:
    """Return the places of batches by their ranks, those of the lowest first; of one rank in the order they have."""
    ranks: dict[int, list[int]] = {}
    for place, batch in enumerate(batches):
        ranks.setdefault(batch.rank, []).append(place)
    return [ranks[rank] for rank in sorted(ranks)]


def record_bytes(key: bytes | None, value: bytes | None, headers: Headers = ()) -> int:
    """Return the bytes of one record, as a topic's limit counts them: key, value, and the headers with their names."""
    size = (len(key) if key is not None else 0) + (len(value) if value is not None else 0)
    for name, data in headers:
        size += len(name.encode("utf-8", "surrogateescape")) + len(data or b"") + _HEADER_BYTES
    return size
