"""What this worker can tell of a partition number to who asks from outside of the tasks: committed state only.

The tasks' caches hold effects that no commit has taken, and that a failed one takes back: nobody else may see those. So
what is read here is the store, through caches of its own that are made for one read. A read of several rows may meet a
commit that is being written; `stable` tells, by the tables' positions, and reads again.

An owner answers only while the group cannot have given its partition to another: a worker that was suspended past its
session does not know yet that it was replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from pelton.clock import Clock
from pelton.errors import UnavailableError
from pelton.runtime.partition import Partition
from pelton.runtime.spec import TableSpec
from pelton.runtime.standby import Standbys
from pelton.state.cache import TableCache
from pelton.state.contract import Store
from pelton.state.versions import VersionCache

__all__ = ["Holding", "Holdings", "Role"]

T = TypeVar("T")

#: owner: it has the partition. standby: it keeps a copy, which may be behind. replica: of a global table.
Role = Literal["owner", "standby", "replica"]

#: How often a read is tried that commits get in the way of; each tries to write within a few milliseconds.
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Holding:
    """A table's partition as this worker has it.

    behind: records of the changelog that a standby had not applied, heard_s ago; 0 of an owner.
    """

    number: int
    role: Role
    table: TableSpec
    store: Store
    behind: int = 0
    heard_s: float = 0.0

    def cache(self) -> TableCache:
        """Return what the store holds now, as tasks would see it; for one read."""
        spec = self.table
        cache = TableCache(spec.name, self.store, window_size_ms=spec.window_size_ms, retention_ms=spec.retention_ms)
        if spec.history is not None:
            cache.versions = VersionCache(spec.versions().name, self.store, spec.history, cache)
        return cache

    def stable(self, read: Callable[[TableCache], T]) -> T:
        """Return what a read makes of one state of the store. Raises: UnavailableError when it never stands still."""
        for _ in range(_ATTEMPTS):
            before = self._positions()
            found = read(self.cache())
            if self._positions() == before:
                return found
        raise UnavailableError(f'table "{self.table.name}" changed whenever it was read', partition=self.number)

    def _positions(self) -> tuple[int | None, ...]:
        spec = self.table
        names = [spec.name] if spec.history is None else [spec.name, spec.versions().name]
        return tuple(self.store.position(name) for name in names)


class Holdings:
    """All of them.

    replicated: the store of the global tables. sure_until_s: the moment, by `Clock.monotonic`, until which nobody else
    has what is this worker's.
    """

    def __init__(
        self,
        partitions: Mapping[int, Partition],
        standbys: Standbys,
        replicated: Callable[[], Store | None],
        sure_until_s: Callable[[], float],
        clock: Clock,
    ) -> None:
        self._partitions = partitions
        self._standbys = standbys
        self._replicated = replicated
        self._sure_until_s = sure_until_s
        self._clock = clock

    def owned(self, number: int, table: TableSpec) -> Holding | str:
        """Return a partition that is this worker's, or why it is not."""
        if table.replicated:
            store = self._replicated()
            return "the worker starts" if store is None else Holding(number, "replica", table, store)
        partition = self._partitions.get(number)
        if partition is None:
            return "the partition is on its way from one worker to another"
        if partition.state == "restoring":
            return f"the partition is being restored, {partition.restored} of {partition.restore_total} records"
        if partition.state != "running":
            return "the partition is leaving its worker"
        if self._clock.monotonic() >= self._sure_until_s():
            return "its worker has not heard from the group for its session timeout"
        return Holding(number, "owner", table, partition.store)

    def standby(self, number: int, table: TableSpec) -> Holding | str:
        """Return a copy of a partition that is another worker's, or why there is none."""
        warm = self._standbys.warm(number)
        if warm is None:
            return "no copy is kept here"
        heard_s = max(0.0, self._clock.monotonic() - warm.heard_at_s)
        return Holding(number, "standby", table, warm.store, warm.lag[table.name], heard_s)
