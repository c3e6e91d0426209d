"""Aggregates whose result is exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as attribute
from operator import itemgetter
from typing import Any, NamedTuple

import polars as pl

from pelton.aggregate.contract import Field, OfField, column_of, kept_getter
from pelton.errors import ConfigurationError

__all__ = ["Count", "Distinct", "First", "Last", "Max", "Mean", "Min", "Sum", "Top", "Variance"]


@dataclass(frozen=True, slots=True)
class Count:
    """How many values there were."""

    def initial(self) -> int:
        """Return 0."""
        return 0

    def add(self, state: int, value: Any) -> int:
        """Count one more."""
        return state + 1

    def merge(self, earlier: int, later: int) -> int:
        """Return both counts together."""
        return earlier + later

    def result(self, state: int) -> int:
        """Return the count."""
        return state

    def expression(self) -> pl.Expr:
        """Return the number of rows."""
        return pl.len()


@dataclass(frozen=True)
class Sum(OfField):
    """The sum of a field; 0 of no values. Floats are added in the order of the log."""

    def initial(self) -> Any:
        """Return 0."""
        return 0

    def add(self, state: Any, value: Any) -> Any:
        """Add the value's field."""
        found = self.read(value)
        return state if found is None else state + found

    def merge(self, earlier: Any, later: Any) -> Any:
        """Return both sums together."""
        return earlier + later

    def result(self, state: Any) -> Any:
        """Return the sum."""
        return state

    def expression(self) -> pl.Expr:
        """Return the sum of the column."""
        return column_of(self.field).sum()


@dataclass(frozen=True)
class _Kept(OfField):
    """One of the values itself: the state is None before the first, then [that one]."""

    def initial(self) -> None:
        """Return None."""

    def result(self, state: list[Any] | None) -> Any:
        """Return the value kept; None when there was none."""
        return state[0] if state else None


@dataclass(frozen=True)
class Min(_Kept):
    """The least of a field, of any type that has an order; None of no values. NaN is no value."""

    def add(self, state: list[Any] | None, value: Any) -> list[Any] | None:
        """Keep the lesser one."""
        found = self.read(value)
        if _is_no_value(found):
            return state
        return [found] if state is None or found < state[0] else state

    def merge(self, earlier: list[Any] | None, later: list[Any] | None) -> list[Any] | None:
        """Keep the lesser one."""
        return min((state for state in (earlier, later) if state), default=None)

    def expression(self) -> pl.Expr:
        """Return the least of the column."""
        return column_of(self.field).min()


@dataclass(frozen=True)
class Max(_Kept):
    """The greatest of a field, of any type that has an order; None of no values. NaN is no value."""

    def add(self, state: list[Any] | None, value: Any) -> list[Any] | None:
        """Keep the greater one."""
        found = self.read(value)
        if _is_no_value(found):
            return state
        return [found] if state is None or found > state[0] else state

    def merge(self, earlier: list[Any] | None, later: list[Any] | None) -> list[Any] | None:
        """Keep the greater one."""
        return max((state for state in (earlier, later) if state), default=None)

    def expression(self) -> pl.Expr:
        """Return the greatest of the column."""
        return column_of(self.field).max()


@dataclass(frozen=True)
class First(_Kept):
    """A field of the value that came first in the log."""

    def add(self, state: list[Any] | None, value: Any) -> list[Any]:
        """Keep the one there is."""
        return state or [self.read(value)]

    def merge(self, earlier: list[Any] | None, later: list[Any] | None) -> list[Any] | None:
        """Keep that of the earlier state."""
        return earlier or later

    def expression(self) -> pl.Expr:
        """Return the first of the column."""
        return column_of(self.field).first()


@dataclass(frozen=True)
class Last(_Kept):
    """A field of the value that came last in the log."""

    def add(self, state: list[Any] | None, value: Any) -> list[Any]:
        """Keep the new one."""
        return [self.read(value)]

    def merge(self, earlier: list[Any] | None, later: list[Any] | None) -> list[Any] | None:
        """Keep that of the later state."""
        return later or earlier

    def expression(self) -> pl.Expr:
        """Return the last of the column."""
        return column_of(self.field).last()


class _Moments(NamedTuple):
    """n values, their mean, and the sum of squared differences from it."""

    n: int
    mean: float
    m2: float


