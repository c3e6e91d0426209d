"""The events of entities: rows of a store, and records of a log, which is the truth.

An entity's events are numbered from 1 on: the entity's version is the number of its last event. Two tables hold what is
known of all entities of a kind in one partition:

    events      key version      when it happened, the id of its command, the event
    entities    H key            the entity's version, the time of its last event, the version of its last snapshot
                S key version    the version of the snapshot before it, what kind of state it is, the state
                C key id         what came of a command: the versions of its events

The changelog of the first *is* the log of events, as programs read it (`EventFormat`): keys are those of the entities,
times those of the events. So an event is written once, in the transaction of its command, and the store is restored
from what everybody sees. Every row is found by its key alone, and by halving for a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from struct import Struct
from typing import NamedTuple, Protocol

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.errors import StateCorruptedError
from pelton.state.contract import TableWrites

__all__ = [
    "COMMAND_ID",
    "VERSION",
    "EntityHead",
    "EntityStore",
    "EntityWriter",
    "EventFormat",
    "EventRow",
    "Rows",
    "Snapshot",
]

#: The headers of an event: the entity's version with it, and the id of its command when that had one.
VERSION = "pelton-version"
COMMAND_ID = "pelton-command-id"

_HEAD = Struct(">QqQ")
_NUMBER = Struct(">Q")
_EVENT = Struct(">qH")
_SNAPSHOT = Struct(">QI")
_RANGE = Struct(">QQ")
_LENGTH = Struct(">I")


class EntityHead(NamedTuple):
    """Where an entity stands; snapshot is 0 while it has none."""

    version: int
    time_ms: int
    snapshot: int


class EventRow(NamedTuple):
    """An event as it is kept. command_id: None when its command had none."""

    time_ms: int
    command_id: bytes | None
    data: bytes


class Snapshot(NamedTuple):
    """An entity's state at a version. state_version: what kind of state it is, as the program counts them."""

    version: int
    state_version: int
    data: bytes


class Rows(Protocol):
    """A table of one partition: that of a lane, whose event reads its own writes, or a cache."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value under a key, or None."""
        ...

    def scan(self, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) for start <= key < end in order."""
        ...


class WritableRows(Rows, Protocol):
    """A table of a lane."""

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write a value as an effect of the lane's event."""
        ...


class EntityStore:
    """All entities of a kind in one partition, read."""

    def __init__(self, events: Rows, entities: Rows) -> None:
        self._events = events
        self._entities = entities

    def head(self, key: bytes) -> EntityHead:
        """Return where an entity stands; version 0 when it has no events."""
        data = self._entities.get(b"H" + key)
        return EntityHead(0, -(1 << 63), 0) if data is None else EntityHead(*_HEAD.unpack(data))

    def keys(self) -> Iterator[bytes]:
        """Yield the keys of all entities, in order."""
        return (row[1:] for row, _ in self._entities.scan(b"H", b"I"))

    def event(self, key: bytes, version: int) -> EventRow:
        """Return the event that brought an entity to a version."""
        data = self._events.get(key + _NUMBER.pack(version))
        if data is None:
            raise StateCorruptedError(
                f"event {version} of entity {key!r} is missing in the store",
                hint="the store is a cache: it is wiped and restored from the log of events",
            )
        return _unpacked(data)

    def version_at(self, key: bytes, when_ms: int) -> int:
        """Return the version that an entity had at a time; 0 before its first event."""
        low, high = 0, self.head(key).version + 1  # version `low` is there by then, `high` is not
        while high - low > 1:
            middle = (low + high) // 2
            if self.event(key, middle).time_ms <= when_ms:
                low = middle
            else:
                high = middle
        return low

    def snapshots(self, key: bytes, version: int, every: int) -> Iterator[Snapshot]:
        """Yield the snapshots of an entity that are not later than a version, the nearest first.

        every: after how many events one is made now; it may have been another number before.
        """
        at = version - version % every
        if at == 0 or self._entities.get(_snapshot_key(key, at)) is None:
            at = self.head(key).snapshot
        while at > 0:
            data = self._entities.get(_snapshot_key(key, at))
            if data is None:
                return
            before, state_version = _SNAPSHOT.unpack_from(data)
            if at <= version:
                yield Snapshot(at, state_version, data[_SNAPSHOT.size :])
            at = before

    def command(self, key: bytes, command_id: bytes) -> tuple[int, int] | None:
        """Return the versions of the first and the last event of a command that was accepted; None when none was.

        The first is greater than the last for a command that led to no events.
        """
        data = self._entities.get(_command_key(key, command_id))
        if data is None:
            return None
        first, last = _RANGE.unpack(data)
        return first, last


