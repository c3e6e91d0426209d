"""Tables with history against a list of all that was ever written: any events, commits, crashes, and a lost store."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pelton.batch import OutgoingBatch, RecordBatch
from pelton.errors import ConfigurationError, HistoryExpiredError
from pelton.log.contract import TopicSpec
from pelton.runtime.partition import Partition
from pelton.runtime.restore import changelog_writes
from pelton.runtime.spec import TableSpec
from pelton.state.memory import MemoryStores
from pelton.state.versions import BEFORE_HISTORY, History, StoredVersion
from pelton.stream.lane import Chunk, Lane
from pelton.stream.versioned import VersionedSlot, slot_over
from tests.unit.stream.feeding import Effects

unhurried = settings(deadline=None)

HISTORY_MS = 80
TABLE = TableSpec("t", TopicSpec("t-changelog", cleanup_policy="compact"), history=History(HISTORY_MS))
TABLES = {spec.name: spec for spec in (TABLE, TABLE.versions())}
#: One whose versions lie between those of another that it begins with, too.
KEYS = [b"a", b"ab", b"", b"a" + bytes(7)]
Write = tuple[bytes, bytes | None]

writes = st.lists(
    st.tuples(st.sampled_from(KEYS), st.one_of(st.none(), st.sampled_from([b"", b"1", b"2"]))), max_size=4
)
#: How far time goes on with each event, and how late the event is.
events = st.tuples(
    st.just("event"), st.integers(0, 60), st.sampled_from([0, 0, 0, 5, 90, 300]), writes, st.integers(0, 4)
)
steps = st.lists(
    st.one_of(events, events, events, events, st.just(("commit",)), st.just(("crash",)), st.just(("lost", True))),
    min_size=20,
    max_size=60,
)


class Model:
    """All versions ever, by key; when asked, only those that a table may still tell of."""

    def __init__(self, current: dict[bytes, bytes] | None = None) -> None:
        self.versions = {key: [(BEFORE_HISTORY, value)] for key, value in (current or {}).items()}
        self.stream_ms = BEFORE_HISTORY

    def copy(self) -> Model:
        other = Model()
        other.versions = {key: list(found) for key, found in self.versions.items()}
        other.stream_ms = self.stream_ms
        return other

    def event(self, time_ms: int, changes: list[Write]) -> None:
        for key, value in dict(changes).items():
            found = self.versions.setdefault(key, [])
            if value is None and (not found or found[-1][1] is None):
                continue
            since_ms = max(time_ms, self.oldest_ms, *(since for since, _ in found))
            found.append((since_ms, value))
            self.stream_ms = max(self.stream_ms, since_ms)

    @property
    def oldest_ms(self) -> int:
        return self.stream_ms - HISTORY_MS if self.stream_ms != BEFORE_HISTORY else BEFORE_HISTORY

    def at(self, key: bytes, when_ms: int) -> bytes | None:
        return next((value for since, value in reversed(self.versions.get(key, [])) if since <= when_ms), None)

    def of(self, key: bytes) -> list[StoredVersion]:
        if not (found := self.versions.get(key, [])):
            return []
        ends = [*(since for since, _ in found[1:]), None]
        all_ = [StoredVersion(since, end, value) for (since, value), end in zip(found, ends, strict=True)]
        kept = [one for one in all_ if one.until_ms is None or one.until_ms > self.oldest_ms]
        return kept[1:] if kept[0].value is None and kept[0].since_ms <= self.oldest_ms else kept


class Program:
    """A partition with one lane, its changelogs, and crashes."""

    def __init__(self, tables: dict[str, TableSpec]) -> None:
        self.tables = tables
        self.changelogs: dict[str, list[tuple[bytes, bytes | None]]] = {name: [] for name in TABLES}
        self.stores = MemoryStores()
        self.open()

    def open(self) -> None:
        self.store = self.stores.open(Path("x"), 0, TABLES)
        self.partition = Partition(0, self.store, self.tables)
        self.partition.open_caches({})
        self.lane = Lane("agent", 0, 0, Effects())
        self.slot = slot_over(self.partition.caches["t"], self.lane, None, "t", "")

    def crash(self) -> None:
        self.stores.crash()
        self.open()

    def lose_store(self) -> None:
        """Begin with an empty disk, and what a compaction has left of the changelogs."""
        self.stores = MemoryStores()
        self.store = self.stores.open(Path("x"), 0, TABLES)
        self.changelogs = {name: list(dict(records).items()) for name, records in self.changelogs.items()}
        for name, records in self.changelogs.items():
            if records:
                keys, values = [key for key, _ in records], [value for _, value in records]
                batch = RecordBatch(name, 0, range(len(keys)), [0] * len(keys), keys, values, len(keys), None)
                self.store.write({name: changelog_writes(batch)})
        self.crash()

    def commit(self) -> None:
        staged = self.partition.stage(0)
        if staged is None:
            return
        batches: dict[str, OutgoingBatch] = dict(staged.changelogs)
        for name, batch in batches.items():
            self.changelogs[name] += [(key or b"", value) for key, value in zip(batch.keys, batch.values, strict=True)]
        ends = {name: len(self.changelogs[name]) for name in batches}
        self.store.write(self.partition.committed(staged, ends))
        self.partition.stored(1 << 20)

    def event(self, time_ms: int, changes: list[Write], *, fails: bool = False) -> None:
        batch = RecordBatch("s", 0, [0], [time_ms], [b""], [b""], 1, None)
        self.lane.chunk, self.lane.cursor = Chunk(batch, [0], [None], bytes.decode, 1), 0
        for key, value in changes:
            self.slot.put(key, value)
        if fails:
            self.lane.discard_event()
        else:
            self.lane.finish_event()


def check(program: Program, model: Model) -> None:
    """Compare every answer about the past: in an agent, and elsewhere."""
    assert isinstance(program.slot, VersionedSlot)
    versions = program.partition.caches["t"].versions
    assert versions is not None
    for past in (program.slot, versions):
        for key in KEYS:
            assert past.of(key) == model.of(key)
            latest_ms = max(model.stream_ms, 0)
            for when_ms in range(max(model.oldest_ms, -300), latest_ms + 20, 11):
                assert past.at(key, when_ms) == model.at(key, when_ms)
    if model.stream_ms != BEFORE_HISTORY:
        for past in (program.slot, versions):
            with pytest.raises(HistoryExpiredError, match="no history at"):
                past.at(b"a", model.oldest_ms - 1)
    assert dict(program.slot.scan()) == {
        key: found[-1][1] for key, found in model.versions.items() if found and found[-1][1] is not None
    }
    for when_ms in (max(model.oldest_ms, -300), max(model.stream_ms - 30, model.oldest_ms, -300), model.stream_ms):
        if when_ms >= model.oldest_ms:
            held = [(key, value) for key in sorted(KEYS) if (value := model.at(key, when_ms)) is not None]
            assert held == list(program.slot.items(when_ms)) == list(versions.items(when_ms))
            assert held == list(versions.items(when_ms, lookups=0))


@settings(deadline=None, max_examples=60)
@given(steps=steps)
def test_the_past_is_what_was_written_whatever_is_committed_crashes_or_is_lost(steps: list[tuple[object, ...]]) -> None:
    program, model = Program(TABLES), Model()
    committed = model.copy()
    now_ms = 0
    for step in steps:
        match step:
            case ("event", int(passed_ms), int(late_ms), list(changes), int(chance)):
                now_ms += passed_ms
                program.event(now_ms - late_ms, changes, fails=chance == 0)
                if chance:
                    model.event(now_ms - late_ms, changes)
            case ("commit",):
                program.commit()
                committed = model.copy()
            case ("crash",):
                program.crash()
                model = committed.copy()
            case _:
                program.lose_store()
                model = committed.copy()
        check(program, model)


@settings(deadline=None, max_examples=20)
@given(before=steps, after=steps)
def test_a_table_that_gets_its_history_later_knows_what_it_held_before(
    before: list[tuple[object, ...]], after: list[tuple[object, ...]]
) -> None:
    program = Program({"t": TableSpec("t", TABLE.changelog)})
    for step in before:
        if step[0] == "event":
            program.event(step[1], step[3], fails=False)  # type: ignore[arg-type]
    program.commit()
    model = Model(dict(program.slot.scan()))
    program.tables = TABLES
    program.crash()
    check(program, model)
    for step in after:
        if step[0] == "event":
            program.event(step[1], step[3], fails=False)  # type: ignore[arg-type]
            model.event(step[1], step[3])  # type: ignore[arg-type]
    program.commit()
    check(program, model)


@unhurried
@given(
    times=st.lists(st.integers(0, 5_000), min_size=1, max_size=60),
    keys=st.lists(st.sampled_from(KEYS), min_size=60, max_size=60),
    last=st.sampled_from([b"1", None]),
)
def test_what_is_too_old_to_be_asked_for_is_deleted(times: list[int], keys: list[bytes], last: bytes | None) -> None:
    program = Program(TABLES)
    for time_ms, key in zip(times, keys, strict=False):
        program.event(time_ms, [(key, b"v")])
        program.commit()
    for key in KEYS:
        program.event(5_000, [(key, last)])
    program.event(20_000, [(b"z", b"1")])
    program.commit()
    rows = list(program.store.scan("t-history"))
    kept = {b"z"} if last is None else {b"z", *KEYS}
    assert {row[1:] for row, _ in rows if row[:1] == b"H"} == kept
    assert sorted(row[1:-8] for row, _ in rows if row[:1] == b"V") == sorted(kept)
    assert not [row for row, _ in rows if row[:1] == b"E"]


@unhurried
@given(changes=writes, then=writes, time_ms=st.integers(0, 170))
def test_an_event_reads_its_own_writes_in_the_past_too(changes: list[Write], then: list[Write], time_ms: int) -> None:
    program, model = Program(TABLES), Model()
    program.event(100, changes)
    model.event(100, changes)
    batch = RecordBatch("s", 0, [0], [time_ms], [b""], [b""], 1, None)
    program.lane.chunk = Chunk(batch, [0], [None], bytes.decode, 1)
    for key, value in then:
        program.slot.put(key, value)
    model.event(time_ms, then)
    assert isinstance(program.slot, VersionedSlot)
    for key in KEYS:
        assert program.slot.of(key) == model.of(key)
        for when_ms in range(max(model.oldest_ms, 20), 300, 5):
            assert program.slot.at(key, when_ms) == model.at(key, when_ms)
        held = [(key, value) for key in sorted(KEYS) if (value := model.at(key, when_ms)) is not None]
        assert list(program.slot.items(when_ms)) == held


def test_versions_written_by_overlapping_events_are_refused() -> None:
    program = Program(TABLES)
    program.slot = slot_over(program.partition.caches["t"], program.lane, {}, "t", "")
    with pytest.raises(ConfigurationError, match="with concurrency"):
        program.event(0, [(b"a", b"1")])
