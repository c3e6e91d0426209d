"""The keyed-state contract: what the engine asks of a local store.

A `Store` holds partition n of every table of an application: one column family a table, and beside the values the
changelog position that they stand for, written in the same atomic step (invariant I3). It is a cache of the changelog,
never the truth: losing it costs a restore. Two homes: `pelton.state.memory` and `pelton.state.rocksdb`.
All calls are synchronous and none may be made from two threads at once, except `write`, which the engine runs in a
thread while the loop goes on reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

__all__ = ["Store", "StoreFactory", "TableSize", "TableWrites"]


class TableSize(NamedTuple):
    """How much a table holds in one store, told at once: nothing is counted for it.

    keys: about how many; RocksDB counts a key that was written again twice until it compacts. bytes: about how many, on
    disk and in memory.
    """

    keys: int
    bytes: int


@dataclass(slots=True)
class TableWrites:
    """The writes of one table within one atomic step.

    puts: (key, value) pairs, applied in order; a value of None deletes the key.
    delete_range: a half-open range of keys (start, end) deleted before the puts, or None.
    position: the changelog offset that the table stands at once these are applied (the next one to read),
        or None to leave it as it is.
    """

    puts: Sequence[tuple[bytes, bytes | None]] = field(default_factory=list[tuple[bytes, bytes | None]])
    delete_range: tuple[bytes, bytes] | None = None
    position: int | None = None


class Store(Protocol):
    """Partition n of every table: ordered keys to values, with positions."""

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        ...

    def get_many(self, table: str, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """Return the values of many keys, in order; None where there is none."""
        ...

    def scan(self, table: str, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) for start <= key < end in the order of the keys' bytes, from one snapshot."""
        ...

    def last_key(self, table: str) -> bytes | None:
        """Return the greatest key of a table, or None when it is empty."""
        ...

    def size(self, table: str) -> TableSize:
        """Return about how much a table holds, without reading it."""
        ...

    def position(self, table: str) -> int | None:
        """Return the changelog offset that the table stands at, or None when it was never written."""
        ...

    def write(self, writes: Mapping[str, TableWrites]) -> None:
        """Apply the writes of all tables in one atomic step, or none of them.

        Raises: UnavailableError (disk full), StateCorruptedError.
        """
        ...

    def wipe(self, table: str) -> None:
        """Delete a table's values and its position."""
        ...

    def tables(self) -> frozenset[str]:
        """Return the names of the tables that the store holds."""
        ...

    def close(self) -> None:
        """Flush and let go of the files. Idempotent."""
        ...

    def statistics(self) -> object:
        """Return an immutable record: keys (estimated), bytes on disk, bytes in memory."""
        ...


class StoreFactory(Protocol):
    """Opens the store of a partition number under the application's table directory."""

    def open(self, directory: Path, partition: int, tables: Iterable[str]) -> Store:
        """Open, or create, the store of one partition number.

        Several workers may share `directory`: a store is locked by the process that has it open, so each tries
        `<partition>`, then `<partition>.1`, `<partition>.2` …, and takes the first that is free. Every copy is right at
        its own position, and replays the changelog from there.
        Raises: StateCorruptedError when it cannot be read; UnavailableError when the disk is full.
        """
        ...

    def discard(self, directory: Path, partition: int) -> None:
        """Delete every copy of a partition number's store that no process holds; the answer to StateCorruptedError."""
        ...

    def tidy(self, directory: Path) -> None:
        """Delete further copies (`<partition>.1` …) that no process holds and none has written to for a day.

        They are left behind when several workers that shared `directory` go elsewhere. Any of them is a cache: what is
        deleted in error costs a restore.
        """
        ...

    def held(self, directory: Path) -> frozenset[int]:
        """Return the partition numbers that have a store under `directory`."""
        ...
