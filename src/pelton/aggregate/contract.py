"""What an aggregate is: a state that takes in one value after the other, and the result that it stands for.

States are what can be kept in tables as it is (`pelton.aggregate.states`): numbers, Decimals, text, bytes, dates and
times, UUIDs, and lists, tuples and dicts of them. The same values in the same order give the same state, whatever the
batches (invariant I9), so nothing here may draw random numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as attribute
from operator import attrgetter, itemgetter
from typing import Any, Protocol, TypeVar, cast

import polars as pl

from pelton.aggregate.states import as_kept
from pelton.errors import ConfigurationError

__all__ = ["Aggregate", "Field", "OfField", "column_of", "field_getter", "kept_getter"]

R_co = TypeVar("R_co", covariant=True)

#: A field of the values: as a member of their class (`Transaction.amount`), by name, or a function of the value.
Field = Any


class Aggregate(Protocol[R_co]):
    """One value out of many. Implementations are frozen, and hold no state of their own."""

    def initial(self) -> Any:
        """Return the state of no values at all."""
        ...

    def add(self, state: Any, value: Any) -> Any:
        """Return the state with one more value; the state that was given may be changed for it."""
        ...

    def merge(self, earlier: Any, later: Any) -> Any:
        """Return the state of the values of both; used where two sessions become one."""
        ...

    def result(self, state: Any) -> R_co:
        """Return what a state stands for."""
        ...

    def expression(self) -> pl.Expr:
        """Return the same over the rows of a frame, for polars to work out.

        Raises: ConfigurationError when the field is a function, which polars cannot look into.
        """
        ...


@dataclass(frozen=True)
class OfField:
    """An aggregate of one field of the values. Raises: ConfigurationError when it is no field.

    None is no value, as in SQL: all but `First` and `Last` pass over it.
    """

    field: Field
    read: Callable[[Any], Any] = attribute(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "read", kept_getter(self.field))


def field_getter(field: Field) -> Callable[[Any], Any]:
    """Return what reads a field of a value, whether that is an object or a dict."""
    if callable(field) and hasattr(field, "__code__"):
        return cast(Callable[[Any], Any], field)
    name = _name_of(field)
    by_attribute, by_key = attrgetter(name), itemgetter(name)

    def get(value: Any) -> Any:
        return (by_key if isinstance(value, dict) else by_attribute)(value)  # pyright: ignore[reportUnknownArgumentType]

    return get


def kept_getter(field: Field) -> Callable[[Any], Any]:
    """Return what reads a field of a value, as a state may hold it."""
    get = field_getter(field)
    return lambda value: as_kept(get(value))


def column_of(field: Field) -> pl.Expr:
    """Return the column of a frame that holds a field. Raises: ConfigurationError for a function."""
    if callable(field) and hasattr(field, "__code__"):
        raise ConfigurationError(
            "an aggregate of a function of the value cannot be worked out over a frame",
            hint="name a field, as in Sum(Transaction.amount), or add a column to the frame first",
        )
    return pl.col(_name_of(field))


def _name_of(field: Field) -> str:
    name = field if isinstance(field, str) else getattr(field, "field", None) or getattr(field, "__name__", None)
    if not isinstance(name, str):
        raise ConfigurationError(
            f"expected a field of the values, got {field!r}",
            hint='write Transaction.amount, "amount", or a function of the value',
        )
    return name
