"""Reading event-sourced entities: the state of one now, at a version or at a time, and its events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from pelton.codec import Codec
from pelton.errors import ConfigurationError
from pelton.state.events import EntityStore, Rows
from pelton.stream.lane import CURRENT_LANE
from pelton.window import as_ms

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["EntityReading", "Loaded", "RecordedEvent"]

K = TypeVar("K")
S = TypeVar("S")


@dataclass(slots=True)
class Loaded(Generic[S]):
    """An entity's state at a version."""

    version: int
    state: S


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as it was recorded.

    version: that of its entity with it. timestamp_ms: when it happened, in milliseconds since the epoch: the time of
    its command, but not before the event before it. command_id: None when the command had none.
    """

    version: int
    timestamp_ms: int
    event: Any
    command_id: str | None

    @property
    def time(self) -> datetime:
        """When it happened, in UTC."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)


@dataclass(frozen=True, slots=True)
class _Handle:
    """One of the tables, as the application finds its partitions."""

    name: str
    changelog_topic_name: str
    replicated: bool = False


class EntityReading(Generic[K, S]):
    """What can be asked of entities: in agents those of the event's partition, elsewhere those that this worker has."""

    app: App
    name: str
    initial: Callable[[], S]
    snapshot_every: int
    state_version: int
    key_codec: Codec[Any]
    state_codec: Codec[Any]

    @property
    def event_codec(self) -> Codec[Any]:
        """The codec of the events, in all shapes."""
        raise NotImplementedError

    def applied(self, state: S, event: Any) -> S:
        """Return a state with an event."""
        raise NotImplementedError

    @property
    def events_table(self) -> str:
        """The name of the table of events."""
        return f"{self.name}-events"

    @property
    def entities_table(self) -> str:
        """The name of the table of where entities stand, snapshots and commands."""
        return f"{self.name}-entities"

    def version(self, key: K) -> int:
        """Return the number of an entity's events; 0 when it has none. Raises: UnavailableError if it is not here."""
        data = self.key_codec.encode(key)
        return self._store(data).head(data).version

    def state(self, key: K, *, version: int | None = None, at: float | datetime | None = None) -> S | None:
        """Return an entity's state: now, at a version, or at a time (seconds since the epoch, or a datetime).

        Returns: a state of your own, worked out from the nearest snapshot and the events behind it; None where the
            entity had no events by then.
        Raises: UnavailableError where it is not on this worker; ConfigurationError for a version and a time at once.
        """
        if version is not None and at is not None:
            raise ConfigurationError(f"{self!r}: the state at a version, or at a time: got both", hint="leave one out")
        data = self.key_codec.encode(key)
        store = self._store(data)
        wanted = store.head(data).version
        if at is not None:
            wanted = store.version_at(data, as_ms(at))
        elif version is not None:
            wanted = max(0, min(wanted, version))
        return self.load(store, data, wanted).state if wanted else None

    def recorded(self, key: K, *, after: int = 0) -> list[RecordedEvent]:
        """Return an entity's events, those with versions greater than `after`, in order."""
        data = self.key_codec.encode(key)
        store = self._store(data)
        rows = ((version, store.event(data, version)) for version in range(after + 1, store.head(data).version + 1))
        return [
            RecordedEvent(
                version,
                row.time_ms,
                self.event_codec.decode(row.data),
                None if row.command_id is None else row.command_id.decode(errors="replace"),
            )
            for version, row in rows
        ]

    def keys(self) -> Iterator[K]:
        """Yield the keys of all entities, partition by partition."""
        for store in self._stores():
            for key in store.keys():  # noqa: SIM118 - it is no mapping
                yield cast(K, self.key_codec.decode(key))

    def __contains__(self, key: object) -> bool:
        return self.version(cast(K, key)) > 0

    def __getitem__(self, key: K) -> S:
        state = self.state(key)
        if state is None:
            raise KeyError(key)
        return state

    def load(self, store: EntityStore, key: bytes, version: int) -> Loaded[S]:
        """Work out an entity's state at a version that it has, or had."""
        loaded = self._nearest(store, key, version)
        decode = self.event_codec.decode
        for number in range(loaded.version + 1, version + 1):
            loaded.state = self.applied(loaded.state, decode(store.event(key, number).data))
        loaded.version = version
        return loaded

    def _nearest(self, store: EntityStore, key: bytes, version: int) -> Loaded[S]:
        """Return the nearest snapshot that today's program can read, or the beginning."""
        for snapshot in store.snapshots(key, version, self.snapshot_every):
            if snapshot.state_version != self.state_version:
                continue
            try:
                return Loaded(snapshot.version, self.state_codec.decode(snapshot.data))
            except self.state_codec.errors:
                continue  # the state has another shape now; the events tell what it is
        return Loaded(0, self.initial())

    def _store(self, key: bytes) -> EntityStore:
        lane = CURRENT_LANE.get()
        if lane is None:
            return self._of([self.app.table_cache(one, key) for one in self._handles()])
        try:
            return self._of([lane.tables[one.name] for one in self._handles()])
        except KeyError:
            raise ConfigurationError(
                f"{self!r} has no partition {lane.partition}, which agent {lane.agent} is at",
                hint="the entity and the topics of the agents that read it need the same number of partitions",
            ) from None

    def _stores(self) -> list[EntityStore]:
        if CURRENT_LANE.get() is not None:
            return [self._store(b"")]
        pairs = zip(*(self.app.table_caches(one) for one in self._handles()), strict=True)
        return [self._of(pair) for pair in pairs]

    def _of(self, tables: Any) -> EntityStore:
        events, entities = cast("tuple[Rows, Rows]", tuple(tables))
        return EntityStore(events, entities)

    def _handles(self) -> tuple[_Handle, _Handle]:
        prefix = f"{self.app.conf.id}-{self.name}"
        return (
            _Handle(self.events_table, f"{prefix}-events"),
            _Handle(self.entities_table, f"{prefix}-entities-changelog"),
        )
