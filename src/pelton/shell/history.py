"""The past of a table as a program reads it: `table.at(when)` looks like a dict, `table.versions(key)` is a list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from pelton.aggregate import field_getter
from pelton.errors import ConfigurationError
from pelton.state.versions import BEFORE_HISTORY, History, StoredVersion
from pelton.stream.lane import CURRENT_LANE
from pelton.stream.versioned import VersionedSlot
from pelton.window import declared_ms

if TYPE_CHECKING:
    from pelton.shell.table import Table

__all__ = ["TableAt", "Version", "history_of", "past", "versions_of"]

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Version(Generic[V]):
    """What a key held for a while.

    value: None where the key was deleted; see `deleted`.
    since_ms: the time from which on it held, in milliseconds since the epoch; None when it is older than the history.
    until_ms: the time from which on the next one held; None for what the key holds now.
    """

    value: V | None
    since_ms: int | None
    until_ms: int | None
    deleted: bool = False

    @property
    def since(self) -> datetime | None:
        """The time from which on it held, in UTC; None when it is older than the history."""
        return None if self.since_ms is None else datetime.fromtimestamp(self.since_ms / 1000, UTC)

    @property
    def until(self) -> datetime | None:
        """The time from which on the next one held, in UTC; None for what the key holds now."""
        return None if self.until_ms is None else datetime.fromtimestamp(self.until_ms / 1000, UTC)


class Past(Protocol):
    """One partition of a table with history, as it was."""

    def at(self, key: bytes, when_ms: int) -> bytes | None:
        """Return what a key held at a time."""
        ...

    def of(self, key: bytes) -> list[StoredVersion]:
        """Return the versions of a key, oldest first."""
        ...

    def items(self, when_ms: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) of all that held anything at a time, in order."""
        ...


class TableAt(Generic[K, V]):
    """A table as it was at a time; `table.at(when)`. It can only be read."""

    def __init__(self, table: Table[K, V], when_ms: int) -> None:
        self.table = table
        self.when_ms = when_ms

    def __getitem__(self, key: K) -> V:
        table = self.table
        data = past(table, key).at(table.encode_key(key), self.when_ms)
        return table.missing(key) if data is None else cast(V, table.decode(data))

    def __contains__(self, key: object) -> bool:
        return past(self.table, key).at(self.table.encode_key(key), self.when_ms) is not None

    def get(self, key: K, default: Any = None) -> V | Any:
        """Return the value that a key had, or a default when it had none."""
        data = past(self.table, key).at(self.table.encode_key(key), self.when_ms)
        return default if data is None else self.table.decode(data)

    def items(self) -> Iterator[tuple[K, V]]:
        """Yield (key, value) in the order of the keys' bytes, partition by partition."""
        table, when_ms = self.table, self.when_ms
        for partition in _partitions(table):
            for key, data in partition.items(when_ms):
                yield cast(K, table.decode_key(key)), cast(V, table.decode(data))

    def keys(self) -> Iterator[K]:
        """Yield the keys."""
        return (key for key, _ in self.items())

    def values(self) -> Iterator[V]:
        """Yield the values."""
        return (value for _, value in self.items())

    def __iter__(self) -> Iterator[K]:
        return self.keys()

    def __len__(self) -> int:
        return sum(1 for _ in self.items())

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<TableAt: {self.table.name} at {self.when_ms} ms>"


def history_of(table: str, kept: float | timedelta | None, time: Any, replicated: bool) -> History | None:
    """Return how long a table's past is kept, as `app.Table` was told. Raises: ConfigurationError."""
    if kept is None:
        if time is not None:
            raise ConfigurationError(
                f'table "{table}": time= says when its versions begin, and it has none', hint="give it history= too"
            )
        return None
    if replicated:
        raise ConfigurationError(
            f'table "{table}" is global: every worker would write its versions',
            hint="leave history= out, or use app.Table: each partition has one writer then",
        )
    if declared_ms(kept) < 1:
        raise ConfigurationError(
            f'table "{table}": expected history= longer than a millisecond, got {kept!r}',
            hint="write history=timedelta(days=7)",
        )
    return History(declared_ms(kept), None if time is None else field_getter(time))


def past(table: Table[Any, Any], key: Any) -> Past:
    """Return where the past of a key is read: the event's partition, or outside of agents the key's own."""
    _check(table)
    lane = CURRENT_LANE.get()
    return _as_past(table.slot(lane) if lane is not None else table.home(key))


def versions_of(table: Table[K, V], key: K) -> Iterable[Version[V]]:
    """Yield the versions of a key that held at any time within the history, oldest first."""
    for one in past(table, key).of(table.encode_key(key)):
        value = None if one.value is None else cast(V, table.decode(one.value))
        since_ms = None if one.since_ms == BEFORE_HISTORY else one.since_ms
        yield Version(value, since_ms, one.until_ms, one.value is None)


def _partitions(table: Table[Any, Any]) -> list[Past]:
    _check(table)
    lane = CURRENT_LANE.get()
    if lane is not None:
        return [_as_past(table.slot(lane))]
    return [_as_past(cache) for cache in table.homes()]


def _as_past(home: Any) -> Past:
    return home if isinstance(home, VersionedSlot) else cast(Past, home.versions)


def _check(table: Table[Any, Any]) -> None:
    if table.history is None:
        raise ConfigurationError(
            f'table "{table.name}" has no history', hint="declare it with app.Table(..., history=timedelta(days=7))"
        )
