"""Tables as a program uses them: they look like dicts.

Within an agent a table is the partition that the event belongs to; what is written is an effect of the event.
Elsewhere (web pages, timers) it can be read, for all partitions that this worker has. Every read decodes the value
anew: it is yours to change, and changes nothing until it is assigned back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from pelton.codec import default_serializer
from pelton.codec.contract import Codec
from pelton.errors import ConfigurationError, UserCodeError
from pelton.log.contract import TopicSpec
from pelton.log.partitioner import partition_for
from pelton.runtime.spec import TableSpec
from pelton.shell.arguments import check_count
from pelton.shell.history import TableAt, Version, history_of, versions_of
from pelton.shell.joined import JoinedTables
from pelton.shell.models import record_serializer, shell_codec
from pelton.shell.windowed import AnyWindow, WindowedTable, fixed_window
from pelton.state.cache import TableCache
from pelton.stream.lane import CURRENT_LANE, Lane, TableSlot
from pelton.stream.refused import Refused
from pelton.window import HoppingWindow, TumblingWindow, as_ms, declared_ms

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["Table"]

K = TypeVar("K")
V = TypeVar("V")
W = TypeVar("W")

#: What comes back from JSON as what it was.
_JSON_TYPES = (dict, list, str, int, float, bool)


class Table(Generic[K, V]):
    """A keyed table, kept in this worker's stores and in its changelog.

    default: makes the value of a key that is missing; reading it does not write it. Without one, a missing key is a
    KeyError.
    key_type, value_type: what the codecs read and write; with no value_type, the class that `default` is, where JSON
        needs to know it (models, sets, Decimal).
    partitions: how many; those of the topics of its agents when None.
    replicated: every worker holds all of it (a global table).
    on_recover, recover_callbacks: awaited when the worker's partitions have been restored at its start.
    extra_topic_configs: of the changelog's topic.
    history: how long its past can be read, in seconds of event time or a timedelta; not at all when None.
    time: where an event's time is, for its history: a field, or a function of the value; that of its topic when None.
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
        on_recover: Callable[[], Awaitable[None]] | None = None,
        recover_callbacks: Iterable[Callable[[], Awaitable[None]]] = (),
        extra_topic_configs: Mapping[str, Any] | None = None,
        history: float | timedelta | None = None,
        time: Any = None,
    ) -> None:
        if default is not None and not callable(default):
            raise ConfigurationError(
                f'table "{name}": default={default!r} is no function', hint="write default=int, or default=lambda: 5"
            )
        check_count(f'table "{name}": partitions', partitions)
        self.app = app
        self.name = name
        self.default = default
        self.key_type = key_type
        self.value_type = value_type if value_type is not None else _type_made_by(default)
        self.partitions = partitions
        self.help = help or ""
        self.replicated = replicated
        self.history = history_of(name, history, time, replicated)
        self._recover_callbacks = [*([on_recover] if on_recover else []), *recover_callbacks]
        self._topic_config = {name: str(value) for name, value in (extra_topic_configs or {}).items()}
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
        changelog = TopicSpec(
            self.changelog_topic_name, self.partitions, cleanup_policy="compact", config=self._topic_config
        )
        return TableSpec(self.name, changelog, replicated=self.replicated, history=self.history)

    def codecs(self) -> tuple[Codec[Any], Codec[Any]]:
        """Return the codecs of its keys and values."""
        if self._codecs is None:
            untyped = "json" if self.key_type is None else None
            key = (
                self._key_serializer
                or record_serializer(self.key_type)
                or default_serializer(self.key_type, role="key", configured=untyped)
            )
            value = (
                self._value_serializer
                or record_serializer(self.value_type)
                or default_serializer(self.value_type, role="value")
            )
            self._codecs = shell_codec(self.key_type, key), shell_codec(self.value_type, value)
            self.text_keys = self.key_type is str and key == "raw"
            self._encode_key, self.decode_key = self._codecs[0].encode, self._codecs[0].decode
            self.encode, self.decode = self._codecs[1].encode, self._codecs[1].decode
            self.expected = self.value_type if isinstance(self.value_type, type) else None
        return self._codecs

    def __getattr__(self, name: str) -> Any:
        """Make the codecs when one of their functions is asked for the first time."""
        if name in ("_encode_key", "decode_key", "encode", "decode", "expected", "text_keys"):
            self.codecs()
            return self.__dict__[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def encode_key(self, key: Any) -> bytes:
        """Return a key as the changelog and the store have it."""
        if type(key) is str and self.text_keys:
            return key.encode()
        return self._encode_key(key)

    def check(self, value: Any) -> None:
        """Make sure that a value of another class than the table's can be read back. Raises: UserCodeError."""
        codec = self.codecs()[1]
        try:
            codec.decode(codec.encode(value))
        except codec.errors as error:
            name = getattr(self.value_type, "__name__", self.value_type)
            raise UserCodeError(
                f'table "{self.name}": expected {name}, got {type(value).__name__}, which cannot be read as one',
                hint=f"write {name}(...), or declare the table with another value_type",
            ) from error

    def writing_slot(self) -> TableSlot:
        """Return the event's partition, to write to. Raises: ConfigurationError outside of agents."""
        lane = CURRENT_LANE.get()
        if lane is None:
            raise ConfigurationError(
                f'table "{self.name}" can only be changed within an agent',
                hint="send an event to an agent that changes it; everything else may read",
            )
        return self.slot(lane)

    def slot(self, lane: Lane) -> TableSlot:
        """Return the partition that a lane is at. Raises: ConfigurationError when the table has none such."""
        try:
            return lane.tables[self.name]
        except KeyError:
            raise ConfigurationError(
                f'table "{self.name}" has no partition {lane.partition}, which agent {lane.agent} is at',
                hint="the table and the topics of its agents need the same number of partitions",
            ) from None

    def home(self, key: Any) -> TableSlot | TableCache:
        """Return where a key is read: the event's partition, or outside of agents the key's own."""
        lane = CURRENT_LANE.get()
        return self.slot(lane) if lane is not None else self.app.table_cache(self, self.route_key(key))

    def partition_of(self, key: Any) -> int:
        """Return the partition number that holds a key."""
        return partition_for(self.route_key(key), self.app.table_partitions(self))

    def route_key(self, key: Any) -> bytes:
        """Return the bytes by which records with this key are partitioned: the key itself where it is text."""
        if isinstance(key, str):
            return key.encode()
        return key if isinstance(key, bytes) else self.encode_key(key)

    def scan(self, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) as bytes: of the event's partition, or outside of agents of all that this worker has."""
        lane = CURRENT_LANE.get()
        if lane is not None:
            yield from self.slot(lane).scan(start, end)
            return
        for cache in self.homes():
            yield from cache.scan(start, end)

    def homes(self) -> list[TableCache]:
        """Return all partitions that this worker has."""
        return self.app.table_caches(self)

    def missing(self, key: Any) -> V:
        """Return the default of a key that has no value. Raises: KeyError when there is no default."""
        if self.default is None:
            raise KeyError(key)
        return self.default()

    # -- as Faust's commands and callbacks see it --------------------------------------------------

    def on_recover(self, callback: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Await this when the worker's partitions have been restored at its start."""
        self._recover_callbacks.append(callback)
        return callback

    async def recovered(self) -> None:
        """Tell those who wait for it that the table has been restored."""
        for callback in self._recover_callbacks:
            await callback()

    def reset_state(self) -> None:
        """Delete the local state, of the other tables too: they share their files."""
        self.app.reset_state()

    @property
    def is_global(self) -> bool:
        """Whether every worker holds all of it."""
        return self.replicated

    def join(self, other: Table[K, W]) -> JoinedTables[K, tuple[V, W]]:
        """Return the changes of a join with another table, for an agent to read: keys that are in both.

        The agent gets (left, right) whenever either changes, and None, a tombstone, when a row is gone.
        Raises: ConfigurationError.
        """
        return JoinedTables(self, other, "inner")

    inner_join = join

    def left_join(self, other: Table[K, W]) -> JoinedTables[K, tuple[V, W | None]]:
        """Return the changes of a join that has all keys of this table; see `join`."""
        return JoinedTables(self, other, "left")

    def outer_join(self, other: Table[K, W]) -> JoinedTables[K, tuple[V | None, W | None]]:
        """Return the changes of a join that has the keys of both tables; see `join`."""
        return JoinedTables(self, other, "outer")

    combine = Refused("join the two tables: @app.agent(table.outer_join(other))")
    on_window_close = Refused("stream.window(...).agg(...).on_close() gives each window once, when it is closed")
    on_changelog_event = Refused("read the changelog's topic with an agent")
    changelog_topic = Refused("its name is table.changelog_topic_name; the engine writes it")
    data = Refused("the table itself is the mapping: table[key], table.items()")

    # -- as a dict ---------------------------------------------------------------------------------

    def __getitem__(self, key: K) -> V:
        data = self.home(key).get(self.encode_key(key))
        return self.missing(key) if data is None else cast(V, self.decode(data))

    def __setitem__(self, key: K, value: V) -> None:
        if self.expected is not None and type(value) is not self.expected:
            self.check(value)
        self.writing_slot().put(self.encode_key(key), self.encode(value))

    def __delitem__(self, key: K) -> None:
        slot = self.writing_slot()
        data = self.encode_key(key)
        if slot.get(data) is None:
            raise KeyError(key)
        slot.put(data, None)

    def __contains__(self, key: object) -> bool:
        return self.home(key).get(self.encode_key(key)) is not None

    def get(self, key: K, default: Any = None) -> V | Any:
        """Return the value of a key, or a default when there is none."""
        data = self.home(key).get(self.encode_key(key))
        return default if data is None else self.decode(data)

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

    def popitem(self) -> tuple[K, V]:
        """Delete a key and return it with its value: the first in the order of the keys' bytes.

        Raises: KeyError when the table is empty.
        """
        for key, value in self.items():
            del self[key]
            return key, value
        raise KeyError(f"table {self.name} is empty")

    def copy(self) -> dict[K, V]:
        """Return all keys and values as a dict of their own."""
        return dict(self.items())

    def update(self, *items: Any, **more: V) -> None:
        """Write several keys."""
        new: dict[Any, V] = dict(*items, **more)
        for key, value in new.items():
            self[key] = value

    def clear(self) -> None:
        """Delete all keys of the event's partition."""
        slot = self.writing_slot()
        for key in [key for key, _ in slot.scan()]:
            slot.put(key, None)

    def items(self) -> Iterator[tuple[K, V]]:
        """Yield (key, value) in the order of the keys' bytes, partition by partition."""
        for key, value in self.scan():
            yield cast(K, self.decode_key(key)), cast(V, self.decode(value))

    def keys(self) -> Iterator[K]:
        """Yield the keys."""
        for key, _ in self.scan():
            yield cast(K, self.decode_key(key))

    def values(self) -> Iterator[V]:
        """Yield the values."""
        for _, value in self.scan():
            yield cast(V, self.decode(value))

    def __iter__(self) -> Iterator[K]:
        return self.keys()

    def __len__(self) -> int:
        return sum(1 for _ in self.scan())

    def __bool__(self) -> bool:
        return True

    def as_ansitable(self, title: str = "", **_: Any) -> str:
        """Return the table as text, a line a key."""
        return "\n".join([title or self.name, *(f"{key}\t{value!r}" for key, value in self.items())])

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name}>"

    # -- the past ----------------------------------------------------------------------------------

    def at(self, when: float | datetime) -> TableAt[K, V]:
        """Return the table as it was at a time; it reads like the table itself, for as long back as `history=` says.

        when: seconds since the epoch, or a datetime.
        Reading raises: ConfigurationError without `history=`, HistoryExpiredError for what lies further back.
        """
        return TableAt(self, as_ms(when))

    def versions(self, key: K) -> list[Version[V]]:
        """Return what a key held within the history, oldest first: one version for each event that wrote it.

        Raises: ConfigurationError without `history=`.
        """
        return list(versions_of(self, key))

    # -- windows -----------------------------------------------------------------------------------

    def tumbling(
        self, size: float | timedelta, expires: float | timedelta | None = None, key_index: bool = False
    ) -> WindowedTable[K, V]:
        """Return the table with windows of one size, side by side.

        size: seconds or a timedelta. expires: how long a window is kept after its end, in event time; for ever when
        None.
        """
        return self.using_window(TumblingWindow(declared_ms(size)), expires)

    def hopping(
        self,
        size: float | timedelta,
        step: float | timedelta,
        expires: float | timedelta | None = None,
        key_index: bool = False,
    ) -> WindowedTable[K, V]:
        """Return the table with windows of one size that begin every step, so that they overlap."""
        return self.using_window(HoppingWindow(declared_ms(size), declared_ms(step)), expires)

    def using_window(self, window: AnyWindow, expires: float | timedelta | None = None) -> WindowedTable[K, V]:
        """Return the table with a window, pelton's own or Faust's. Raises: ConfigurationError for a sliding one."""
        if self.history is not None:
            raise ConfigurationError(
                f'table "{self.name}" has windows and history=',
                hint="the windows are its history: keep them longer with expires=",
            )
        windowed = WindowedTable(self, *fixed_window(window, expires))
        self.app.tables[self.name] = cast(Any, windowed)
        return windowed


def _type_made_by(default: Callable[[], Any] | None) -> Any:
    """Return the type of a table's values where `default` is a class that JSON alone would not bring back.

    `default=int` is where counting begins, not what the table may hold: 0.5 the next moment, as with Faust.
    """
    return default if isinstance(default, type) and default not in _JSON_TYPES else None
