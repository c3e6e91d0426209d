"""Tables of sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from pelton.codec.contract import Codec
from pelton.shell.table import Table
from pelton.shell.windowed import OPERATIONS, AnyWindow, WindowedTable, WindowSet, fixed_window
from pelton.stream.event import Event

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["SetTable", "SetWindowSet", "TableSet", "WindowedSetTable"]

K = TypeVar("K")
E = TypeVar("E")


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
        super().__init__(app, name, default=set, value_type=list[element], **options)

    def codecs(self) -> tuple[Codec[Any], Codec[Any]]:
        """Return the codecs of its keys and of its sets, which are stored as lists in order."""
        if self._codecs is None:
            keys, lists = super().codecs()
            self._codecs = keys, replace(lists, encode=_writer(lists), decode=_reader(lists))
            self.encode, self.decode = self._codecs[1].encode, self._codecs[1].decode
        return self._codecs

    def __getitem__(self, key: K) -> TableSet[E]:
        return TableSet(super().__getitem__(key), lambda elements: self._store(key, elements))

    def __setitem__(self, key: K, value: Iterable[E]) -> None:
        if not isinstance(value, TableSet):  # `table[key] |= other` has been saved already
            self._store(key, set(value))

    def _store(self, key: K, elements: set[E]) -> None:
        if elements:
            super().__setitem__(key, elements)
        elif key in self:
            del self[key]

    def using_window(self, window: AnyWindow, expires: float | timedelta | None = None) -> WindowedSetTable[K, E]:
        """Return the table with a window: a set for each key and window."""
        windowed = WindowedSetTable(self, *fixed_window(window, expires))
        self.app.tables[self.name] = cast(Any, windowed)
        return windowed


def _writer(lists: Codec[Any]) -> Callable[[Iterable[Any]], bytes]:
    def write(elements: Iterable[Any]) -> bytes:
        return lists.encode(sorted(elements, key=repr))  # equal sets are equal bytes

    return write


def _reader(lists: Codec[Any]) -> Callable[[bytes], set[Any]]:
    def read(data: bytes) -> set[Any]:
        return set(lists.decode(data))

    return read


class WindowedSetTable(WindowedTable[K, "set[E]"], Generic[K, E]):
    """A table with a set for each key and window; `table[key].add(element)` changes all windows of the event's time."""

    def __getitem__(self, key: K) -> SetWindowSet[K, E]:
        return SetWindowSet(self, key)


class SetWindowSet(WindowSet[K, "set[E]"], Generic[K, E]):
    """The windows of one key: changes go to each window that holds the event's time, reading is as in `WindowSet`."""

    def add(self, element: E, *, event: Event[Any] | None = None) -> None:
        """Add an element, in each window."""
        self.apply(OPERATIONS["or_"], {element}, event)

    def discard(self, element: E, *, event: Event[Any] | None = None) -> None:
        """Remove an element where it is."""
        self.apply(OPERATIONS["sub"], {element}, event)

    def update(self, *others: Iterable[E]) -> None:
        """Add the elements of all others, in each window."""
        self.apply(OPERATIONS["or_"], set().union(*others))

    def difference_update(self, *others: Iterable[E]) -> None:
        """Remove the elements of all others."""
        self.apply(OPERATIONS["sub"], set().union(*others))

    def intersection_update(self, *others: Iterable[E]) -> None:
        """Keep what is in all others too."""
        self.apply(lambda elements, all_others: elements.intersection(*all_others), [set(other) for other in others])

    def symmetric_difference_update(self, other: Iterable[E]) -> None:
        """Keep what is in one of the two only."""
        self.apply(OPERATIONS["xor"], set(other))

    def clear(self) -> None:
        """Remove all elements, in each window."""
        self.apply(OPERATIONS["and_"], set())
