"""One suite over every home of keyed state."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from pelton.errors import InternalError, StateCorruptedError, UnavailableError
from pelton.state.contract import Store, StoreFactory, TableWrites
from pelton.state.memory import MemoryStores
from pelton.state.rocksdb import RANGE_KEYS_MAX, RocksStores
from tests.patience import PATIENCE_S

HOMES: dict[str, Callable[[], StoreFactory]] = {"memory": MemoryStores, "rocksdb": RocksStores}


@pytest.fixture(params=HOMES)
def stores(request: pytest.FixtureRequest) -> StoreFactory:
    return HOMES[request.param]()


@pytest.fixture
def store(stores: StoreFactory, tmp_path: Path) -> Iterator[Store]:
    opened = stores.open(tmp_path, 3, ["balances", "default"])
    yield opened
    opened.close()


def put(store: Store, table: str = "balances", position: int | None = None, **values: bytes | None) -> None:
    store.write({table: TableWrites([(key.encode(), value) for key, value in values.items()], position=position)})


def contents(store: Store, table: str = "balances") -> dict[bytes, bytes]:
    return dict(store.scan(table))


# Values


def test_a_new_store_is_empty(store):
    assert store.get("balances", b"a") is None
    assert list(store.scan("balances")) == []
    assert store.position("balances") is None
    assert store.last_key("balances") is None
    assert store.tables() == {"balances", "default"}


def test_values_come_back_as_bytes(store):
    put(store, a=b"1", b=b"", c=b"\x00\xff")
    assert store.get("balances", b"b") == b""
    assert list(store.get_many("balances", [b"c", b"x", b"a"])) == [b"\x00\xff", None, b"1"]
    assert list(store.get_many("balances", [])) == []
    assert store.last_key("balances") == b"c"


def test_a_size_is_told_without_reading(store):
    assert store.size("balances").keys == 0
    put(store, a=b"1", b=b"22")
    assert store.size("balances").keys == 2
    assert store.size("balances").bytes >= 5
    assert store.size("default").keys == 0


def test_tables_do_not_see_each_other(store):
    put(store, "balances", a=b"1")
    put(store, "default", a=b"2")
    assert (store.get("balances", b"a"), store.get("default", b"a")) == (b"1", b"2")


def test_none_deletes(store):
    put(store, a=b"1", b=b"2")
    put(store, a=None, never_there=None)
    assert contents(store) == {b"b": b"2"}


def test_puts_of_one_key_apply_in_order(store):
    store.write({"balances": TableWrites([(b"a", b"1"), (b"b", None), (b"a", None), (b"a", b"3"), (b"b", b"4")])})
    assert contents(store) == {b"a": b"3", b"b": b"4"}


def test_any_bytes_may_be_a_key(store):
    keys = [b"", b"\x00", b"\xff" * 300, b"a\x00b"]
    store.write({"balances": TableWrites([(key, b"v") for key in keys])})
    assert [key for key, _ in store.scan("balances")] == sorted(keys)


def test_a_range_is_deleted_before_the_puts(store):
    put(store, a=b"1", b=b"2", c=b"3")
    store.write({"balances": TableWrites([(b"b", b"new")], delete_range=(b"a", b"c"))})
    assert contents(store) == {b"b": b"new", b"c": b"3"}


@pytest.mark.parametrize("bounds", [(b"b", b"b"), (b"c", b"a")])
def test_an_empty_range_deletes_nothing(store, bounds):
    put(store, a=b"1", b=b"2", c=b"3")
    store.write({"balances": TableWrites(delete_range=bounds)})
    assert len(contents(store)) == 3


def test_a_long_range_is_deleted_too(store):
    keys = [b"%07d" % number for number in range(RANGE_KEYS_MAX + 10)]
    store.write({"balances": TableWrites([(key, b"") for key in keys])})
    store.write({"balances": TableWrites(delete_range=(keys[1], keys[-1]))})
    assert list(contents(store)) == [keys[0], keys[-1]]


# Scans


def test_a_scan_is_in_order_and_half_open(store):
    put(store, c=b"3", a=b"1", b=b"2", d=b"4")
    assert [key for key, _ in store.scan("balances")] == [b"a", b"b", b"c", b"d"]
    assert list(store.scan("balances", b"b", b"d")) == [(b"b", b"2"), (b"c", b"3")]
    assert list(store.scan("balances", b"bb")) == [(b"c", b"3"), (b"d", b"4")]
    assert list(store.scan("balances", b"d", b"b")) == []


def test_a_scan_sees_the_moment_it_was_asked_for(store):
    put(store, a=b"1", b=b"2")
    untouched, begun = store.scan("balances"), store.scan("balances")
    next(begun)
    put(store, a=b"9", b=None, c=b"3")
    assert list(untouched) == [(b"a", b"1"), (b"b", b"2")]
    assert list(begun) == [(b"b", b"2")]


# Positions


def test_positions_belong_to_tables(store):
    put(store, "balances", position=7)
    put(store, "default", position=0)
    put(store, "default", a=b"1")
    assert (store.position("balances"), store.position("default")) == (7, 0)


def test_all_tables_of_a_write_or_none(store):
    with pytest.raises(InternalError, match="no table 'missing'"):
        store.write({"balances": TableWrites([(b"a", b"1")], position=5), "missing": TableWrites([(b"a", b"1")])})
    assert (store.get("balances", b"a"), store.position("balances")) == (None, None)


def test_wiping_takes_values_and_position_of_one_table(store):
    put(store, "balances", position=7, a=b"1", b=b"2")
    put(store, "default", position=8, a=b"1")
    store.wipe("balances")
    assert (contents(store), store.position("balances")) == ({}, None)
    assert (contents(store, "default"), store.position("default")) == ({b"a": b"1"}, 8)
    put(store, "balances", position=1, z=b"1")
    assert (contents(store), store.position("balances")) == ({b"z": b"1"}, 1)


# Life


def test_a_store_outlives_its_closing(stores, tmp_path):
    store = stores.open(tmp_path, 3, ["balances"])
    put(store, position=7, a=b"1")
    store.close()
    again = stores.open(tmp_path, 3, ["orders"])
    assert again.tables() == {"balances", "orders"}
    assert (contents(again), again.position("balances")) == ({b"a": b"1"}, 7)
    again.close()


def test_closing_twice_is_fine_and_using_afterwards_is_not(stores, tmp_path):
    store = stores.open(tmp_path, 3, ["balances"])
    store.close()
    store.close()
    for use in (
        lambda: store.get("balances", b"a"),
        lambda: store.get_many("balances", [b"a"]),
        lambda: store.scan("balances"),
        lambda: store.last_key("balances"),
        lambda: store.position("balances"),
        lambda: put(store, a=b"1"),
        lambda: store.wipe("balances"),
    ):
        with pytest.raises(InternalError, match="closed"):
            use()


def test_closing_lets_go_of_the_lock_although_a_scan_is_under_way(stores, tmp_path):
    store = stores.open(tmp_path, 3, ["balances"])
    put(store, position=7, a=b"1", b=b"2")
    scan, untouched = store.scan("balances"), store.scan("balances")
    next(scan)
    store.close()
    again = stores.open(tmp_path, 3, ["balances"])
    assert again.position("balances") == 7
    again.close()
    del untouched


def test_a_second_holder_gets_a_copy_of_its_own(stores, tmp_path):
    first = stores.open(tmp_path, 3, ["balances"])
    put(first, position=7, a=b"1")
    second = stores.open(tmp_path, 3, ["balances"])
    assert second.position("balances") is None
    put(second, position=1, a=b"2")
    assert first.get("balances", b"a") == b"1"
    first.close()
    assert second.get("balances", b"a") == b"2"
    second.close()
    third = stores.open(tmp_path, 3, ["balances"])
    assert third.position("balances") == 7
    third.close()


def test_held_names_the_partitions_that_have_a_store(stores, tmp_path):
    assert stores.held(tmp_path / "nowhere") == frozenset()
    opened = [stores.open(tmp_path, partition, ["balances"]) for partition in (3, 11, 3)]
    assert stores.held(tmp_path) == {3, 11}
    for store in opened:
        store.close()
    assert stores.held(tmp_path) == {3, 11}


def test_discarding_spares_what_is_open(stores, tmp_path):
    held, free = stores.open(tmp_path, 3, ["balances"]), stores.open(tmp_path, 4, ["balances"])
    put(held, position=7)
    put(free, position=7)
    free.close()
    stores.discard(tmp_path, 3)
    stores.discard(tmp_path, 4)
    assert held.position("balances") == 7
    assert stores.held(tmp_path) == {3}
    again = stores.open(tmp_path, 4, ["balances"])
    assert again.position("balances") is None
    again.close()
    held.close()


def test_statistics_count(store):
    put(store, a=b"1", b=b"2")
    statistics = store.statistics()
    assert (statistics.keys, statistics.writes) == (2, 1)
    assert statistics.memory_bytes > 0


def test_reads_go_on_while_a_thread_writes_and_see_whole_writes(store):
    # Both tables are written together, so the one read last is never behind the one read first.
    stop = threading.Event()

    def write() -> None:
        for number in count():
            value = b"%d" % number
            store.write({table: TableWrites([(b"k", value)], position=number) for table in ("balances", "default")})
            if stop.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while len(seen) < 20:
        first, last = store.get("balances", b"k") or b"-1", store.get("default", b"k") or b"-1"
        assert int(last) >= int(first)
        seen.add(first)
    stop.set()
    writer.join()
    assert store.get("balances", b"k") == b"%d" % store.position("balances")


# Crashes: RocksDB only, as memory ends with its process


WRITER = """
import sys
from pathlib import Path
from pelton.state.contract import TableWrites
from pelton.state.rocksdb import RocksStores
store = RocksStores().open(Path(sys.argv[1]), 0, ["balances", "totals"])
position = store.position("balances") or 0
while True:
    position += 100
    records = range(position - 100, position)
    store.write({
        "balances": TableWrites([(b"%d" % (n % 1000), b"%d" % n) for n in records], position=position),
        "totals": TableWrites([(b"last", b"%d" % (position - 1))], position=position),
    })
    print(position, flush=True)
