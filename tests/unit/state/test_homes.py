"""What only one home of keyed state does; tests/contract/test_store.py holds what both do."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pelton.errors import DiskError, InternalError, StateCorruptedError
from pelton.state.contract import TableWrites
from pelton.state.memory import MemoryStores
from pelton.state.rocksdb import UNUSED_S, RocksStores, explain
from tests.patience import PATIENCE_S

HERE = Path("/data/3")

MIB = 1024**2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Corruption: block checksum mismatch", StateCorruptedError),
        ("IO error: No such file or directory: While open a file: MANIFEST-000005", StateCorruptedError),
        ("IO error: No such file or directory: While open a file: 000012.sst", StateCorruptedError),
        ("IO error: No space left on device: While appending to file", DiskError),
        ("Invalid argument: Column family not found", InternalError),
    ],
)
def test_what_an_error_of_rocksdb_asks_for(text, expected):
    error = explain(Exception(text), HERE)
    assert type(error) is expected
    assert text in error.message
    assert str(HERE) in error.message


OPENS = """
import sys
from pathlib import Path
from pelton.state.rocksdb import RocksStores

stores = RocksStores()
for _ in range(50):
    stores.open(Path(sys.argv[1]), 0, ["balances"]).close()
"""


def test_processes_that_open_a_store_at_the_same_time_do_not_take_it_for_damaged(tmp_path):
    """RocksDB turns its info logs over before it takes its lock, and says that a file is missing."""
    command = [sys.executable, "-c", OPENS, str(tmp_path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [process.communicate(timeout=PATIENCE_S)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors


def test_an_operating_system_error_is_the_disk():
    assert type(explain(PermissionError("denied"), HERE)) is DiskError


def test_a_crash_keeps_what_was_written_and_frees_the_locks():
    stores = MemoryStores()
    store = stores.open(HERE, 0, ["balances"])
    store.write({"balances": TableWrites([(b"a", b"1")], position=4)})
    stores.crash()
    with pytest.raises(InternalError, match="closed"):
        store.get("balances", b"a")
    again = stores.open(HERE, 0, ["balances"])
    assert (again.get("balances", b"a"), again.position("balances")) == (b"1", 4)


def test_keys_that_come_and_go_leave_no_files(tmp_path):
    """A flush writes tombstones only, and nothing that they delete lies below: they must go too."""
    stores = RocksStores()
    files = []
    for turn in range(40):
        store = stores.open(tmp_path, 0, ["present"])
        keys = [b"visitor-%06d" % number for number in range(turn * 100, turn * 100 + 100)]
        store.write({"present": TableWrites([(key, b"1") for key in keys], position=turn)})
        store.write({"present": TableWrites([(key, None) for key in keys], position=turn)})
        store.close()  # flushes
        files.append(len(list(store.path.glob("*.sst"))))
    assert max(files[20:]) < 20


def test_further_copies_that_nobody_has_used_for_long_are_deleted(tmp_path):
    """Not the first copy, not one that is open, not one that was written to of late."""
    stores = RocksStores()
    copies = [stores.open(tmp_path, 3, ["balances"]) for _ in range(2)]
    fresh = [stores.open(tmp_path, 4, ["balances"]) for _ in range(2)]
    in_use = [stores.open(tmp_path, 5, ["balances"]) for _ in range(2)]
    for store in copies + fresh:
        store.close()
    long_ago = time.time() - UNUSED_S - 60
    for name in ("3", "3.1", "5", "5.1"):
        for file in (tmp_path / name).iterdir():
            os.utime(file, (long_ago, long_ago))
    stores.tidy(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3", "4", "4.1", "5", "5.1"]
    in_use[1].write({"balances": TableWrites([(b"a", b"1")], position=1)})
    for store in in_use:
        store.close()


def test_what_a_store_keeps_beside_its_rows_is_bounded(tmp_path: Path) -> None:
    """As RocksDB has written it down: its own limits are a gibibyte for the list of files, and none for the log."""
    stores = RocksStores(32 * MIB)
    store = stores.open(tmp_path, 0, ["balances"])
    (file,) = (tmp_path / "0").glob("OPTIONS-*")
    options = dict(line.strip().split("=", 1) for line in file.read_text().splitlines() if "=" in line)
    store.close()
    assert options["max_total_wal_size"] == str(8 * MIB)
    assert options["max_manifest_file_size"] == str(MIB)
    assert options["max_log_file_size"] == str(MIB // 4)
    assert options["keep_log_file_num"] == "2"
