"""The workers' disk, through the state contract: stores whose last writes a power cut may take back.

A store is its journal: the atomic steps that were written to it, of which a first part is synced. A process that dies
loses nothing of it, for the system still has it; a power cut loses a tail of what is not synced. No step is ever half
there, which is what RocksDB's write-ahead log promises. A death may leave a store that cannot be read at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Protocol

from pelton.errors import InternalError, StateCorruptedError, UnavailableError
from pelton.state.contract import Store, TableSize, TableWrites
from pelton.state.memory import MemoryStore, MemoryStores
from pelton.testing.simulation.chance import Chance
from pelton.testing.simulation.loop import Killed, Process, current_process
from pelton.testing.simulation.weather import Weather

__all__ = ["Disk", "SimulatedStore", "StoreAuditor"]

#: How often the system syncs after a write.
_SYNCED = 0.2


class StoreAuditor(Protocol):
    """Who judges what is in a store."""

    def stored(self, number: int, store: Store, tables: Iterable[str]) -> None:
        """Judge these tables of a store, just written or just opened. Raises: Violation."""
        ...


@dataclass(slots=True)
class _Place:
    """One directory of a store.

    journal: its atomic steps; a table's name stands for the wiping of it. tables: those it was ever opened with.
    """

    journal: list[Mapping[str, TableWrites] | str] = field(default_factory=list["Mapping[str, TableWrites] | str"])
    tables: set[str] = field(default_factory=set[str])
    synced: int = 0
    rotten: bool = False
    holder: Process | None = None


class SimulatedStore:
    """Partition n of every table; made by `Disk.open`. Between opening and closing it is a `MemoryStore`."""

    def __init__(self, disk: Disk, number: int, place: _Place, tables: Iterable[str]) -> None:
        self._disk = disk
        self._number = number
        self._place = place
        self._contents: MemoryStore = MemoryStores().open(Path(), 0, tables)
        for step in place.journal:
            if isinstance(step, str):
                self._contents.wipe(step)
            else:
                self._contents.write(step)
        self._closed = False

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        return self._contents.get(table, key)

    def get_many(self, table: str, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """Return the values of many keys, in order."""
        return self._contents.get_many(table, keys)

    def scan(self, table: str, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) for start <= key < end in order, from one snapshot."""
        return self._contents.scan(table, start, end)

    def last_key(self, table: str) -> bytes | None:
        """Return the greatest key of a table, or None."""
        return self._contents.last_key(table)

    def size(self, table: str) -> TableSize:
        """Return how much a table holds."""
        return self._contents.size(table)

    def position(self, table: str) -> int | None:
        """Return the changelog offset that the table stands at, or None."""
        return self._contents.position(table)

    def write(self, writes: Mapping[str, TableWrites]) -> None:
        """Apply the writes in one atomic step; the process may die before it or behind it."""
        self._disk.before_write(self._number)
        self._place.journal.append(writes)
        self._contents.write(writes)
        self._disk.written(self._number, self, writes)
        self._disk.after_write(self._place)

    def wipe(self, table: str) -> None:
        """Delete a table's values and its position."""
        self._place.journal.append(table)
        self._contents.wipe(table)

    def tables(self) -> frozenset[str]:
        """Return the names of the tables that the store holds."""
        return self._contents.tables()

    def close(self) -> None:
        """Sync, and let go of the lock. Idempotent."""
        if not self._closed:
            self._closed = True
            self._contents.close()
            self._place.holder = None
            self._place.synced = len(self._place.journal)

    def statistics(self) -> object:
        """Return the statistics of what it holds."""
        return self._contents.statistics()


class Disk:
    """Every worker's disk. die: ends the process that runs now."""

    def __init__(
        self, chance: Chance, weather: Weather, note: Callable[[Process, str], None], die: Callable[[Process], None]
    ) -> None:
        self.auditor: StoreAuditor | None = None
        self._chance = chance
        self._weather = weather
        self._note = note
        self._die = die
        self._places: dict[tuple[Path, int, int], _Place] = {}

    # -- the factory -----------------------------------------------------------------------------------------------

    def open(self, directory: Path, partition: int, tables: Iterable[str]) -> SimulatedStore:
        """Open the first copy of a partition number's store that no process holds. Raises: StateCorruptedError."""
        for copy in count():
            place = self._places.setdefault((directory, partition, copy), _Place())
            if place.holder is not None:
                continue
            if place.rotten:
                raise StateCorruptedError(f"{directory}/{partition}.{copy} cannot be read")
            names = list(tables)
            place.tables.update(names)
            store = SimulatedStore(self, partition, place, names)
            place.holder = current_process()
            self._note(place.holder, f"open store {directory}/{partition}.{copy}, {len(place.journal)} steps")
            if self.auditor is not None:
                self.auditor.stored(partition, store, names)
            return store
        raise InternalError("unreachable")

    def discard(self, directory: Path, partition: int) -> None:
        """Delete every copy that no process holds."""
        for where, place in list(self._places.items()):
            if where[:2] == (directory, partition) and place.holder is None:
                del self._places[where]

    def tidy(self, directory: Path) -> None:
        """Do nothing: a run is shorter than a day."""

    def held(self, directory: Path) -> frozenset[int]:
        """Return the partition numbers that have a store."""
        return frozenset(where[1] for where in self._places if where[0] == directory)

    # -- what goes wrong -------------------------------------------------------------------------------------------

    def before_write(self, number: int) -> None:
        """Let the process die, or the write fail. Raises: Killed, UnavailableError."""
        process = current_process()
        if self._chance.happens(self._weather.torn_writes):
            self._note(process, f"dies before it writes store {number}")
            self._die(process)
            raise Killed(process.name)
        if self._chance.happens(self._weather.disk_full):
            self._note(process, f"no space for store {number}")
            raise UnavailableError(f"store {number}: no space left on device")

    def written(self, number: int, store: SimulatedStore, writes: Mapping[str, TableWrites]) -> None:
        """Have a write audited."""
        told = ", ".join(f"{table}: {len(one.puts)} to {one.position}" for table, one in writes.items())
        self._note(current_process(), f"store {number}: {told}")
        if self.auditor is not None:
            self.auditor.stored(number, store, writes)

    def after_write(self, place: _Place) -> None:
        """Sync now and then; let the process die now and then. Raises: Killed."""
        if self._chance.happens(_SYNCED):
            place.synced = len(place.journal)
        if self._chance.happens(self._weather.torn_writes):
            process = current_process()
            self._note(process, "dies behind a write")
            self._die(process)
            raise Killed(process.name)

    def died(self, process: Process, *, power_cut: bool) -> None:
        """A process has died: its locks are free, and after a power cut some of what was not synced is gone."""
        for where, place in self._places.items():
            if place.holder is not process:
                continue
            place.holder = None
            if power_cut:
                lost = self._chance.between(0, len(place.journal) - place.synced)
                del place.journal[len(place.journal) - lost :]
                self._note(process, f"store {where[1]}.{where[2]} loses {lost} steps")
            place.synced = min(place.synced, len(place.journal))
            if power_cut and self._chance.happens(self._weather.rot):
                place.rotten = self._chance.happens(0.5)
                if not place.rotten:
                    place.journal.clear()
                    place.synced = 0
                self._note(process, f"store {where[1]}.{where[2]} is {'rotten' if place.rotten else 'gone'}")

    def audit(self) -> None:
        """Have every store audited that can be read; nobody has one open any more."""
        for (_, number, _), place in self._places.items():
            if not place.rotten and self.auditor is not None:
                store = SimulatedStore(self, number, place, place.tables)
                self.auditor.stored(number, store, store.tables())
