"""Which aggregates polars can work out for many rows at once, to the same state as adding them one by one.

The same to the last bit, or a result would hang on how large the batches were (invariant I9). So floats are not summed
here: polars adds them in another order. Where `partial_of` says None, the rows are added one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from pelton.aggregate.contract import Aggregate
from pelton.aggregate.exact import Count, First, Last, Max, Mean, Min, Sum

__all__ = ["Partial", "column_for", "partial_of"]

#: As many rows of integers below this sum up to less than 64 bits.
_ADDEND_MAX = 1 << 31
_PLAIN = {int, float, str, bool}


@dataclass(frozen=True, slots=True)
class Partial:
    """expression: over the rows of a group. state: makes the aggregate's state of what the expression gives."""

    expression: pl.Expr
    state: Callable[[Any], Any]


def column_for(aggregate: Aggregate[Any], name: str, values: list[Any]) -> pl.Series | None:
    """Return the column of an aggregate's field, where polars has a plain type for all of it; else None."""
    read = getattr(aggregate, "read", None)
    if read is None:
        return None
    cells = [read(value) for value in values]
    kinds = set(map(type, cells))
    if len(kinds) != 1 or not kinds <= _PLAIN:
        return None  # a column makes 1 of True, and 1.0 of 1
    try:
        return pl.Series(name, cells)
    except (OverflowError, pl.exceptions.PolarsError):
        return None  # larger than 64 bits


def partial_of(aggregate: Aggregate[Any], column: pl.Series | None) -> Partial | None:
    """Return how polars works out the state of an aggregate over a column; None where only one by one will do."""
    kind = type(aggregate)
    if kind is Count:
        return Partial(pl.len(), int)
    if column is None:
        return None
    field = pl.col(column.name)
    if kind in (First, Last):
        return Partial(field.first() if kind is First else field.last(), _kept)
    if kind in (Min, Max) and _has_one_order(column):
        return Partial(field.min() if kind is Min else field.max(), _kept)
    if kind in (Sum, Mean) and _sums_exactly(column):
        return Partial(field.sum(), int) if kind is Sum else Partial(pl.struct(pl.len(), field.sum()), _mean)
    return None


def _kept(found: Any) -> list[Any]:
    return [found]


def _mean(found: dict[str, int]) -> list[int]:
    return [int(number) for number in found.values()]


def _has_one_order(column: pl.Series) -> bool:
    """Return whether the least of a column is one value, and no other that equals it (0.0 and -0.0) or none (NaN)."""
    if column.dtype == pl.Float64:
        return not bool(column.is_nan().any()) and not bool((column == 0.0).any())
    return column.dtype == pl.Int64 or column.dtype == pl.String  # noqa: PLR1714 - pyright knows them apart


def _sums_exactly(column: pl.Series) -> bool:
    if column.dtype != pl.Int64 or not len(column):
        return False
    least, greatest = column.min(), column.max()
    return isinstance(least, int) and isinstance(greatest, int) and least > -_ADDEND_MAX and greatest < _ADDEND_MAX
