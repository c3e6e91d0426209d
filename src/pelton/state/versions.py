"""Versions over time: what each key of a table held, and since when.

A table with history has a second one beside it, which is kept, changelogged and restored like any other. There each
version is a row of its own, so that neither a commit that keeps the last value a key nor a compaction loses one:

    H key        the numbers of the oldest and the newest version, the newest one's time, whether it is a value
    V key n      since when version n holds, and the value
    E end key    some version of the key was replaced before this time (it tells what is old enough to be deleted)
    S            stream time: the latest time of any version
    T            versions that were replaced before this time may be deleted already

A key's versions are numbered in the order in which they were written, and their times never go back: a version at an
earlier event time than the one before it takes that one's time. So the one that held at a time is found by halving,
with point lookups alone. When a version is deleted hangs on stream time; that it is deleted shows nowhere, for reads
refuse a time that lies further back than the history (invariants I8, I9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import merge as merge_sorted
from itertools import groupby, islice
from operator import itemgetter
from struct import Struct
from typing import Any, NamedTuple

from pelton.errors import HistoryExpiredError, StateCorruptedError
from pelton.state.cache import TableCache
from pelton.state.contract import Store
from pelton.window import window_key_prefix, window_start_of

__all__ = ["BEFORE_HISTORY", "History", "StoredVersion", "VersionCache"]

#: The time of a value that is older than the history: it was there when the first version was written.
BEFORE_HISTORY = -(1 << 63)

#: Versions are deleted a bucket at a time; there are so many of them in the time that is kept.
_BUCKETS = 16
#: How many keys one commit looks through for versions to delete; the rest waits for the next.
_SWEEP_KEYS_MAX = 20_000

_HEAD = Struct(">QQq?")
_TIME = Struct(">q")
_NUMBER = Struct(">Q")
#: Reading the past of all keys: how many are looked up before a pass over the versions may take its place, and how many
#: rows such a pass reads while one key is looked up (measured: 3 µs a row, 45 µs a key).
_LOOKUPS, _ROWS_PER_LOOKUP = 64, 15
_HELD_MAX = 1_000

_key = itemgetter(0)
_STREAM_TIME = b"S"
_TRIMMED = b"T"


@dataclass(frozen=True, slots=True)
class History:
    """How long a table's past is kept. retention_ms: in event time.

    time_of: an event's time, in seconds or as a datetime, from its value; that of its topic when None.
    """

    retention_ms: int
    time_of: Callable[[Any], Any] | None = None


class StoredVersion(NamedTuple):
    """One version of a key.

    since_ms: when it began to hold, BEFORE_HISTORY when nobody knows. until_ms: when the next one did, None for the
    present. value: None where the key was deleted.
    """

    since_ms: int
    until_ms: int | None
    value: bytes | None


class _Head(NamedTuple):
    first: int
    last: int
    last_ms: int
    alive: bool


class VersionCache(TableCache):
    """The versions of one table in one partition: the cache of the table that they are kept in.

    current: the cache of the table itself.
    """

    __slots__ = ("_bucket_ms", "_current", "_history_ms", "_swept_ms", "_trimmed_ms", "stream_ms", "time_of")

    def __init__(
        self, table: str, store: Store, history: History, current: TableCache, *, bytes_max: int = 256 * 1024 * 1024
    ) -> None:
        super().__init__(table, store, bytes_max=bytes_max)
        self.time_of = history.time_of
        self._current = current
        self._history_ms = history.retention_ms
        self._bucket_ms = max(1, history.retention_ms // _BUCKETS)
        self.stream_ms = self._time(_STREAM_TIME)
        self._trimmed_ms = self._time(_TRIMMED)
        #: Everything that was replaced before it is gone already.
        self._swept_ms = BEFORE_HISTORY

    def _time(self, row: bytes) -> int:
        data = self.get(row)
        return BEFORE_HISTORY if data is None else int(_TIME.unpack(data)[0])

    @property
    def oldest_ms(self) -> int:
        """The earliest time that can be asked for, in milliseconds since the epoch."""
        return max(self.stream_ms - self._history_ms, self._trimmed_ms)

    @property
    def first_ms(self) -> int:
        """A time before which nothing is known to have been replaced: no earlier than `oldest_ms`."""
        replaced = next(self.scan(b"E", b"F"), None)
        if replaced is None:
            return self.oldest_ms
        return max(self.oldest_ms, window_start_of(replaced[0][1:]) - self._bucket_ms)

    # -- writing -----------------------------------------------------------------------------------

    def append(self, key: bytes, value: bytes | None, time_ms: int) -> None:
        """Take in what a complete event has written to a key, before the table's own cache does. None: deleted it."""
        head = self._head(key)
        time_ms = self._begins(head, time_ms)
        if head is None:
            before = self._current.get(key)
            if before is None and value is None:
                return
            if before is None:
                self._put(key, _Head(0, 0, time_ms, True), value)
                return
            head = self._put(key, _Head(0, 0, BEFORE_HISTORY, True), before)
        elif value is None and not head.alive:
            return
        self._put(key, _Head(head.first, head.last + 1, time_ms, value is not None), value)
        end_ms = (time_ms // self._bucket_ms + 1) * self._bucket_ms
        self.dirty[b"E" + window_key_prefix(end_ms) + key] = b""

    def _put(self, key: bytes, head: _Head, value: bytes | None) -> _Head:
        """Write a key's newest version."""
        since = _TIME.pack(head.last_ms)
        self.dirty[b"V" + key + _NUMBER.pack(head.last)] = since + (b"\0" if value is None else b"\1" + value)
        self.dirty[b"H" + key] = _HEAD.pack(*head)
        if head.last_ms > self.stream_ms:
            self.stream_ms = head.last_ms
            self.dirty[_STREAM_TIME] = since
        return head

    # -- reading -----------------------------------------------------------------------------------

    def check(self, when_ms: int) -> None:
        """Make sure that a time is within the history. Raises: HistoryExpiredError."""
        if when_ms < self.oldest_ms:
            raise HistoryExpiredError(
                f'table "{self._current.table}" has no history at {when_ms} ms: it is kept back to {self.oldest_ms} ms',
                hint="keep more with app.Table(..., history=...); times are those of events, not of the clock",
            )

    def at(self, key: bytes, when_ms: int) -> bytes | None:
        """Return what a key held at a time; None when it held nothing. Raises: HistoryExpiredError."""
        self.check(when_ms)
        head = self._head(key)
        if head is None or when_ms >= head.last_ms:
            return self._current.get(key)
        low, high = head.first - 1, head.last  # version `low` holds by then (or none does), `high` does not yet
        while high - low > 1:
            middle = (low + high) // 2
            if self._version(key, middle)[0] <= when_ms:
                low = middle
            else:
                high = middle
        return self._version(key, low)[1] if low >= head.first else None

    def of(self, key: bytes) -> list[StoredVersion]:
        """Return the versions of a key that held at any time within the history, oldest first."""
        head = self._head(key)
        if head is None:
            value = self._current.get(key)
            return [] if value is None else [StoredVersion(BEFORE_HISTORY, None, value)]
        found = [self._version(key, number) for number in range(head.first, head.last + 1)]
        ends = [*(since_ms for since_ms, _ in found[1:]), None]
        versions = [StoredVersion(since, end, value) for (since, value), end in zip(found, ends, strict=True)]
        oldest_ms = self.oldest_ms
        kept = [one for one in versions if one.until_ms is None or one.until_ms > oldest_ms]
        # A deletion at the very front says no more than that nothing is there, and may be forgotten already.
        return kept[1:] if kept[0].value is None and kept[0].since_ms <= oldest_ms else kept

    def since(self, key: bytes, time_ms: int) -> int:
        """Return since when a version would hold that were written at a time."""
        return self._begins(self._head(key), time_ms)

    def _begins(self, head: _Head | None, time_ms: int) -> int:
        """Return since when a key's next version holds: no earlier than the one before, nor than the history reaches.

        The second, because a deletion that old may be forgotten already, and that must not show (invariant I9).
        """
        return max(time_ms, self.oldest_ms, BEFORE_HISTORY if head is None else head.last_ms)

    def items(
        self, when_ms: int, start: bytes = b"", end: bytes | None = None, *, lookups: int = _LOOKUPS
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) of all that held anything at a time, in order: as of the moment when this begins.

        One pass over the heads, the table and, where many keys were written since, the versions, side by side.
        start, end: of the keys from start on, and before end.
        lookups: so many keys' versions are looked up before that is decided.
        Raises: HistoryExpiredError.
        """
        self.check(when_ms)
        heads = ((row[1:], True, data) for row, data in self.scan(b"H" + start, b"I" if end is None else b"H" + end))
        present = ((key, False, value) for key, value in self._current.scan(start, end))
        versions = _VersionPass(self.scan(b"V" + start, b"W"), when_ms)
        rows = later = 0
        for key, group in groupby(merge_sorted(heads, present, key=_key), key=_key):
            found = {is_head: data for _, is_head, data in group}
            head = _Head(*_HEAD.unpack(found[True])) if True in found else None
            rows += 1 if head is None else 1 + head.last - head.first
            if head is None or when_ms >= head.last_ms:
                value = found.get(False)
            else:
                later += 1
                passing = later > lookups and rows < later * _ROWS_PER_LOOKUP
                value = versions.of(key, head.last) if passing else self.at(key, when_ms)
            if value is not None:
                yield key, value

    def _head(self, key: bytes) -> _Head | None:
        data = self.get(b"H" + key)
        return None if data is None else _Head(*_HEAD.unpack(data))

    def _version(self, key: bytes, number: int) -> tuple[int, bytes | None]:
        """Return since when a version holds, and what."""
        data = self.get(b"V" + key + _NUMBER.pack(number))
        if data is None:
            raise StateCorruptedError(
                f'table "{self.table}": version {number} of key {key!r} is missing',
                hint="the store is a cache: it is wiped and restored from the changelog",
            )
        return int(_TIME.unpack_from(data)[0]), data[9:] if data[8] else None

    # -- forgetting --------------------------------------------------------------------------------

    def take(self) -> dict[bytes, bytes | None]:
        """Hand over all writes for a commit, with the deletions of versions that are too old to be asked for."""
        self._sweep()
        return super().take()

    def _sweep(self) -> None:
        oldest_ms = self.oldest_ms
        if oldest_ms // self._bucket_ms <= self._swept_ms // self._bucket_ms:
            return
        due = self.scan(b"E", b"E" + window_key_prefix(oldest_ms + 1))
        rows = [row for row, _ in islice(due, _SWEEP_KEYS_MAX)]
        for row in rows:
            self._trim(row[9:], oldest_ms)
            self.dirty[row] = None
        if rows:
            self._trimmed_ms = oldest_ms
            self.dirty[_TRIMMED] = _TIME.pack(oldest_ms)
        if len(rows) < _SWEEP_KEYS_MAX:
            self._swept_ms = oldest_ms

    def _trim(self, key: bytes, oldest_ms: int) -> None:
        """Delete the versions of a key that were replaced by a time."""
        head = self._head(key)
        if head is None:
            return
        first = head.first
        while first < head.last and self._version(key, first + 1)[0] <= oldest_ms:
            self.dirty[b"V" + key + _NUMBER.pack(first)] = None
            first += 1
        if first == head.last and not head.alive and head.last_ms <= oldest_ms:
            self.dirty[b"V" + key + _NUMBER.pack(first)] = None
            self.dirty[b"H" + key] = None
        elif first != head.first:
            self.dirty[b"H" + key] = _HEAD.pack(first, *head[1:])


class _VersionPass:
    """One pass over the versions of all keys, in their order, for what they held at a time.

    A version's number lies behind its key, so the rows of a key may lie between those of a longer one that it begins
    with. What has been read of that is kept until its turn comes.
    """

    def __init__(self, rows: Iterator[tuple[bytes, bytes]], when_ms: int) -> None:
        self._rows = rows
        self._when_ms = when_ms
        self._ahead: tuple[bytes, bytes] | None = None
        self._held: dict[bytes, bytes] = {}

    def of(self, key: bytes, last: int) -> bytes | None:
        """Return what a key held, given the number of its newest version; keys are asked for in order."""
        end = b"V" + key + _NUMBER.pack(last)
        row = self._ahead or next(self._rows, None)
        while row is not None and row[0] <= end:
            other = row[0][1:-8]
            if other >= key and _TIME.unpack_from(row[1])[0] <= self._when_ms:
                self._held[other] = row[1]
            row = next(self._rows, None)
        self._ahead = row
        data = self._held.pop(key, None)
        if len(self._held) > _HELD_MAX:
            self._held = {other: kept for other, kept in self._held.items() if other > key}
        return None if data is None or not data[8] else data[9:]
