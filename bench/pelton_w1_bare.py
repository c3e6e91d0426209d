"""W1 of `bench.pelton_w1` with all measuring taken out of the engine: what `bench.overhead` compares with.

The engine has no switch for that, because it measures per batch and slice, never per record. So this program puts
nothing in the place of what counts an observation, and of the look at how far the log goes. The looks at the clock
stay, most of which the engine needs anyway.
"""

from __future__ import annotations

from typing import Any

from bench.pelton_w1 import app
from pelton.metrics.lag import LagWatch
from pelton.runtime.measures import Histogram, Measures

__all__ = ["app"]


def _count_nothing(*_: Any) -> None:
    """Stand for what counts."""


async def _look_nowhere(_: LagWatch) -> None:
    """Stand for the look at the log's ends."""


for kind, name, stand_in in (
    (Histogram, "observe", _count_nothing),
    (Measures, "fetched", _count_nothing),
    (LagWatch, "_look", _look_nowhere),
):
    assert callable(getattr(kind, name)), f"{kind.__name__}.{name} is gone, so nothing is taken out"
    setattr(kind, name, stand_in)
