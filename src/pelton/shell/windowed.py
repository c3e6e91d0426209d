"""Windowed tables: a value for each key and window of event time.

A window is stored under its start followed by the key, so that windows expire as one range. This module does
arithmetic and lookups; when a window is gone is decided by `pelton.state.cache`.
"""

from __future__ import annotations

import operator
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta
from heapq import merge as merge_sorted
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec
from faust.windows import HoppingWindow as FaustHoppingWindow
from faust.windows import Window as FaustWindow

from pelton.errors import ConfigurationError
from pelton.runtime.spec import TableSpec
from pelton.state.cache import TableCache
from pelton.stream.event import Event
from pelton.stream.lane import CURRENT_LANE, ENTRY_BYTES, Lane, TableSlot
from pelton.stream.refused import Refused
from pelton.window import (
    HoppingWindow,
    TumblingWindow,
    as_ms,
    milliseconds,
    window_key_prefix,
    window_key_suffix,
    window_start_of,
)

if TYPE_CHECKING:
    from pelton.shell.table import Table

__all__ = ["OPERATIONS", "AnyWindow", "WindowSet", "WindowedTable", "fixed_window"]

K = TypeVar("K")
V = TypeVar("V")

#: A window of pelton's, or one that was made for Faust.
AnyWindow = TumblingWindow | HoppingWindow | FaustWindow

#: What tells a window's time from an event's value, in seconds or as a datetime.
TimeOf = Callable[[Any], Any]
#: What `table[key] += operand` applies to each window's value.
Operation = Callable[[Any, Any], Any]

OPERATIONS: dict[str, Operation] = {
    name: getattr(operator, name)
    for name in ("add", "and_", "floordiv", "lshift", "mod", "mul", "or_", "pow", "rshift", "sub", "truediv", "xor")
}


