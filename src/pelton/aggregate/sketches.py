"""Aggregates whose result is nearly right in a few kilobytes, however many values there are: Apache DataSketches.

KLL and REQ, its other quantile sketches, draw random numbers: one input would give two outputs (invariant I9). HLL and
t-digest do not.
"""

# pyright: basic
# datasketches has no types; mypy checks this module strictly all the same.
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any

import datasketches
import polars as pl

from pelton.aggregate.contract import OfField, column_of
from pelton.errors import ConfigurationError

__all__ = ["ApproxDistinct", "Quantiles"]

_sketches: Any = datasketches
_HLL_TYPE = _sketches.tgt_hll_type.HLL_4


@dataclass(frozen=True)
class ApproxDistinct(OfField):
    """About how many different values a field had, by HyperLogLog: 1.6 % standard error in 2 KiB at lg_k = 12.

    lg_k: 4 to 21; the error is 1.04 / sqrt(2**lg_k).
    Raises: ConfigurationError when lg_k is not.
    Source: Flajolet et al., HyperLogLog, AofA 2007.
    """

    lg_k: int = attribute(default=12, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 4 <= self.lg_k <= 21:
            raise ConfigurationError(f"ApproxDistinct: expected lg_k from 4 to 21, got {self.lg_k}")

    def initial(self) -> bytes:
        """Return the sketch of nothing."""
        return bytes(_sketches.hll_sketch(self.lg_k, _HLL_TYPE).serialize_compact())

    def add(self, state: bytes, value: Any) -> bytes:
        """Take in one value: numbers as they are, anything else by its text."""
        found = self.read(value)
        if found is None:
            return state
        sketch = _sketches.hll_sketch.deserialize(state)
        sketch.update(found if isinstance(found, int | float) else str(found))
        return bytes(sketch.serialize_compact())

    def merge(self, earlier: bytes, later: bytes) -> bytes:
        """Return the sketch of both."""
        union = _sketches.hll_union(self.lg_k)
        for state in (earlier, later):
            union.update(_sketches.hll_sketch.deserialize(state))
        return bytes(union.get_result(_HLL_TYPE).serialize_compact())

    def result(self, state: bytes) -> float:
        """Return the estimate."""
        return float(_sketches.hll_sketch.deserialize(state).get_estimate())

    def expression(self) -> pl.Expr:
        """Return polars' estimate, which is a HyperLogLog too."""
        return column_of(self.field).drop_nulls().approx_n_unique().cast(pl.Float64)


@dataclass(frozen=True)
class Quantiles(OfField):
    """About the values below which given shares of a field lie, by t-digest, most exact at the ends.

    shares: each from 0 to 1, as (0.5, 0.99). The result is a list of as many numbers; of no values, of None.
    k: how fine; 200 takes about 4 KiB.
    Raises: ConfigurationError when a share is out of range.
    Source: Dunning and Ertl, Computing extremely accurate quantiles using t-digests, 2019.
    """

    shares: Sequence[float]
    k: int = attribute(default=200, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        shares: object = self.shares
        if not isinstance(shares, list | tuple) or not shares or not all(map(_is_share, self.shares)):
            raise ConfigurationError(f"Quantiles: expected shares from 0 to 1, got {self.shares!r}")

    def initial(self) -> bytes:
        """Return the digest of nothing."""
        return bytes(_sketches.tdigest_double(self.k).serialize())

    def add(self, state: bytes, value: Any) -> bytes:
        """Take in one value."""
        found = self.read(value)
        if found is None:
            return state
        digest = _sketches.tdigest_double.deserialize(state)
        digest.update(float(found))
        return bytes(digest.serialize())

    def merge(self, earlier: bytes, later: bytes) -> bytes:
        """Return the digest of both."""
        digest = _sketches.tdigest_double.deserialize(earlier)
        digest.merge(_sketches.tdigest_double.deserialize(later))
        return bytes(digest.serialize())

    def result(self, state: bytes) -> list[float | None]:
        """Return a number for each share."""
        digest = _sketches.tdigest_double.deserialize(state)
        if digest.is_empty():
            return [None] * len(self.shares)
        return [float(digest.get_quantile(share)) for share in self.shares]

    def expression(self) -> pl.Expr:
        """Return the quantiles of the column, exactly, as a list."""
        column = column_of(self.field)
        return pl.concat_list([column.quantile(share, interpolation="linear") for share in self.shares])


def _is_share(share: object) -> bool:
    return isinstance(share, int | float) and 0 <= share <= 1
