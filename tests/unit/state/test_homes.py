"""What only one home of keyed state does; tests/contract/test_store.py holds what both do."""

from pathlib import Path

import pytest

from pelton.errors import InternalError, StateCorruptedError, UnavailableError
from pelton.state.contract import TableWrites
from pelton.state.memory import MemoryStores
from pelton.state.rocksdb import explain

HERE = Path("/data")


@pytest.mark.parametrize(
    ("text", "opening", "expected"),
    [
        ("Corruption: block checksum mismatch", False, StateCorruptedError),
        ("IO error: No such file or directory: While open a file: MANIFEST-000005", True, StateCorruptedError),
        ("IO error: No such file or directory: While open a file: 000012.sst", False, UnavailableError),
        ("IO error: No space left on device: While appending to file", False, UnavailableError),
        ("Invalid argument: Column family not found", False, InternalError),
    ],
)
def test_what_an_error_of_rocksdb_asks_for(text, opening, expected):
    error = explain(Exception(text), HERE, opening=opening)
    assert type(error) is expected
    assert text in error.message
    assert str(HERE) in error.message


def test_an_operating_system_error_is_unavailable():
    assert type(explain(PermissionError("denied"), HERE)) is UnavailableError


def test_a_crash_keeps_what_was_written_and_frees_the_locks():
    stores = MemoryStores()
    store = stores.open(HERE, 0, ["balances"])
    store.write({"balances": TableWrites([(b"a", b"1")], position=4)})
    stores.crash()
    with pytest.raises(InternalError, match="closed"):
        store.get("balances", b"a")
    again = stores.open(HERE, 0, ["balances"])
    assert (again.get("balances", b"a"), again.position("balances")) == (b"1", 4)