class EntityWriter(EntityStore):
    """All entities of a kind in one partition, as the lane that handles their commands sees them."""

    def __init__(self, events: WritableRows, entities: WritableRows) -> None:
        super().__init__(events, entities)
        self._put_event = events.put
        self._put = entities.put

    def append(self, key: bytes, version: int, event: EventRow) -> None:
        """Write the event that brings an entity to a version."""
        command_id = event.command_id
        length = 0 if command_id is None else len(command_id) + 1
        self._put_event(
            key + _NUMBER.pack(version), _EVENT.pack(event.time_ms, length) + (command_id or b"") + event.data
        )

    def snapshot(self, key: bytes, before: int, snapshot: Snapshot) -> None:
        """Write an entity's state. before: the version of the snapshot before it."""
        head = _SNAPSHOT.pack(before, snapshot.state_version)
        self._put(_snapshot_key(key, snapshot.version), head + snapshot.data)

    def stand(self, key: bytes, head: EntityHead) -> None:
        """Write where an entity stands."""
        self._put(b"H" + key, _HEAD.pack(*head))

    def accept(self, key: bytes, command_id: bytes, first: int, last: int) -> None:
        """Write what came of a command."""
        self._put(_command_key(key, command_id), _RANGE.pack(first, last))


class EventFormat:
    """The log of events: a record an event, under the entity's key, at the event's time."""

    def records(self, target: TopicPartition, writes: Mapping[bytes, bytes | None], now_ms: int) -> OutgoingBatch:
        """Return the events of a commit as records."""
        batch = OutgoingBatch(target.topic, target.partition)
        for row, data in writes.items():
            if data is None:
                continue
            event = _unpacked(data)
            headers: tuple[tuple[str, bytes | None], ...] = ((VERSION, b"%d" % _NUMBER.unpack(row[-8:])[0]),)
            if event.command_id is not None:
                headers += ((COMMAND_ID, event.command_id),)
            batch.append(row[:-8], event.data, event.time_ms, headers)
        return batch

    def writes(self, batch: RecordBatch) -> TableWrites:
        """Return the rows of events; records that are none, because others wrote them, are left out."""
        puts: list[tuple[bytes, bytes | None]] = []
        for row, (key, data) in enumerate(zip(batch.keys, batch.values, strict=True)):
            headers = dict(batch.headers[row]) if batch.headers is not None else {}
            version = headers.get(VERSION)
            if key is None or data is None or version is None:
                continue
            command_id = headers.get(COMMAND_ID)
            length = 0 if command_id is None else len(command_id) + 1
            packed = _EVENT.pack(batch.timestamps_ms[row], length) + (command_id or b"") + data
            puts.append((key + _NUMBER.pack(int(version)), packed))
        return TableWrites(puts=puts, position=batch.next_offset)


def _unpacked(data: bytes) -> EventRow:
    time_ms, length = _EVENT.unpack_from(data)
    start = _EVENT.size + max(0, length - 1)
    return EventRow(time_ms, data[_EVENT.size : start] if length else None, data[start:])


def _snapshot_key(key: bytes, version: int) -> bytes:
    return b"S" + key + _NUMBER.pack(version)


def _command_key(key: bytes, command_id: bytes) -> bytes:
    return b"C" + _LENGTH.pack(len(key)) + key + command_id
