"""What a worker tells of its partitions to others: only what is committed, surely its own, and of one moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from pelton.clock import Clock, SystemClock
from pelton.errors import UnavailableError
from pelton.log.contract import TopicSpec
from pelton.log.sqlite import SqliteLog
from pelton.runtime.holdings import Holding, Holdings
from pelton.runtime.partition import Partition
from pelton.runtime.spec import TableSpec
from pelton.runtime.standby import Standbys, StandbyStores
from pelton.state.cache import TableCache
from pelton.state.contract import Store, TableWrites
from pelton.state.memory import MemoryStores
from pelton.state.versions import History

TABLE = TableSpec("balances", TopicSpec("changelog"), history=History(1_000))
NAMES = ("balances", "balances-history")


class Scene:
    """A worker with partition 0, and a clock that a lease hangs on."""

    def __init__(self, tmp_path: Path) -> None:
        self.store: Store = MemoryStores().open(tmp_path, 0, NAMES)
        self.partition = Partition(0, self.store, {"balances": TABLE})
        self.partition.state = "running"
        self.sure_until_s = float("inf")
        clock: Clock = SystemClock()
        none = StandbyStores(self.unused, self.unused, lambda _: [])
        log = SqliteLog(f"sqlite:///{tmp_path / 'log.sqlite'}", clock=clock)
        standbys = Standbys(log, none, clock, busy=lambda: False)
        self.holdings = Holdings({0: self.partition}, standbys, lambda: None, lambda: self.sure_until_s, clock)

    async def unused(self, number: int) -> Store:
        raise AssertionError(number)

    def write(self, value: bytes, position: int) -> None:
        self.store.write({name: TableWrites([(b"alice", value)], position=position) for name in NAMES[:1]})

    def owned(self) -> Holding:
        holding = self.holdings.owned(0, TABLE)
        assert isinstance(holding, Holding), holding
        return holding


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_only_what_is_committed_is_told(scene: Scene) -> None:
    scene.write(b"1", 1)
    scene.partition.open_caches({})
    scene.partition.caches["balances"].merge({b"alice": b"2"})
    assert scene.owned().stable(lambda cache: cache.get(b"alice")) == b"1"
    assert scene.owned().role == "owner"


def test_an_owner_that_may_have_been_replaced_says_nothing(scene: Scene) -> None:
    scene.sure_until_s = SystemClock().monotonic() - 0.001
    assert scene.holdings.owned(0, TABLE) == "its worker has not heard from the group for its session timeout"
    scene.sure_until_s = float("inf")
    scene.owned()


def test_a_partition_that_does_not_run_is_told_as_what_it_is(scene: Scene) -> None:
    assert "on its way" in str(scene.holdings.owned(1, TABLE))
    scene.partition.state, scene.partition.restored, scene.partition.restore_total = "restoring", 3, 10
    assert scene.holdings.owned(0, TABLE) == "the partition is being restored, 3 of 10 records"
    scene.partition.state = "closed"
    assert "leaving" in str(scene.holdings.owned(0, TABLE))
    assert scene.holdings.standby(0, TABLE) == "no copy is kept here"


def test_a_read_that_meets_a_commit_is_made_again(scene: Scene) -> None:
    scene.write(b"1", 1)
    reads: list[int] = []

    def twice(cache: TableCache) -> tuple[bytes | None, bytes | None]:
        first = cache.get(b"alice")
        if not reads:
            scene.write(b"2", 2)  # as a commit's thread does
        reads.append(len(reads))
        return first, scene.store.get("balances", b"alice")

    assert scene.owned().stable(twice) == (b"2", b"2")

    def never_still(cache: TableCache) -> None:
        reads.append(len(reads))
        scene.write(b"3", 10 + len(reads))

    with pytest.raises(UnavailableError, match="changed whenever it was read"):
        scene.owned().stable(never_still)