class WindowedTable(Generic[K, V]):
    """A table with one value for each key and window.

    `table[key]` is a `WindowSet`, which reads the window of the event's time; assigning to `table[key]` writes all
    windows that the event's time lies in. The event's time is as its topic says, unless one of the relative_to
    methods says otherwise.
    """

    def __init__(
        self,
        table: Table[K, V],
        window: TumblingWindow | HoppingWindow,
        expires: float | timedelta | None,
        time_of: TimeOf | None = None,
        wall_clock: bool = False,
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
        self.wall_clock = wall_clock
        self._one_window = self.step_ms == self.size_ms and not wall_clock

    def spec(self) -> TableSpec:
        """Return the table as the runtime knows it."""
        spec = self.table.spec()
        retention = None if self.expires is None else milliseconds(self.expires)
        return TableSpec(spec.name, spec.changelog, self.size_ms, retention, spec.replicated)

    # -- time --------------------------------------------------------------------------------------

    def relative_to_field(self, field: Any) -> WindowedTable[K, V]:
        """Take the time from a field of the event's value: seconds since the epoch, or a datetime.

        field: the model's field (`Transaction.ts`), or its name.
        """
        return self._with(_time_getter(field))

    def relative_to_stream(self) -> WindowedTable[K, V]:
        """Take the event's time as its topic says (that is the default)."""
        return self._with(None)

    def relative_to_now(self) -> WindowedTable[K, V]:
        """Take the time from the wall clock: results then depend on when they are computed."""
        return self._with(None, wall_clock=True)

    def relative_to(self, time: float | datetime | Callable[[Any], Any] | Any) -> WindowedTable[K, V]:
        """Take the time from a field, a function of the event's value, or one fixed time."""
        if isinstance(time, float | int | datetime):
            return self._with(lambda _: time)
        return self._with(time) if callable(time) and hasattr(time, "__code__") else self.relative_to_field(time)

    def _with(self, time_of: TimeOf | None, wall_clock: bool = False) -> WindowedTable[K, V]:
        clone = type(self)(self.table, self.window, self.expires, time_of, wall_clock)
        self.app.tables[self.name] = cast(Any, clone)
        return clone

    def event_ms(self, event: Event[Any] | None = None) -> int:
        """Return the time that chooses the window, in milliseconds since the epoch."""
        lane = CURRENT_LANE.get()
        if self.wall_clock or (lane is None and event is None):
            return self.app.clock.time_ms()
        if event is not None:
            return event.message.timestamp_ms if self._time_of is None else as_ms(self._time_of(event.value))
        assert lane is not None
        return lane.timestamp_ms if self._time_of is None else as_ms(self._time_of(lane.value))

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
        return window_key_prefix(start_ms) + self.table.encode_key(key)

    def locate(self, lane: Lane, slot: TableSlot, key: Any) -> bytes:
        """Return the store key of the latest window of the lane's event, and note for which key and value it is.

        An event reads a window and writes it back: the key is worked out once for both.
        """
        time_of = self._time_of
        if time_of is None:
            time_ms = lane.timestamp_ms
            slot.located_key = None  # the same value may come again at another time
        else:
            slot.located_key = key
            slot.located_value = value = lane.value
            time = time_of(value)
            same = type(time) is float and slot.window_from < time < slot.window_to  # most often so
            time_ms = slot.start_ms if same else as_ms(time)
        if time_ms != slot.start_ms:
            self._enter(slot, time_ms - time_ms % self.step_ms)
        table = self.table
        encoded = key.encode() if type(key) is str and table.text_keys else table.encode_key(key)
        slot.located = located = slot.prefix + encoded
        return located

    def _enter(self, slot: TableSlot, start_ms: int) -> None:
        """Note the window that a slot is at: its prefix, and the times, in seconds, that are safely within it."""
        slot.start_ms, slot.prefix = start_ms, window_key_prefix(start_ms)
        slot.window_from, slot.window_to = (start_ms + 1) / 1000, (start_ms + self.step_ms - 1) / 1000

    def read(self, key: Any, start_ms: int) -> V:
        """Return the value of a key in the window that begins at a time."""
        table = self.table
        data = table.home(key).get(self.store_key(start_ms, key))
        return table.missing(key) if data is None else cast(V, table.decode(data))

    def windows(self, key: Any, first_ms: int | None = None, behind_ms: int | None = None) -> Iterator[tuple[int, V]]:
        """Yield (start in milliseconds, value) of each window of a key that is held, earliest first.

        first_ms, behind_ms: of those that start in first_ms <= start < behind_ms; of all when None.
        """
        home = self.table.home(key)
        behind = b"" if first_ms is None else window_key_prefix(first_ms)
        last = None if behind_ms is None else window_key_prefix(behind_ms)
        while (entry := next(home.scan(behind, last), None)) is not None:
            start_ms = window_start_of(entry[0])
            data = home.get(self.store_key(start_ms, key))
            if data is not None:
                yield start_ms, cast(V, self.table.decode(data))
            behind = window_key_prefix(start_ms + 1)

    def between(self, start: Any = None, end: Any = None) -> Iterator[tuple[K, int, V]]:
        """Yield (key, start in milliseconds, value) of all windows that are held, from a time to another, in order.

        start, end: seconds since the epoch, datetimes or ISO 8601; a window is in the range when any moment of it is.
            From the first, or to the last, when None. Outside of agents: of all partitions that this worker has.
        """
        first = b"" if start is None else window_key_prefix(as_ms(start) - self.size_ms + 1)
        behind = None if end is None else window_key_prefix(as_ms(end))
        for stored, data in merge_sorted(*(place.scan(first, behind) for place in self._places()), key=_stored_key):
            if stored:
                key = cast(K, self.table.decode_key(window_key_suffix(stored)))
                yield key, window_start_of(stored), cast(V, self.table.decode(data))

    def _places(self) -> Sequence[TableSlot | TableCache]:
        lane = CURRENT_LANE.get()
        return [self.table.slot(lane)] if lane is not None else self.app.table_caches(self.table)

    # -- as a dict ---------------------------------------------------------------------------------

    def __getitem__(self, key: K) -> WindowSet[K, V]:
        return WindowSet(self, key)

    def __setitem__(self, key: K, value: V | WindowSet[K, V]) -> None:
        if type(value) is WindowSet:
            return  # `table[key] += 1` has written its windows already
        lane = CURRENT_LANE.get()
        slot = lane.tables.get(self.name) if lane is not None else None
        if lane is None or slot is None or not self._one_window:
            self._set_windows(key, cast(V, value))
            return
        # From here on it is `slot.put`, written out: a call less for each event.
        noted = slot.located_key is key and slot.located_value is lane.value
        located = slot.located if noted else self.locate(lane, slot, key)
        table = self.table
        if table.expected is not None and type(value) is not table.expected:
            table.check(value)
        data = table.encode(value)
        if slot.claims.only is not slot:
            slot.claim(located)
        overlay = slot.overlay
        if not overlay:
            lane.touched.append(slot)
            lane.dirty = True
        overlay[located] = data
        lane.written += ENTRY_BYTES + len(data)

    def _set_windows(self, key: K, value: V) -> None:
        table = self.table
        if table.expected is not None and type(value) is not table.expected:
            table.check(value)
        slot = table.writing_slot()
        data = table.encode(value)
        for start in self.starts(self.event_ms()):
            slot.put(self.store_key(start, key), data)

    def __delitem__(self, key: K) -> None:
        slot = self.table.writing_slot()
        for start in self.starts(self.event_ms()):
            slot.put(self.store_key(start, key), None)

    def __contains__(self, key: object) -> bool:
        store_key = self.store_key(self.latest_start(self.event_ms()), key)
        return self.table.home(key).get(store_key) is not None

    def items(self, event: Event[Any] | None = None) -> Iterator[tuple[K, V]]:
        """Yield (key, value) of all keys in the window of the event's time."""
        start = self.latest_start(self.event_ms(event))
        prefix, end = window_key_prefix(start), window_key_prefix(start + 1)
        for key, value in self.table.scan(prefix, end):
            yield cast(K, self.table.decode_key(key[len(prefix) :])), cast(V, self.table.decode(value))

    def keys(self, event: Event[Any] | None = None) -> Iterator[K]:
        """Yield all keys in the window of the event's time."""
        return (key for key, _ in self.items(event))

    def values(self, event: Event[Any] | None = None) -> Iterator[V]:
        """Yield all values in the window of the event's time."""
        return (value for _, value in self.items(event))

    def __iter__(self) -> Iterator[K]:
        return self.keys()

    def __len__(self) -> int:
        return sum(1 for _ in self.table.scan())

    def __bool__(self) -> bool:
        return True

    # -- as Faust's commands and callbacks see it --------------------------------------------------

    def as_ansitable(self, title: str = "", **_: Any) -> str:
        """Return the windows of the event's time as text, a line a key."""
        return "\n".join([title or self.name, *(f"{key}\t{value!r}" for key, value in self.items())])

    def on_recover(self, callback: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Await this when the worker's partitions have been restored at its start."""
        return self.table.on_recover(callback)

    async def recovered(self) -> None:
        """Tell those who wait for it that the table has been restored."""
        await self.table.recovered()

    def reset_state(self) -> None:
        """Delete the local state, of the other tables too: they share their files."""
        self.table.reset_state()

    get = setdefault = pop = popitem = update = clear = Refused("a key has several windows: read table[key].current()")
    on_window_close = Refused("stream.window(...).agg(...).on_close() gives each window once, when it is closed")
    key_index_table = Refused("keys(), items() and len() work without it; leave key_index out")

    def __repr__(self) -> str:
        return f"<WindowedTable: {self.name} {self.window}>"


class WindowSet(msgspec.Struct, Generic[K, V], eq=False):
    """The windows of one key of a table; a Struct, because one is made for each access, and those are made in C."""

    table: WindowedTable[K, V]
    key: K

    def current(self, event: Event[Any] | None = None) -> V:
        """Return the value in the latest window that holds the event's time."""
        windowed, key = self.table, self.key
        lane = CURRENT_LANE.get()
        slot = lane.tables.get(windowed.name) if lane is not None else None
        if lane is None or slot is None or event is not None or windowed.wall_clock:
            return windowed.read(key, windowed.latest_start(windowed.event_ms(event)))
        noted = slot.located_key is key and slot.located_value is lane.value
        data = slot.get(slot.located if noted else windowed.locate(lane, slot, key))
        table = windowed.table
        return table.missing(key) if data is None else cast(V, table.decode(data))

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
        return table.read(self.key, table.latest_start(table.event_ms(event) - milliseconds(ago)))

    def windows(self) -> Iterator[tuple[int, V]]:
        """Yield (start in milliseconds, value) of each window that is held, earliest first."""
        return self.table.windows(self.key)

    def between(self, start: Any = None, end: Any = None) -> Iterator[tuple[int, V]]:
        """Yield (start in milliseconds, value) of each window that is held, from a time to another, earliest first.

        start, end: seconds since the epoch, datetimes or ISO 8601; a window is in the range when any moment of it is.
        """
        table = self.table
        first_ms = None if start is None else as_ms(start) - table.size_ms + 1
        behind_ms = None if end is None else as_ms(end)
        return table.windows(self.key, first_ms, behind_ms)

    def apply(self, operation: Callable[[V, Any], V], operand: Any, event: Event[Any] | None = None) -> WindowSet[K, V]:
        """Replace the value of each window that holds the event's time by operation(value, operand)."""
        table = self.table
        inner = table.table
        slot = inner.writing_slot()
        for start in table.starts(table.event_ms(event)):
            key = table.store_key(start, self.key)
            data = slot.get(key)
            value = operation(inner.missing(self.key) if data is None else inner.decode(data), operand)
            if inner.expected is not None and type(value) is not inner.expected:
                inner.check(value)
            slot.put(key, inner.encode(value))
        return self

    def __iadd__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(OPERATIONS["add"], other)

    def __isub__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(OPERATIONS["sub"], other)

    def __imul__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(OPERATIONS["mul"], other)

    def __itruediv__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(OPERATIONS["truediv"], other)

    def __ifloordiv__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(OPERATIONS["floordiv"], other)

    def __imod__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(OPERATIONS["mod"], other)

    def __ipow__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(OPERATIONS["pow"], other)

    def __ilshift__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(OPERATIONS["lshift"], other)

    def __irshift__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(OPERATIONS["rshift"], other)

    def __iand__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(OPERATIONS["and_"], other)

    def __ixor__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(OPERATIONS["xor"], other)

    def __ior__(self, other: Any) -> WindowSet[K, V]:
        return self.apply(OPERATIONS["or_"], other)

    get = items = keys = values = pop = popitem = setdefault = update = clear = copy = fromkeys = Refused(
        "choose a window first, as in table[key].current(); table[key].windows() yields all"
    )

    def __repr__(self) -> str:
        return f"<WindowSet: {self.table.name}[{self.key!r}]>"


def fixed_window(
    window: AnyWindow, expires: float | timedelta | None
) -> tuple[TumblingWindow | HoppingWindow, float | timedelta | None]:
    """Return a window as the engine knows it, and how long it is kept; Faust's windows say that themselves.

    Raises: ConfigurationError for windows that a table cannot have.
    """
    if isinstance(window, TumblingWindow | HoppingWindow):
        return window, expires
    if not isinstance(window, FaustHoppingWindow):  # Faust's TumblingWindow is one too
        raise ConfigurationError(
            f"a table's windows are tumbling or hopping, got {window!r}", hint="stream.window(...) knows other kinds"
        )
    kept = expires if expires is not None else window.expires
    return HoppingWindow(milliseconds(window.size), milliseconds(window.step)), kept


def _stored_key(item: tuple[bytes, bytes]) -> bytes:
    return item[0]


def _time_getter(field: Any) -> TimeOf:
    """Return what reads a field: given by name, as a member of a class with slots, or as a model's field."""
    name = field if isinstance(field, str) else getattr(field, "field", None) or getattr(field, "__name__", None)
    if not isinstance(name, str):
        raise ConfigurationError(
            f"relative_to_field: expected a model's field, got {field!r}",
            hint='write relative_to_field(Transaction.ts), or relative_to_field("ts")',
        )
    by_attribute, by_key = operator.attrgetter(name), operator.itemgetter(name)

    def time_of(value: Any) -> Any:
        return (by_key if isinstance(value, dict) else by_attribute)(value)  # pyright: ignore[reportUnknownArgumentType]

    return time_of if isinstance(field, str) else by_attribute