@dataclass(frozen=True)
class Variance(OfField):
    """The variance of a field: of the values themselves (ddof=0), or as an estimate from a sample (ddof=1).

    None of ddof values or fewer.
    Source: Welford 1962 for one value at a time; Chan, Golub, LeVeque 1979 for two states.
    """

    ddof: int = attribute(default=1, kw_only=True)

    def initial(self) -> list[float]:
        """Return the moments of nothing."""
        return [0, 0.0, 0.0]

    def add(self, state: list[Any], value: Any) -> list[Any]:
        """Take in one value."""
        found = self.read(value)
        if found is None:
            return state
        x = float(found)
        n, mean, m2 = _Moments(*state)
        n += 1
        delta = x - mean
        mean += delta / n
        return [n, mean, m2 + delta * (x - mean)]

    def merge(self, earlier: list[Any], later: list[Any]) -> list[Any]:
        """Return the moments of both."""
        a, b = _Moments(*earlier), _Moments(*later)
        n = a.n + b.n
        if n == 0:
            return earlier
        delta = b.mean - a.mean
        return [n, a.mean + delta * b.n / n, a.m2 + b.m2 + delta * delta * a.n * b.n / n]

    def result(self, state: list[Any]) -> float | None:
        """Return the variance."""
        n, _, m2 = _Moments(*state)
        return m2 / (n - self.ddof) if n > self.ddof else None

    def expression(self) -> pl.Expr:
        """Return the variance of the column."""
        return column_of(self.field).var(ddof=self.ddof)


@dataclass(frozen=True)
class Mean(OfField):
    """The mean of a field, as a float; None of no values."""

    def initial(self) -> list[Any]:
        """Return the count and the sum of nothing."""
        return [0, 0]

    def add(self, state: list[Any], value: Any) -> list[Any]:
        """Take in one value."""
        found = self.read(value)
        return state if found is None else [state[0] + 1, state[1] + found]

    def merge(self, earlier: list[Any], later: list[Any]) -> list[Any]:
        """Return counts and sums together."""
        return [earlier[0] + later[0], earlier[1] + later[1]]

    def result(self, state: list[Any]) -> float | None:
        """Return the mean."""
        return float(state[1] / state[0]) if state[0] else None

    def expression(self) -> pl.Expr:
        """Return the mean of the column."""
        return column_of(self.field).mean()


@dataclass(frozen=True)
class Distinct(OfField):
    """How many different values a field had; all of them are kept. See `ApproxDistinct` for many."""

    def initial(self) -> list[Any]:
        """Return no values."""
        return []

    def add(self, state: list[Any], value: Any) -> list[Any]:
        """Note one value, unless it is there."""
        found = self.read(value)
        if found is not None and found not in state:
            state.append(found)
        return state

    def merge(self, earlier: list[Any], later: list[Any]) -> list[Any]:
        """Return the values of both."""
        return [*earlier, *(value for value in later if value not in earlier)]

    def result(self, state: list[Any]) -> int:
        """Return how many there are."""
        return len(state)

    def expression(self) -> pl.Expr:
        """Return the number of different entries of the column."""
        return column_of(self.field).drop_nulls().n_unique()


@dataclass(frozen=True)
class Top(OfField):
    """The n greatest values of a field, greatest first; of equal ones, those that came first. NaN is no value.

    The field may be of any type that has an order.

    label: a field that is given beside each: the result is a list of (value, label) then.
    Raises: ConfigurationError if n < 1.
    """

    n: int
    label: Field = None
    read_label: Callable[[Any], Any] = attribute(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.n) is not int or self.n < 1:
            raise ConfigurationError(f"Top: expected n of at least 1, got {self.n!r}")
        object.__setattr__(self, "read_label", _nothing if self.label is None else kept_getter(self.label))

    def initial(self) -> list[Any]:
        """Return no values."""
        return []

    def add(self, state: list[Any], value: Any) -> list[Any]:
        """Put a value where it belongs, if it does."""
        found = self.read(value)
        if _is_no_value(found):
            return state
        place = next((place for place, entry in enumerate(state) if entry[0] < found), len(state))
        return [*state[:place], [found, self.read_label(value)], *state[place:]][: self.n]

    def merge(self, earlier: list[Any], later: list[Any]) -> list[Any]:
        """Return the greatest of both."""
        return sorted([*earlier, *later], key=itemgetter(0), reverse=True)[: self.n]

    def result(self, state: list[Any]) -> list[Any]:
        """Return the values, with their labels if they have any."""
        return [tuple(entry) if self.label is not None else entry[0] for entry in state]

    def expression(self) -> pl.Expr:
        """Return the greatest entries of the column, as a list."""
        column = column_of(self.field)
        if self.label is None:
            return column.drop_nulls().top_k(self.n).sort(descending=True).implode()
        both = pl.struct(column.alias("value"), column_of(self.label).alias("label")).filter(column.is_not_null())
        ordered = both.sort_by(column.drop_nulls(), descending=True, maintain_order=True)
        return ordered.head(self.n).implode()


def _nothing(_: Any) -> None:
    return None


def _is_no_value(found: Any) -> bool:
    """Return whether there is nothing to compare: None, or NaN, which is neither less nor greater than anything."""
    return found is None or found != found  # noqa: PLR0124 - what NaN is, of floats and Decimals alike
