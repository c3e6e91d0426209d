"""The write-back cache: partition n of one table as the tasks see it.

Below it lies the store, which holds committed values only. Above it, each lane keeps the writes of its unfinished event
to itself (`pelton.stream.lane`) and merges them here when the event is done. So everything in this cache belongs to
complete events (invariant I1), and what a commit takes away is exactly what became durable.

Keys and values are bytes. A value that a task gets is decoded from them anew each time: nobody can change a value of
the table by holding on to an object.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import merge as merge_sorted
from typing import TYPE_CHECKING

from pelton.killpoints import step
from pelton.state.claims import Claims
from pelton.state.contract import Store, TableWrites
from pelton.window import WINDOW_PREFIX_BYTES, window_key_prefix, window_start_of

if TYPE_CHECKING:
    from pelton.state.versions import VersionCache

__all__ = ["CacheStatistics", "TableCache"]

#: Told apart from None, which is a deleted key.
_MISSING = object()
#: A key below those of all windows, where nobody reads: how far stream time has come, when the last key does not tell.
_STREAM_TIME = b""


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """What a cache holds now.

    entries: keys held in memory; dirty: those not yet taken by a commit; nbytes: about the memory they take.
    late_writes: writes to windows that had expired already, since the cache was made.
    """

    entries: int
    dirty: int
    nbytes: int
    late_writes: int


class TableCache:
    """Reads through to the store; collects writes until a commit takes them.

    bytes_max: what it may hold of values that are not dirty.
    window_size_ms, retention_ms: for a windowed table, whose keys begin with the window's start
        (`pelton.window.window_key_prefix`): a window is gone once the latest window seen starts retention_ms or more
        after its end. Both None for a plain table, or one that keeps its windows for ever.
    """

    __slots__ = (
        "_bytes_max",
        "_evict_at",
        "_expired_to",
        "_in_flight",
        "_latest",
        "_nbytes",
        "_retention_ms",
        "_size_ms",
        "_store",
        "_stored_to",
        "claims",
        "dirty",
        "expires",
        "horizon",
        "late_writes",
        "position",
        "table",
        "values",
        "versions",
    )

    def __init__(
        self,
        table: str,
        store: Store,
        *,
        window_size_ms: int | None = None,
        retention_ms: int | None = None,
        bytes_max: int = 256 * 1024 * 1024,
    ) -> None:
        self.table = table
        self._bytes_max = self._evict_at = bytes_max
        #: Writes that no commit has taken yet; looked up before `values`.
        self.dirty: dict[bytes, bytes | None] = {}
        #: What was read or committed; a key that is here and in `dirty` has its newer value there.
        self.values: dict[bytes, bytes | None] = {}
        self.position = store.position(table)
        #: Which unfinished events write which keys.
        self.claims = Claims()
        self.late_writes = 0
        #: Keys below it belong to expired windows; b"" when nothing expires.
        self.horizon = b""
        #: What the keys held before, for a table with history.
        self.versions: VersionCache | None = None
        self._store = store
        self._in_flight: dict[bytes, bytes | None] = {}
        self._size_ms = window_size_ms
        self._retention_ms = retention_ms
        #: Whether windows are ever given up; when not, a merge is no more than `dirty.update`.
        self.expires = window_size_ms is not None and retention_ms is not None
        self._nbytes = 0
        self._latest = b""
        self._expired_to = b""
        #: The greatest key that the store may hold: windows are in order of time, so those that have begun since the
        #: last commit need no look into it. None where keys are in no such order, and tell nothing.
        self._stored_to = (store.last_key(table) or b"") if window_size_ms is not None else None
        if self.expires:
            self._see(max(store.last_key(table) or b"", store.get(table, _STREAM_TIME) or b""))
            self._expired_to = self.horizon

    def get(self, key: bytes) -> bytes | None:
        """Return the value that complete events left under a key; None when there is none, or its window is gone."""
        if key < self.horizon:
            # Whether a commit has swept it away yet must not show in results (invariant I9).
            return None
        value = self.dirty.get(key, _MISSING)
        if value is _MISSING:
            value = self.values.get(key, _MISSING)
        if value is _MISSING:
            stored_to = self._stored_to
            found = self._store.get(self.table, key) if stored_to is None or key <= stored_to else None
            if self._nbytes > self._evict_at:
                self._evict()
            self.values[key] = found
            self._nbytes += 160 + len(key) + (len(found) if found else 0)
            return found
        return value  # type: ignore[return-value]

    @step("table-write")
    def merge(self, writes: Mapping[bytes, bytes | None]) -> None:
        """Take over the writes of an event that is complete."""
        if self.expires:
            writes = self._without_late(writes)
        self.dirty.update(writes)

    def _without_late(self, writes: Mapping[bytes, bytes | None]) -> Mapping[bytes, bytes | None]:
        """Move the stream time on, and leave out writes to windows that it has left behind."""
        latest = max(writes, default=b"")
        if latest > self._latest:
            self._see(latest)
        if min(writes, default=b"") >= self.horizon:
            return writes
        kept = {key: value for key, value in writes.items() if key >= self.horizon}
        self.late_writes += len(writes) - len(kept)
        return kept

    def _see(self, key: bytes) -> None:
        """Let stream time advance to the window of this key."""
        if not key or self._size_ms is None or self._retention_ms is None:
            return
        self._latest = key
        self.horizon = window_key_prefix(window_start_of(key) - self._retention_ms - self._size_ms + 1)

    def take(self) -> dict[bytes, bytes | None]:
        """Hand over all writes since the last `take`, coalesced to the last value a key, for a commit.

        Windows that expired meanwhile are in it as deletions. Until `committed` or a new cache, at most one take
        is under way.
        """
        if self.expires:
            self._expire()
            self._note_stream_time()
        taken, self.dirty = self.dirty, {}
        self._in_flight = self._in_flight | taken if self._in_flight else taken
        self.values.update(taken)
        self._nbytes += sum(map(_entry_size, taken.items()))
        return taken

    def _expire(self) -> None:
        """Turn every key of an expired window into a deletion, so that the changelog forgets it too."""
        if self.horizon <= self._expired_to:
            return
        stored = (key for key, _ in self._store.scan(self.table, self._expired_to, self.horizon))
        self.dirty.update(dict.fromkeys(stored))
        self.dirty.update({key: None for key in self.dirty if key < self.horizon})
        self.values = {key: value for key, value in self.values.items() if key >= self.horizon}
        self._expired_to = self.horizon

    def _note_stream_time(self) -> None:
        """Keep how far stream time has come when keys of the newest window are deleted.

        Without them a restart would find an earlier time, and take writes again that are late (invariant I9).
        """
        newest = self._latest[:WINDOW_PREFIX_BYTES]
        if any(value is None and key >= newest for key, value in self.dirty.items()):
            self.dirty[_STREAM_TIME] = newest

    def dirty_bytes(self) -> int:
        """Return about the memory of the writes that no commit has taken; looks at each of them."""
        return sum(map(_entry_size, self.dirty.items()))

    def committed(self, position: int | None) -> TableWrites:
        """Say that what `take` handed over is durable in the changelog up to a position (the next offset).

        Returns: the writes to apply to the store, together with the position.
        """
        self.position = position if position is not None else self.position
        self._note_stored(self._in_flight)
        return TableWrites(puts=list(self._in_flight.items()), position=position)

    def stored(self, cache_bytes_max: int) -> None:
        """Say that the store holds what was committed; forget clean values when memory runs short."""
        self._in_flight = {}
        self._bytes_max = self._evict_at = cache_bytes_max
        if self._nbytes > cache_bytes_max:
            self._evict()

    def _evict(self) -> None:
        """Forget all that the store holds too."""
        self.values = dict(self._in_flight)
        self._nbytes = sum(map(_entry_size, self.values.items()))
        # What a commit under way has taken must stay. Where that alone is too much, not every read shall go through it.
        self._evict_at = max(self._bytes_max, 2 * self._nbytes)

    def invalidate(self, keys: Iterable[bytes]) -> None:
        """Forget what was read under these keys: the store holds newer values. Own writes stay."""
        keys = list(keys)
        self._note_stored(keys)
        for key in keys:
            if key not in self.dirty and key not in self._in_flight:
                self.values.pop(key, None)

    def _note_stored(self, keys: Collection[bytes]) -> None:
        """The store holds these keys now, or soon will."""
        greatest = max(keys, default=b"") if self._stored_to is not None else b""
        if self._stored_to is not None and greatest > self._stored_to:
            self._stored_to = greatest

    def scan(self, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) for start <= key < end in order, with the effects of all complete events."""
        start = max(start, self.horizon)
        newer = self._in_flight | self.dirty
        fresh = sorted(k for k in newer if k >= start and (end is None or k < end))
        stored = ((k, v) for k, v in self._store.scan(self.table, start, end) if k not in newer)
        for key, value in merge_sorted(stored, ((k, newer[k]) for k in fresh), key=_first):
            if value is not None:
                yield key, value

    def statistics(self) -> CacheStatistics:
        """Return what the cache holds now."""
        return CacheStatistics(len(self.values), len(self.dirty), self._nbytes, self.late_writes)


def _first(item: tuple[bytes, bytes | None]) -> bytes:
    return item[0]


def _entry_size(item: tuple[bytes, bytes | None]) -> int:
    key, value = item
    # 160: two bytes objects' headers and a dict slot, as sys.getsizeof counts them on CPython 3.11.
    return 160 + len(key) + (len(value) if value else 0)