"""


def test_after_kill_9_the_values_are_the_fold_of_the_changelog_up_to_the_position(tmp_path):
    acknowledged = 0
    for stop_after in (1, 7, 40, 3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(stop_after):
                acknowledged = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
        store = RocksStores().open(tmp_path, 0, ["balances", "totals"])
        position = store.position("balances")
        assert position == store.position("totals")
        assert position >= acknowledged, "a process that dies loses nothing that write() returned from"
        assert contents(store) == {b"%d" % (n % 1000): b"%d" % n for n in range(position)}
        assert store.get("totals", b"last") == b"%d" % (position - 1)
        store.close()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from pelton.errors import UnavailableError
from pelton.state.contract import TableWrites
from pelton.state.rocksdb import RocksStores
store = RocksStores().open(Path(sys.argv[1]), 0, ["balances"])
store.write({"balances": TableWrites([(b"a", b"1")], position=1)})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    store.write({"balances": TableWrites([(b"a", b"x" * (4 << 20))], position=2)})
except UnavailableError as error:
    print(error)
    sys.exit(7)
"""


def test_a_full_disk_is_unavailable_and_leaves_what_was(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 7, done.stderr
    assert "is the disk full" in done.stdout
    store = RocksStores().open(tmp_path, 0, ["balances"])
    assert (contents(store), store.position("balances")) == ({b"a": b"1"}, 1)
    store.close()


def filled(tmp_path: Path) -> Path:
    """Return the directory of a closed store whose values lie in a table file."""
    store = RocksStores().open(tmp_path, 0, ["balances"])
    store.write({"balances": TableWrites([(b"%05d" % n, b"v" * 100) for n in range(20_000)], position=20_000)})
    store.close()
    # Opening moves what the write-ahead log holds into table files.
    RocksStores().open(tmp_path, 0, ["balances"]).close()
    return tmp_path / "0"


def read_all(tmp_path: Path) -> None:
    store = RocksStores().open(tmp_path, 0, ["balances"])
    try:
        for key, _ in store.scan("balances"):
            store.get("balances", key)
    finally:
        store.close()


def largest(path: Path, pattern: str) -> Path:
    return max(path.glob(pattern), key=lambda file: file.stat().st_size)


def overwrite_middle(file: Path) -> None:
    with file.open("r+b") as data:
        data.seek(file.stat().st_size // 3)
        data.write(b"\xde\xad\xbe\xef" * 1000)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "a table file cut short": lambda path: os.truncate(largest(path, "*.sst"), 1000),
    "a table file gone": lambda path: largest(path, "*.sst").unlink(),
    "garbage in a table file": lambda path: overwrite_middle(largest(path, "*.sst")),
    "garbage in the manifest": lambda path: overwrite_middle(largest(path, "MANIFEST-*")),
    "the manifest gone": lambda path: largest(path, "MANIFEST-*").unlink(),
    "garbage in CURRENT": lambda path: (path / "CURRENT").write_text("rubbish"),
    "CURRENT gone": lambda path: (path / "CURRENT").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_noticed_and_discarding_helps(tmp_path, damage):
    damage(filled(tmp_path))
    with pytest.raises(StateCorruptedError, match=str(tmp_path)):
        read_all(tmp_path)
    stores = RocksStores()
    stores.discard(tmp_path, 0)
    store = stores.open(tmp_path, 0, ["balances"])
    assert (contents(store), store.position("balances")) == ({}, None)
    store.close()


def test_a_log_cut_short_by_a_power_cut_is_an_earlier_state(tmp_path):
    store = RocksStores().open(tmp_path, 0, ["balances"])
    for position in range(1, 200):
        put(store, position=position, last=b"%d" % position, **{f"k{position}": b"v" * 50})
    shutil.copytree(tmp_path, tmp_path / "after")
    store.close()
    log = largest(tmp_path / "after" / "0", "*.log")
    os.truncate(log, log.stat().st_size // 2)
    store = RocksStores().open(tmp_path / "after", 0, ["balances"])
    position = store.position("balances")
    assert 1 <= position < 199
    assert store.get("balances", b"last") == b"%d" % position
    assert len(contents(store)) == position + 1
    store.close()


def test_another_format_is_not_read(tmp_path, monkeypatch):
    filled(tmp_path)
    monkeypatch.setattr("pelton.state.rocksdb.FORMAT", b"2")
    stores = RocksStores()
    with pytest.raises(StateCorruptedError, match="expected format 2, found 1"):
        stores.open(tmp_path, 0, ["balances"])
    stores.discard(tmp_path, 0)
    assert stores.held(tmp_path) == frozenset()


def test_a_directory_that_cannot_be_written_is_unavailable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError):
        RocksStores().open(tmp_path / "file", 0, ["balances"])


# Any sequence of calls


KEYS = st.binary(max_size=2)
BOUNDS = st.tuples(KEYS, KEYS)
WRITES = st.builds(
    TableWrites,
    puts=st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=3)), max_size=8),
    delete_range=st.none() | BOUNDS,
    position=st.none() | st.integers(0, 2**62),
)
TABLES = ["one", "two"]


