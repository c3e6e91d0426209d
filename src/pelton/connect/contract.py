"""What a connector is: a source that yields batches with positions, or a sink that takes batches with offsets.

The contract is about positions. A source says behind which batch it can go on where; the engine commits that with the
batch's records, in one transaction. A sink is told the offset of each row, and keeps it with what it writes, so that a
row that comes again is known. What a connector is made of, a file, a broker or a database, nobody else knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pelton.batch import Headers, TopicPartition

__all__ = ["Sink", "SinkBatch", "SinkRow", "SinkWriter", "Source", "SourceBatch", "SourceReader", "SourceRecord"]


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """What a source has read. timestamp: seconds since the epoch; the wall clock's when None."""

    value: Any
    key: Any = None
    timestamp: float | None = None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class SourceBatch:
    """Records, and where the source goes on behind them.

    positions: split -> position, of the splits that have moved; None for one that is forgotten. A split is whatever a
        source counts by itself (a file, a partition). Positions are made of dicts, lists, text and numbers.
    waiting: whether somebody waits for the commit: it comes soon then.
    """

    records: Sequence[SourceRecord]
    positions: Mapping[str, Any] = field(default_factory=dict[str, Any])
    waiting: bool = False


class SourceReader(Protocol):
    """A source that is being read, by one worker at a time."""

    async def read(self) -> SourceBatch:
        """Return the next batch, waiting until there is one.

        It is called for the next one only when the last is staged, and may be cancelled: nothing may be lost by that
        but what comes again. At most about a thousand records or a mebibyte.
        Raises: UnavailableError, or any error: the reader is closed, and another opened after a while.
        """
        ...

    async def committed(self, batch: SourceBatch) -> None:
        """Hear that a batch, and its positions, are durable: acknowledge it where it came from. In order."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


class Source(Protocol):
    """Where records come from: what `app.source` takes."""

    async def open(self, positions: Mapping[str, Any]) -> SourceReader:
        """Begin to read where the committed positions say; they are empty at the very beginning.

        Raises: UnavailableError, tried again; ConfigurationError, which ends the worker.
        """
        ...


@dataclass(frozen=True, slots=True)
class SinkRow:
    """A record on its way out. timestamp: seconds since the epoch. value: None for a tombstone."""

    offset: int
    timestamp: float
    key: Any
    value: Any


@dataclass(frozen=True, slots=True)
class SinkBatch:
    """Rows of one partition, in the order of the log."""

    source: TopicPartition
    rows: Sequence[SinkRow]

    def behind(self, next_offset: int) -> Sequence[SinkRow]:
        """Return the rows from an offset on: those that are not there already."""
        return [row for row in self.rows if row.offset >= next_offset]


class SinkWriter(Protocol):
    """A sink that is being written, by one worker for each partition at a time."""

    async def write(self, batch: SinkBatch) -> None:
        """Make a batch durable; rows that are there already, by their offsets, are passed over.

        A batch may come again, whole or cut in other places. It is there whole or not at all.
        Raises: UnavailableError, for what is tried again for as long as it takes; any other error fails the batch: its
            rows are tried one by one, and the one that fails is dead-lettered.
        """
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


class Sink(Protocol):
    """Where records go: what `app.sink` takes."""

    async def open(self, name: str) -> SinkWriter:
        """Begin to write. name: the sink's own, under which it keeps its offsets.

        Raises: UnavailableError, tried again; ConfigurationError, which ends the worker.
        """
        ...
