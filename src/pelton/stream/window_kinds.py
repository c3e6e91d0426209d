"""Which operator works out which kind of windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pelton.aggregate import Aggregate
from pelton.stream.event_windows import Sessions, SlidingWindows
from pelton.stream.lane import Lane
from pelton.stream.window_operators import CountedWindows, FixedWindows, WindowOperator
from pelton.stream.window_plan import CountWindow, UnboundedWindow, Windowing, WindowPlan
from pelton.window import HoppingWindow, SessionWindow, SlidingWindow, TumblingWindow

__all__ = ["WINDOW_KINDS", "window_operator"]

WINDOW_KINDS: Mapping[type[Windowing], type[WindowOperator]] = {
    TumblingWindow: FixedWindows,
    HoppingWindow: FixedWindows,
    SessionWindow: Sessions,
    SlidingWindow: SlidingWindows,
    CountWindow: CountedWindows,
    UnboundedWindow: CountedWindows,
}


def window_operator(
    plan: WindowPlan, aggregates: Mapping[str, Aggregate[Any]], *, updates: bool
) -> Callable[[Lane], WindowOperator]:
    """Return what makes the operator of a plan for a lane."""
    kind = WINDOW_KINDS[type(plan.windowing)]
    return lambda lane: kind(lane, plan, aggregates, updates)
