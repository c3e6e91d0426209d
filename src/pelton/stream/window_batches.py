"""Whole batches of events into fixed windows: polars finds the groups, and works out what it can of each.

A batch leaves the table as its events would, one after the other: which of them are late hangs on how far stream time
had come with each. So an agent may take batches or events, and has the same windows (invariant I9).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from pelton.aggregate import Aggregate
from pelton.aggregate.partial import Partial, column_for, partial_of
from pelton.stream.window_plan import WindowResult
from pelton.window import HoppingWindow, Int64Array, TumblingWindow, Window, hopping_starts, tumbling_starts

__all__ = ["Assignment", "Group", "assign", "frame_of", "groups"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """The windows of some events. rows, starts: one entry for each event and window that takes it; late: other rows."""

    rows: Int64Array
    starts: Int64Array
    late: Sequence[int]


@dataclass(frozen=True, slots=True)
class Group:
    """The events of a key that fell into a window.

    rows: which ones, in order. partials: their state, for each aggregate that polars worked out; None for the others.
    """

    key: bytes
    window: Window
    rows: Sequence[int]
    partials: Sequence[Any]


def assign(
    times_ms: Sequence[int], windowing: TumblingWindow | HoppingWindow, reached_ms: int | None, grace_ms: int
) -> Assignment:
    """Return the windows of events in the order of the log, and which events are late.

    reached_ms: how far their topic had come before them; None at its beginning.
    """
    times = np.asarray(times_ms, dtype=np.int64)
    reached = np.maximum.accumulate(times)
    if reached_ms is not None:
        reached = np.maximum(reached, reached_ms)
    if isinstance(windowing, TumblingWindow):
        rows, starts = np.arange(len(times), dtype=np.int64), tumbling_starts(times, windowing.size_ms)
    else:
        rows, starts = hopping_starts(times, windowing.size_ms, windowing.step_ms)
    in_time = starts + windowing.size_ms + grace_ms > reached[rows]
    rows, starts = rows[in_time], starts[in_time]
    late = np.setdiff1d(np.arange(len(times)), rows)
    return Assignment(rows, starts, [int(row) for row in late])


def groups(
    keys: Sequence[bytes],
    values: list[Any],
    assignment: Assignment,
    size_ms: int,
    aggregates: Sequence[Aggregate[Any]],
) -> Iterator[Group]:
    """Yield the events of each key and window, in the order in which the groups begin."""
    rows = assignment.rows
    columns = {index: column_for(one, f"v{index}", values) for index, one in enumerate(aggregates)}
    partials = {index: partial_of(one, columns[index]) for index, one in enumerate(aggregates)}
    worked_out = {index: partial for index, partial in partials.items() if partial is not None}
    frame = pl.DataFrame(
        {"key": pl.Series(keys, dtype=pl.Binary)[rows], "start": assignment.starts, "row": rows}
    ).with_columns(column[rows] for index, column in columns.items() if column is not None and index in worked_out)
    grouped = frame.group_by("key", "start", maintain_order=True).agg(
        pl.col("row"), *(partial.expression.alias(f"p{index}") for index, partial in worked_out.items())
    )
    for found in grouped.iter_rows(named=True):
        start = found["start"]
        states = [_state(partials[index], found, index) for index in range(len(aggregates))]
        yield Group(found["key"], Window(start, start + size_ms), found["row"], states)


def _state(partial: Partial | None, found: dict[str, Any], index: int) -> Any:
    return None if partial is None else partial.state(found[f"p{index}"])


def frame_of(results: Sequence[WindowResult]) -> pl.DataFrame:
    """Return results as a frame: key, start_ms, end_ms, and a column for each aggregate."""
    columns: dict[str, list[Any]] = {
        "key": [one.key for one in results],
        "start_ms": [one.start_ms for one in results],
        "end_ms": [one.end_ms for one in results],
        **{name: [one.values[name] for one in results] for name in results[0].values},
    }
    return pl.DataFrame([_column(name, cells) for name, cells in columns.items()])


def _column(name: str, cells: list[Any]) -> pl.Series:
    """Return cells as a column: of one type, of floats where there are integers too, or of Python's objects."""
    try:
        return pl.Series(name, cells)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        if all(isinstance(cell, int | float | None) for cell in cells):
            return pl.Series(name, [None if cell is None else float(cell) for cell in cells])
        return pl.Series(name, cells, dtype=pl.Object)
