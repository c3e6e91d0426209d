"""Keyed state in plain dicts: for tests, simulations, and tables that need no disk.

A `MemoryStores` stands for the disk: what its stores hold outlives their closing, and ends with the process. It keeps
every rule of the contract, locks included, so that whatever runs on it runs on RocksDB.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from pelton.errors import InternalError
from pelton.state.contract import TableSize, TableWrites

__all__ = ["MemoryStatistics", "MemoryStore", "MemoryStores"]


@dataclass(frozen=True, slots=True)
class MemoryStatistics:
    """What one store holds; nothing of it is on disk."""

    keys: int
    disk_bytes: int
    memory_bytes: int
    writes: int


@dataclass(slots=True)
class _Table:
    values: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    position: int | None = None
    #: The keys in order, or None when a key has come or gone since they were last sorted.
    ordered: list[bytes] | None = None

    def keys(self, start: bytes, end: bytes | None) -> list[bytes]:
        if self.ordered is None:
            self.ordered = sorted(self.values)
        last = len(self.ordered) if end is None else bisect_left(self.ordered, end)
        return self.ordered[bisect_left(self.ordered, start) : last]

    def apply(self, changes: TableWrites) -> None:
        before = len(self.values)
        if changes.delete_range is not None:
            for key in self.keys(*changes.delete_range):
                del self.values[key]
        # Put and deleted keys may balance out in number, so only puts alone let a kept count mean kept keys.
        deleted = changes.delete_range is not None
        for key, value in changes.puts:
            if value is None:
                deleted = True
                self.values.pop(key, None)
            else:
                self.values[key] = value
        if deleted or len(self.values) != before:
            self.ordered = None
        if changes.position is not None:
            self.position = changes.position


@dataclass(slots=True)
class _Contents:
    tables: dict[str, _Table] = field(default_factory=dict[str, _Table])
    #: The store that has these contents open, which is their lock.
    holder: MemoryStore | None = None


class MemoryStore:
    """Partition n of every table, in dicts; made by `MemoryStores.open`."""

    def __init__(self, contents: _Contents, tables: Iterable[str]) -> None:
        self._contents: _Contents | None = contents
        self._lock = threading.Lock()
        self._writes = 0
        for table in tables:
            contents.tables.setdefault(table, _Table())

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        with self._lock:
            return self._table(table).values.get(key)

    def get_many(self, table: str, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """Return the values of many keys, in order; None where there is none."""
        with self._lock:
            values = self._table(table).values
            return [values.get(key) for key in keys]

    def scan(self, table: str, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) for start <= key < end in the order of the keys' bytes, from one snapshot.

        The snapshot is taken by this call, not by the first step.
        """
        with self._lock:
            found = self._table(table)
            return iter([(key, found.values[key]) for key in found.keys(start, end)])

    def last_key(self, table: str) -> bytes | None:
        """Return the greatest key of a table, or None when it is empty."""
        with self._lock:
            return max(self._table(table).values, default=None)

    def size(self, table: str) -> TableSize:
        """Return how much a table holds."""
        with self._lock:
            values = self._table(table).values
            return TableSize(len(values), sum(len(key) + len(value) for key, value in values.items()))

    def position(self, table: str) -> int | None:
        """Return the changelog offset that the table stands at, or None when it was never written."""
        return self._table(table).position

    def write(self, writes: Mapping[str, TableWrites]) -> None:
        """Apply the writes of all tables in one atomic step, or none of them; may run in a thread of its own."""
        with self._lock:
            for table, changes in [(self._table(name), changes) for name, changes in writes.items()]:
                table.apply(changes)
            self._writes += 1

    def wipe(self, table: str) -> None:
        """Delete a table's values and its position."""
        with self._lock:
            self._table(table)
            self._open_contents().tables[table] = _Table()

    def tables(self) -> frozenset[str]:
        """Return the names of the tables that the store holds."""
        return frozenset(self._open_contents().tables)

    def close(self) -> None:
        """Let go of the contents, so that another store may open them. Idempotent."""
        with self._lock:
            if self._contents is not None:
                self._contents.holder = None
            self._contents = None

    def statistics(self) -> MemoryStatistics:
        """Return an immutable record: keys, bytes in memory (of the keys and values alone)."""
        with self._lock:
            tables = self._open_contents().tables.values()
            return MemoryStatistics(
                keys=sum(len(table.values) for table in tables),
                disk_bytes=0,
                memory_bytes=sum(len(key) + len(value) for table in tables for key, value in table.values.items()),
                writes=self._writes,
            )

    def _open_contents(self) -> _Contents:
        if self._contents is None:
            raise InternalError("the memory store is closed")
        return self._contents

    def _table(self, table: str) -> _Table:
        tables = self._open_contents().tables
        try:
            return tables[table]
        except KeyError:
            raise InternalError(f"the memory store has no table {table!r}, only {sorted(tables)}") from None


class MemoryStores:
    """Opens stores in memory, and keeps their contents for as long as it lives."""

    def __init__(self) -> None:
        self._disk: dict[tuple[Path, int, int], _Contents] = {}

    def open(self, directory: Path, partition: int, tables: Iterable[str]) -> MemoryStore:
        """Open, or create, the first copy of a partition number's store that no other store holds."""
        for copy in count():
            contents = self._disk.setdefault((directory, partition, copy), _Contents())
            if contents.holder is None:
                contents.holder = MemoryStore(contents, tables)
                return contents.holder
        raise InternalError("unreachable")

    def discard(self, directory: Path, partition: int) -> None:
        """Delete every copy of a partition number's store that no store holds."""
        for place, contents in list(self._disk.items()):
            if place[:2] == (directory, partition) and contents.holder is None:
                del self._disk[place]

    def tidy(self, directory: Path) -> None:
        """Do nothing: no copy outlives its process, and none is a day old."""

    def held(self, directory: Path) -> frozenset[int]:
        """Return the partition numbers that have a store under `directory`."""
        return frozenset(place[1] for place in self._disk if place[0] == directory)

    def crash(self) -> None:
        """Close every store, as the death of its process would; the contents stay as the last `write` left them."""
        for contents in self._disk.values():
            if contents.holder is not None:
                contents.holder.close()