class StoreAgainstDict(RuleBasedStateMachine):
    home: str

    @initialize()
    def open(self):
        self.stores = HOMES[self.home]()
        self.directory = self.root / str(next(self.examples))
        self.store = self.stores.open(self.directory, 0, TABLES)
        self.model = {table: {} for table in TABLES}
        self.positions = dict.fromkeys(TABLES)

    @rule(writes=st.dictionaries(st.sampled_from(TABLES), WRITES))
    def write(self, writes):
        self.store.write(writes)
        for table, changes in writes.items():
            model = self.model[table]
            if changes.delete_range:
                start, end = changes.delete_range
                for key in [key for key in model if start <= key < end]:
                    del model[key]
            for key, value in changes.puts:
                model.pop(key, None)
                if value is not None:
                    model[key] = value
            if changes.position is not None:
                self.positions[table] = changes.position

    @rule(table=st.sampled_from(TABLES))
    def wipe(self, table):
        self.store.wipe(table)
        self.model[table], self.positions[table] = {}, None

    @rule()
    def reopen(self):
        self.store.close()
        self.store = self.stores.open(self.directory, 0, [])

    @rule(table=st.sampled_from(TABLES), start=KEYS, end=st.none() | KEYS)
    def scan(self, table, start, end):
        inside = [item for item in self.model[table].items() if item[0] >= start and (end is None or item[0] < end)]
        assert list(self.store.scan(table, start, end)) == sorted(inside)

    @rule(table=st.sampled_from(TABLES), keys=st.lists(KEYS))
    def get_many(self, table, keys):
        assert list(self.store.get_many(table, keys)) == [self.model[table].get(key) for key in keys]

    @invariant()
    def same(self):
        for table in TABLES:
            assert contents(self.store, table) == self.model[table]
            assert self.store.last_key(table) == max(self.model[table], default=None)
            assert self.store.position(table) == self.positions[table]

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()


@pytest.mark.parametrize("home", HOMES)
def test_a_store_behaves_like_a_dict(home, tmp_path):
    machine = type("Machine", (StoreAgainstDict,), {"home": home, "root": tmp_path, "examples": count()})
    examples = settings(max_examples=30, stateful_step_count=20, deadline=None)
    run_state_machine_as_test(machine, settings=examples)
