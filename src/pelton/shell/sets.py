"""Tables of sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pelton.shell.table import Table

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["SetTable", "TableSet"]

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
