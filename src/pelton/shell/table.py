"""Tables as a program uses them: they look like dicts.

Within an agent a table is the partition that the event belongs to; what is written is an effect of the event.
Elsewhere (web pages, timers) it can be read, for all partitions that this worker has. Every read decodes the value
anew: it is yours to change, and changes nothing until it is assigned back.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from pelton.codec import codec_for, default_serializer
from pelton.codec.contract import Codec
from pelton.errors import ConfigurationError
from pelton.log.contract import TopicSpec
from pelton.log.partitioner import partition_for
from pelton.runtime.spec import TableSpec
from pelton.state.cache import TableCache
from pelton.stream.event import Event
from pelton.stream.lane import CURRENT_LANE, Lane, TableSlot
from pelton.stream.stream import seconds
from pelton.window import HoppingWindow, TumblingWindow, window_key_prefix, window_start_of

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["SetTable", "Table", "TableSet", "WindowSet", "WindowedTable"]

K = TypeVar("K")
V = TypeVar("V")
E = TypeVar("E")

#: What tells a window's time from an event's value, in seconds or as a datetime.
TimeOf = Callable[[Any], float | datetime]
#: Prefixes of window keys kept at hand; beyond it they are computed again.
_PREFIXES_MAX = 4_096


class Table(Generic[K, V]):
    """A keyed table, kept in this worker's stores and in its changelog.

    default: makes the value of a key that is missing; reading it does not write it. Without one, a missing key is a
    KeyError.
    key_type, value_type: what the codecs read and write; with no value_type, the type that `default` makes, where it is
        a class.
    partitions: how many; those of the topics of its agents when None.
    replicated: every worker holds all of it (a global table).
    """

    def __init__(
        self,
        app: App,
        name: str,
        *,
        default: Callable[[], V] | None = None,
        key_type: type[K] | None = None,
        value_type: Any = None,
        key_serializer: str | None = None,
        value_serializer: str | None = None,
        partitions: int | None = None,
        help: str | None = None,
        replicated: bool = False,
    ) -> None:
        self.app = app
        self.name = name
        self.default = default
        self.key_type = key_type
        self.value_type = value_type if value_type is not None else _type_made_by(default)
        self.partitions = partitions
        self.help = help or ""
        self.replicated = replicated
        self._key_serializer = key_serializer
        self._value_serializer = value_serializer
        self._codecs: tuple[Codec[Any], Codec[Any]] | None = None

    # -- as the engine sees it ---------------------------------------------------------------------

    @property
    def changelog_topic_name(self) -> str:
        """The name of its changelog topic."""
        return f"{self.app.conf.id}-{self.name}-changelog"

    def spec(self) -> TableSpec:
        """Return the table as the runtime knows it."""
        changelog = TopicSpec(self.changelog_topic_name, self.partitions, cleanup_policy="compact")
        return TableSpec(self.name, changelog, replicated=self.replicated)

    def codecs(self) -> tuple[Codec[Any], Codec[Any]]:
        """Return the codecs of its keys and values."""
        if self._codecs is None:
            untyped = "json" if self.key_type is None else None
            key = self._key_serializer or default_serializer(self.key_type, role="key", configured=untyped)
            value = self._value_serializer or default_serializer(self.value_type, role="value")
            self._codecs = codec_for(self.key_type, key), codec_for(self.value_type, value)
            self._encode_key, self._decode_key = self._codecs[0].encode, self._codecs[0].decode
            self._encode, self._decode = self._codecs[1].encode, self._codecs[1].decode
        return self._codecs

    def __getattr__(self, name: str) -> Any:
        """Make the codecs when one of their functions is asked for the first time."""
        if name in ("_encode_key", "_decode_key", "_encode", "_decode"):
            self.codecs()
            return self.__dict__[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def encode_key(self, key: Any) -> bytes:
        """Return a key as the changelog and the store have it."""
        if type(key) is str and self.key_type is str:
            return key.encode()
        return self._encode_key(key)

    def _writing_slot(self) -> TableSlot:
        lane = CURRENT_LANE.get()
        if lane is None:
            raise ConfigurationError(
                f'table "{self.name}" can only be changed within an agent',
                hint="send an event to an agent that changes it; everything else may read",
            )
        return self._slot(lane)

    def _slot(self, lane: Lane) -> TableSlot:
        try:
            return lane.tables[self.name]
        except KeyError:
            raise ConfigurationError(
                f'table "{self.name}" has no partition {lane.partition}, which agent {lane.agent} is at',
                hint="the table and the topics of its agents need the same number of partitions",
            ) from None

    def _home(self, key: Any) -> TableSlot | TableCache:
        """Return where a key is read: the event's partition, or outside of agents the key's own."""
        lane = CURRENT_LANE.get()
        return self._slot(lane) if lane is not None else self.app.table_cache(self, self.route_key(key))

    def partition_of(self, key: Any) -> int:
        """Return the partition number that holds a key."""
        return partition_for(self.route_key(key), self.app.table_partitions(self))

    def route_key(self, key: Any) -> bytes:
        """Return the bytes by which records with this key are partitioned: the key itself where it is text."""
        if isinstance(key, str):
            return key.encode()
        return key if isinstance(key, bytes) else self.encode_key(key)

    def _scan(self, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        lane = CURRENT_LANE.get()
        if lane is not None:
            yield from self._slot(lane).scan(start, end)
            return
        for cache in self.app.table_caches(self):
            yield from cache.scan(start, end)

    def _missing(self, key: Any) -> V:
        if self.default is None:
            raise KeyError(key)
        return self.default()

    # -- as a dict ---------------------------------------------------------------------------------

    def __getitem__(self, key: K) -> V:
        data = self._home(key).get(self.encode_key(key))
        return self._missing(key) if data is None else cast(V, self._decode(data))

    def __setitem__(self, key: K, value: V) -> None:
        self._writing_slot().put(self.encode_key(key), self._encode(value))

    def __delitem__(self, key: K) -> None:
        slot = self._writing_slot()
        data = self.encode_key(key)
        if slot.get(data) is None:
            raise KeyError(key)
        slot.put(data, None)

    def __contains__(self, key: object) -> bool:
        return self._home(key).get(self.encode_key(key)) is not None

    def get(self, key: K, default: Any = None) -> V | Any:
        """Return the value of a key, or a default when there is none."""
        data = self._home(key).get(self.encode_key(key))
        return default if data is None else self._decode(data)

    def setdefault(self, key: K, default: V) -> V:
        """Return the value of a key; write the default first when there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: K, *default: Any) -> V | Any:
        """Delete a key and return its value, or the default when it is missing."""
        if key not in self:
            if default:
                return default[0]
            raise KeyError(key)
        value = self[key]
        del self[key]
        return value

    def update(self, *items: Any, **more: V) -> None:
        """Write several keys."""
        for key, value in dict(*items, **more).items():
            self[key] = value

    def clear(self) -> None:
        """Delete all keys of the event's partition."""
        slot = self._writing_slot()
        for key in [key for key, _ in slot.scan()]:
            slot.put(key, None)

    def items(self) -> Iterator[tuple[K, V]]:
        """Yield (key, value) in the order of the keys' bytes, partition by partition."""
        for key, value in self._scan():
            yield cast(K, self._decode_key(key)), cast(V, self._decode(value))

    def keys(self) -> Iterator[K]:
        """Yield the keys."""
        for key, _ in self._scan():
            yield cast(K, self._decode_key(key))

    def values(self) -> Iterator[V]:
        """Yield the values."""
        for _, value in self._scan():
            yield cast(V, self._decode(value))

    def __iter__(self) -> Iterator[K]:
        return self.keys()

    def __len__(self) -> int:
        return sum(1 for _ in self._scan())

    def __bool__(self) -> bool:
        return True

    def as_ansitable(self, title: str = "", **_: Any) -> str:
        """Return the table as text, a line a key."""
        return "\n".join([title or self.name, *(f"{key}\t{value!r}" for key, value in self.items())])

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name}>"

    # -- windows -----------------------------------------------------------------------------------

    def tumbling(
        self, size: float | timedelta, expires: float | timedelta | None = None, key_index: bool = False
    ) -> WindowedTable[K, V]:
        """Return the table with windows of one size, side by side.

        size: seconds or a timedelta. expires: how long a window is kept after its end, in event time; for ever when
        None.
        """
        return self.using_window(TumblingWindow(_ms(size)), expires)

    def hopping(
        self,
        size: float | timedelta,
        step: float | timedelta,
        expires: float | timedelta | None = None,
        key_index: bool = False,
    ) -> WindowedTable[K, V]:
        """Return the table with windows of one size that begin every step, so that they overlap."""
        return self.using_window(HoppingWindow(_ms(size), _ms(step)), expires)

    def using_window(
        self, window: TumblingWindow | HoppingWindow, expires: float | timedelta | None = None
    ) -> WindowedTable[K, V]:
        """Return the table with a window."""
        windowed = WindowedTable(self, window, expires)
        self.app.tables[self.name] = cast(Any, windowed)
        return windowed


