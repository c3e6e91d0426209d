"""The write-back cache: what tasks read, what a commit takes, and what the store then holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pelton.state.cache import TableCache
from pelton.state.contract import Store, TableWrites
from pelton.state.memory import MemoryStores
from pelton.window import window_key

SIZE_MS, RETENTION_MS = 60_000, 120_000
PLENTY = 1 << 30


def store() -> Store:
    return MemoryStores().open(Path("/"), 0, ["t"])


def windowed(kept_in: Store) -> TableCache:
    return TableCache("t", kept_in, window_size_ms=SIZE_MS, retention_ms=RETENTION_MS)


def commit(
    cache: TableCache, kept_in: Store, position: int = 1, cache_bytes_max: int = PLENTY
) -> dict[bytes, bytes | None]:
    """Commit what is dirty, as the runtime does, and return what went to the changelog."""
    taken = cache.take()
    kept_in.write({"t": cache.committed(position)})
    cache.stored(cache_bytes_max)
    return taken


def at(minute: int, key: bytes = b"k") -> bytes:
    """Return the store key of the window that begins at a minute."""
    return window_key(minute * SIZE_MS, key)


def test_a_commit_takes_the_last_value_of_each_key_once():
    kept_in = store()
    cache = TableCache("t", kept_in)
    for value in (b"1", b"2"):
        cache.merge({b"a": value})
    cache.merge({b"b": None})
    assert commit(cache, kept_in, position=7) == {b"a": b"2", b"b": None}
    assert cache.take() == {}
    assert (dict(kept_in.scan("t")), kept_in.position("t"), cache.position) == ({b"a": b"2"}, 7, 7)


def test_writes_during_a_commit_belong_to_the_next():
    kept_in = store()
    cache = TableCache("t", kept_in)
    cache.merge({b"a": b"1"})
    taken = cache.take()
    cache.merge({b"a": b"2"})
    assert (taken, cache.get(b"a"), list(cache.scan())) == ({b"a": b"1"}, b"2", [(b"a", b"2")])
    kept_in.write({"t": cache.committed(1)})
    cache.stored(PLENTY)
    assert (cache.get(b"a"), cache.take()) == (b"2", {b"a": b"2"})


def test_what_a_commit_carries_is_read_until_the_store_has_it():
    kept_in = store()
    cache = TableCache("t", kept_in)
    cache.merge({b"a": b"1", b"b": b"1"})
    cache.take()
    cache.invalidate([b"a"])
    assert (cache.get(b"a"), list(cache.scan(b"b"))) == (b"1", [(b"b", b"1")])


def test_stream_time_does_not_go_back_when_the_newest_window_is_deleted_before_a_restart():
    kept_in = store()
    cache = windowed(kept_in)
    for minute in (1, 9):
        cache.merge({at(minute): b"1"})
    cache.merge({at(9): None})
    commit(cache, kept_in)
    again = windowed(kept_in)
    again.merge({at(1): b"late"})
    assert (again.horizon, again.late_writes, again.take()) == (cache.horizon, 1, {})
    assert list(again.scan()) == []


def test_memory_is_given_back_when_it_runs_short():
    kept_in = store()
    cache = TableCache("t", kept_in)
    cache.merge({b"a": b"1"})
    commit(cache, kept_in, cache_bytes_max=0)
    assert (cache.statistics().entries, cache.statistics().nbytes, cache.get(b"a")) == (0, 0, b"1")


def test_a_window_expires_by_stream_time_and_leaves_a_tombstone():
    kept_in = store()
    cache = windowed(kept_in)
    cache.merge({at(0): b"old"})
    assert commit(cache, kept_in) == {at(0): b"old"}
    cache.merge({at(2): b"new"})  # begins one minute after the old one's end
    assert cache.get(at(0)) == b"old"
    cache.merge({at(3): b"newest"})
    assert cache.get(at(0)) is None, "two minutes after its end, before any commit"
    assert list(cache.scan()) == [(at(2), b"new"), (at(3), b"newest")]
    assert commit(cache, kept_in) == {at(0): None, at(2): b"new", at(3): b"newest"}
    assert dict(kept_in.scan("t")) == {at(2): b"new", at(3): b"newest"}


def test_a_window_that_expires_before_its_first_commit_is_a_tombstone_too():
    kept_in = store()
    cache = windowed(kept_in)
    cache.merge({at(0): b"old"})
    cache.merge({at(9): b"new"})
    assert (cache.get(at(0)), commit(cache, kept_in)) == (None, {at(0): None, at(9): b"new"})


def test_writes_to_windows_that_are_gone_are_counted():
    kept_in = store()
    cache = windowed(kept_in)
    cache.merge({at(9): b"new"})
    cache.merge({at(0): b"late", at(9, b"other"): b"kept"})
    assert cache.statistics().late_writes == 1
    assert commit(cache, kept_in) == {at(9): b"new", at(9, b"other"): b"kept"}


def test_stream_time_survives_a_restart():
    kept_in = store()
    cache = windowed(kept_in)
    cache.merge({at(9): b"new"})
    commit(cache, kept_in)
    again = windowed(kept_in)
    again.merge({at(0): b"late"})
    assert (again.horizon, again.statistics().late_writes, again.take()) == (cache.horizon, 1, {})


class Watched:
    """A store that notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self._store = store()

    def get(self, table: str, key: bytes) -> bytes | None:
        self.asked.append(key)
        return self._store.get(table, key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_windows_that_began_after_the_last_commit_are_not_looked_for_in_the_store():
    kept_in: Any = Watched()
    cache = windowed(kept_in)
    kept_in.asked.clear()
    assert cache.get(at(1)) is None
    cache.merge({at(1): b"one"})
    commit(cache, kept_in, cache_bytes_max=0)  # nothing stays in memory
    assert kept_in.asked == []
    assert cache.get(at(1)) == b"one"
    assert cache.get(at(2)) is None
    assert windowed(kept_in).get(at(1)) == b"one"  # after a restart too
    assert at(2) not in kept_in.asked


def test_a_window_that_another_worker_wrote_to_the_store_is_found():
    kept_in = store()
    cache = windowed(kept_in)
    kept_in.write({"t": TableWrites(puts=[(at(3), b"theirs")])})
    cache.invalidate(iter([at(3)]))
    assert cache.get(at(3)) == b"theirs"


def test_windows_without_expiry_stay():
    kept_in = store()
    cache = TableCache("t", kept_in, window_size_ms=SIZE_MS)
    cache.merge({at(0): b"old"})
    cache.merge({at(9_999): b"new"})
    assert commit(cache, kept_in) == {at(0): b"old", at(9_999): b"new"}


@dataclass
class Model:
    """A table with expiry as plainly as it can be written. entries: (minute, key) -> value."""

    entries: dict[tuple[int, bytes], bytes] = field(default_factory=dict[tuple[int, bytes], bytes])
    latest: int = -1
    late: int = 0

    def merge(self, writes: dict[tuple[int, bytes], bytes | None]) -> None:
        self.latest = max([self.latest, *(minute for minute, _ in writes)])
        for (minute, key), value in writes.items():
            if self.gone(minute):
                self.late += 1
            elif value is None:
                self.entries.pop((minute, key), None)
            else:
                self.entries[minute, key] = value
        self.entries = {place: value for place, value in self.entries.items() if not self.gone(place[0])}

    def gone(self, minute: int) -> bool:
        return (minute + 1) * SIZE_MS + RETENTION_MS <= self.latest * SIZE_MS

    def copy(self) -> Model:
        return Model(dict(self.entries), self.latest)


MINUTES = st.integers(0, 30)
PLACES = st.tuples(MINUTES, st.sampled_from([b"a", b"b", b"c"]))
VALUES = st.one_of(st.none(), st.sampled_from([b"1", b"2", b"3"]))


class CacheAgainstModel(RuleBasedStateMachine):
    """Events, reads, commits and aborts in any order: the cache is what the model is, the store the last commit."""

    def __init__(self) -> None:
        super().__init__()
        self.store = store()
        self.cache = windowed(self.store)
        self.model = Model()
        self.committed = Model()
        self.taken: Model | None = None
        self.changelog: dict[bytes, bytes] = {}
        self.carried: dict[bytes, bytes | None] = {}
        self.position = 0

    @rule(writes=st.dictionaries(PLACES, VALUES, min_size=1, max_size=3))
    def event(self, writes: dict[tuple[int, bytes], bytes | None]) -> None:
        self.cache.merge({at(*place): value for place, value in writes.items()})
        self.model.merge(writes)

    @rule(place=PLACES)
    def read(self, place: tuple[int, bytes]) -> None:
        assert self.cache.get(at(*place)) == self.model.entries.get(place)

    @rule(first=MINUTES, last=MINUTES)
    def scan(self, first: int, last: int) -> None:
        wanted = sorted((at(*place), value) for place, value in self.model.entries.items() if first <= place[0] < last)
        assert list(self.cache.scan(at(first, b""), at(last, b""))) == wanted

    @precondition(lambda self: self.taken is None)
    @rule()
    def begin_commit(self) -> None:
        self.carried, self.taken = dict(self.cache.take()), self.model.copy()

    @precondition(lambda self: self.taken is not None)
    @rule(cache_bytes_max=st.sampled_from([0, PLENTY]))
    def end_commit(self, cache_bytes_max: int) -> None:
        self.position += len(self.carried)
        for key, value in self.carried.items():
            if value is None:
                self.changelog.pop(key, None)
            else:
                self.changelog[key] = value
        self.store.write({"t": self.cache.committed(self.position)})
        self.cache.stored(cache_bytes_max)
        assert self.taken is not None
        self.committed, self.taken = self.taken, None

    @rule()
    def abort(self) -> None:
        """Begin again from the last commit, whether one was under way or not."""
        self.cache, self.taken = windowed(self.store), None
        self.model = self.committed.copy()

    @invariant()
    def late_writes_are_counted(self) -> None:
        assert self.cache.late_writes == self.model.late

    @invariant()
    def the_store_is_the_fold_of_the_changelog(self) -> None:
        assert dict(self.store.scan("t")) == self.changelog
        assert self.store.position("t") == (self.position or self.store.position("t"))
        windows = {key: value for key, value in self.changelog.items() if key}  # b"" is the cache's own note of time
        assert windows == {at(*place): value for place, value in self.committed.entries.items()}


TestCacheAgainstModel = CacheAgainstModel.TestCase