class WindowedTable(Generic[K, V]):
    """A table with one value for each key and window.

    `table[key]` is a `WindowSet`, which reads the window of the event's time; assigning to `table[key]` writes all
    windows that the event's time lies in. The event's time is the log's timestamp, unless one of the relative_to
    methods says otherwise.
    """

    def __init__(
        self,
        table: Table[K, V],
        window: TumblingWindow | HoppingWindow,
        expires: float | timedelta | None,
        time_of: TimeOf | None = None,
        relative_to_now: bool = False,
    ) -> None:
        self.table = table
        self.app = table.app
        self.name = table.name
        self.help = table.help
        self.window = window
        self.expires = expires
        self.size_ms = window.size_ms
        self.step_ms = window.step_ms if isinstance(window, HoppingWindow) else window.size_ms
        self._time_of = time_of
        self._relative_to_now = relative_to_now
        self._prefixes: dict[int, bytes] = {}

    def spec(self) -> TableSpec:
        """Return the table as the runtime knows it."""
        spec = self.table.spec()
        retention = None if self.expires is None else _ms(self.expires)
        return TableSpec(spec.name, spec.changelog, self.size_ms, retention, spec.replicated)

    # -- time --------------------------------------------------------------------------------------

    def relative_to_field(self, field: Any) -> WindowedTable[K, V]:
        """Take the time from a field of the event's value: seconds since the epoch, or a datetime.

        field: the model's field (`Transaction.ts`), or its name.
        """
        return self._with(_time_getter(field))

    def relative_to_stream(self) -> WindowedTable[K, V]:
        """Take the time from the log's timestamp of the event (that is the default)."""
        return self._with(None)

    def relative_to_now(self) -> WindowedTable[K, V]:
        """Take the time from the wall clock: results then depend on when they are computed."""
        return self._with(None, relative_to_now=True)

    def relative_to(self, time: float | datetime | Callable[[Any], Any] | Any) -> WindowedTable[K, V]:
        """Take the time from a field, a function of the event's value, or one fixed time."""
        if isinstance(time, float | int | datetime):
            return self._with(lambda _: time)
        return self._with(time) if callable(time) and hasattr(time, "__code__") else self.relative_to_field(time)

    def _with(self, time_of: TimeOf | None, relative_to_now: bool = False) -> WindowedTable[K, V]:
        clone = WindowedTable(self.table, self.window, self.expires, time_of, relative_to_now)
        self.app.tables[self.name] = cast(Any, clone)
        return clone

    def event_ms(self, event: Event[Any] | None = None) -> int:
        """Return the time that chooses the window, in milliseconds since the epoch."""
        lane = CURRENT_LANE.get()
        if self._relative_to_now or (lane is None and event is None):
            return self.app.clock.time_ms()
        if event is not None:
            return event.message.timestamp_ms if self._time_of is None else _as_ms(self._time_of(event.value))
        assert lane is not None
        return lane.timestamp_ms if self._time_of is None else _as_ms(self._time_of(lane.value))

    # -- keys --------------------------------------------------------------------------------------

    def latest_start(self, time_ms: int) -> int:
        """Return the start of the latest window that holds a time."""
        return time_ms - time_ms % self.step_ms

    def starts(self, time_ms: int) -> range:
        """Return the starts of all windows that hold a time, earliest first."""
        latest = self.latest_start(time_ms)
        earliest = latest - ((self.size_ms - 1 - (time_ms - latest)) // self.step_ms) * self.step_ms
        return range(earliest, latest + 1, self.step_ms)

    def store_key(self, start_ms: int, key: Any) -> bytes:
        """Return the key under which a window is stored: its start, then the key."""
        prefix = self._prefixes.get(start_ms)
        if prefix is None:
            if len(self._prefixes) >= _PREFIXES_MAX:
                self._prefixes.clear()
            prefix = self._prefixes[start_ms] = window_key_prefix(start_ms)
        return prefix + self.table.encode_key(key)

    def read(self, key: Any, start_ms: int) -> V:
        """Return the value of a key in the window that begins at a time."""
        table = self.table
        data = table._home(key).get(self.store_key(start_ms, key))
        return table._missing(key) if data is None else cast(V, table._decode(data))

    def windows(self, key: Any) -> Iterator[tuple[int, V]]:
        """Yield (start in milliseconds, value) of each window of a key that is held, earliest first."""
        home = self.table._home(key)
        behind = b""
        while (entry := next(home.scan(behind), None)) is not None:
            start_ms = window_start_of(entry[0])
            data = home.get(self.store_key(start_ms, key))
            if data is not None:
                yield start_ms, cast(V, self.table._decode(data))
            behind = window_key_prefix(start_ms + 1)

    # -- as a dict ---------------------------------------------------------------------------------

    def __getitem__(self, key: K) -> WindowSet[K, V]:
        return WindowSet(self, key)

    def __setitem__(self, key: K, value: V | WindowSet[K, V]) -> None:
        if type(value) is WindowSet:
            return  # `table[key] += 1` has written its windows already
        table = self.table
        slot = table._writing_slot()
        time_ms = self.event_ms()
        data = table._encode(value)
        if self.step_ms == self.size_ms:
            slot.put(self.store_key(time_ms - time_ms % self.size_ms, key), data)
            return
        for start in self.starts(time_ms):
            slot.put(self.store_key(start, key), data)

    def __delitem__(self, key: K) -> None:
        slot = self.table._writing_slot()
        for start in self.starts(self.event_ms()):
            slot.put(self.store_key(start, key), None)

    def __contains__(self, key: object) -> bool:
        store_key = self.store_key(self.latest_start(self.event_ms()), key)
        return self.table._home(key).get(store_key) is not None

    def items(self, event: Event[Any] | None = None) -> Iterator[tuple[K, V]]:
        """Yield (key, value) of all keys in the window of the event's time."""
        start = self.latest_start(self.event_ms(event))
        prefix, end = window_key_prefix(start), window_key_prefix(start + 1)
        for key, value in self.table._scan(prefix, end):
            yield cast(K, self.table._decode_key(key[len(prefix) :])), cast(V, self.table._decode(value))

    def keys(self, event: Event[Any] | None = None) -> Iterator[K]:
        """Yield all keys in the window of the event's time."""
        return (key for key, _ in self.items(event))

    def values(self, event: Event[Any] | None = None) -> Iterator[V]:
        """Yield all values in the window of the event's time."""
        return (value for _, value in self.items(event))

    def __iter__(self) -> Iterator[K]:
        return self.keys()

    def __len__(self) -> int:
        return sum(1 for _ in self.table._scan())

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<WindowedTable: {self.name} {self.window}>"


class WindowSet(Generic[K, V]):
    """The windows of one key."""

    __slots__ = ("key", "table")

    def __init__(self, table: WindowedTable[K, V], key: K) -> None:
        self.table = table
        self.key = key

    def current(self, event: Event[Any] | None = None) -> V:
        """Return the value in the latest window that holds the event's time."""
        table = self.table
        time_ms = table.event_ms(event)
        return table.read(self.key, time_ms - time_ms % table.step_ms)

    def value(self, event: Event[Any] | None = None) -> V:
        """Return the same as `current`: the window is chosen as the table says."""
        return self.current(event)

    def now(self) -> V:
        """Return the value in the window of the wall clock."""
        table = self.table
        return table.read(self.key, table.latest_start(table.app.clock.time_ms()))

    def delta(self, ago: float | timedelta, event: Event[Any] | None = None) -> V:
        """Return the value in the window of an earlier time: seconds, or a timedelta, before the event's."""
        table = self.table
        return table.read(self.key, table.latest_start(table.event_ms(event) - _ms(ago)))

    def windows(self) -> Iterator[tuple[int, V]]:
        """Yield (start in milliseconds, value) of each window that is held, earliest first."""
        return self.table.windows(self.key)

    def apply(self, operation: Callable[[V, Any], V], operand: Any, event: Event[Any] | None = None) -> WindowSet[K, V]:
        """Replace the value of each window that holds the event's time by operation(value, operand)."""
        table = self.table
        inner = table.table
        slot = inner._writing_slot()
        for start in table.starts(table.event_ms(event)):
            key = table.store_key(start, self.key)
            data = slot.get(key)
            value = inner._missing(self.key) if data is None else inner._decode(data)
            slot.put(key, inner._encode(operation(value, operand)))
        return self

    def __iadd__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(operator.add, other)

    def __isub__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(operator.sub, other)

    def __imul__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(operator.mul, other)

    def __itruediv__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(operator.truediv, other)

    def __ifloordiv__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(operator.floordiv, other)

    def __imod__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(operator.mod, other)

    def __ipow__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(operator.pow, other)

    def __ilshift__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(operator.lshift, other)

    def __irshift__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(operator.rshift, other)

    def __iand__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(operator.and_, other)

    def __ixor__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(operator.xor, other)

    def __ior__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(operator.or_, other)

    def __repr__(self) -> str:
        return f"<WindowSet: {self.table.name}[{self.key!r}]>"


class TableSet(set[E], Generic[E]):
    """A set in a `SetTable`: what changes it writes the whole set back."""

    def __init__(self, elements: Iterable[E], save: Callable[[set[E]], None]) -> None:
        super().__init__(elements)
        self._save = save


def _saving(name: str) -> Callable[..., Any]:
    original = getattr(set, name)

    def method(self: Any, *args: Any) -> Any:
        result = original(self, *args)
        self._save(self)
        return result

    method.__name__, method.__doc__ = name, original.__doc__
    return method


for _name in (
    *("add", "discard", "remove", "pop", "clear", "update", "difference_update", "intersection_update"),
    *("symmetric_difference_update", "__ior__", "__iand__", "__isub__", "__ixor__"),
):
    setattr(TableSet, _name, _saving(_name))


class SetTable(Table[K, Any], Generic[K, E]):
    """A table of sets; `table[key].add(element)` is all there is to it."""

    def __init__(self, app: App, name: str, *, value_type: type[E] | None = None, **options: Any) -> None:
        element: Any = Any if value_type is None else value_type
        super().__init__(app, name, default=list, value_type=list[element], **options)

    def __getitem__(self, key: K) -> TableSet[E]:
        return TableSet(super().__getitem__(key), lambda elements: self._store(key, elements))

    def __setitem__(self, key: K, value: Iterable[E]) -> None:
        if not isinstance(value, TableSet):  # `table[key] |= other` has been saved already
            self._store(key, set(value))

    def _store(self, key: K, elements: set[E]) -> None:
        if elements:
            super().__setitem__(key, sorted(elements, key=repr))
        elif key in self:
            del self[key]


def _ms(duration: float | timedelta) -> int:
    return round(seconds(duration) * 1000)


def _as_ms(time: float | datetime) -> int:
    if type(time) is float:
        return round(time * 1000)
    if isinstance(time, datetime):
        return round(time.timestamp() * 1000)
    if isinstance(time, str):
        return round(datetime.fromisoformat(time).timestamp() * 1000)
    return round(time * 1000)


def _time_getter(field: Any) -> TimeOf:
    """Return what reads a field: given by name, as a member of a class with slots, or as a model's field."""
    name = field if isinstance(field, str) else getattr(field, "field", None) or getattr(field, "__name__", None)
    if not isinstance(name, str):
        raise ConfigurationError(
            f"relative_to_field: expected a model's field, got {field!r}",
            hint='write relative_to_field(Transaction.ts), or relative_to_field("ts")',
        )
    by_attribute, by_key = operator.attrgetter(name), operator.itemgetter(name)

    def time_of(value: Any) -> float | datetime:
        found: float | datetime = by_key(value) if isinstance(value, dict) else by_attribute(value)
        return found

    return time_of if isinstance(field, str) else by_attribute


def _type_made_by(default: Callable[[], Any] | None) -> Any:
    """Return the type of a table's values where `default` is a class: a model, or one of Python's own."""
    if not isinstance(default, type):
        return None
    return None if default in (dict, list, set) else default
