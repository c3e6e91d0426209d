"""What a query published, against what it must amount to: the same rows, each exactly as often."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from bench.nexmark.expected import Rows

__all__ = ["differences", "per_bidder", "rows_of_files"]

_CLOCK_WINDOW = timedelta(seconds=10)


def differences(expected: Rows, found: Rows) -> list[str]:
    """Return what is wrong with the rows that were found; nothing when they are the expected ones."""
    wanted, had = Counter(map(_frozen, expected)), Counter(map(_frozen, found))
    faults = [] if len(expected) == len(found) else [f"{len(found)} rows, expected {len(expected)}"]
    for text, rows in (("missing", wanted - had), ("too many", had - wanted)):
        if rows:
            faults.append(f"{rows.total()} rows {text}, such as {next(iter(rows))}")
    return faults


def _frozen(value: Any) -> Any:
    """Return a value so that equal ones are equal, whatever the order of a dict or the name of a time zone."""
    if isinstance(value, dict):
        return tuple(sorted((name, _frozen(one)) for name, one in value.items()))
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def per_bidder(windows: Rows) -> tuple[Rows, list[str]]:
    """Return what windows of the clock count in all for each bidder, which no clock changes; and what is wrong.

    windows: the results of query 12.
    """
    totals: Counter[int] = Counter()
    faults = []
    for window in windows:
        totals[window["bidder"]] += window["bid_count"]
        start, end = window["starttime"], window["endtime"]
        if end - start != _CLOCK_WINDOW or start.timestamp() % _CLOCK_WINDOW.total_seconds():
            faults.append(f"no window of 10 seconds of the clock: {start} to {end}")
    return [{"bidder": bidder, "bid_count": count} for bidder, count in totals.items()], faults


def rows_of_files(directory: Path) -> Rows:
    """Return the rows of the files of query 10, each with the day and the minute of its directory."""
    rows: Rows = []
    for file in sorted(directory.glob("dt=*/hm=*/*.csv")):
        hm, dt = (part.name.partition("=")[2] for part in list(file.parents)[:2])
        frame = pl.read_csv(file, schema_overrides={"date_time": pl.Datetime("us", "UTC"), "extra": pl.String})
        rows += frame.with_columns(dt=pl.lit(dt), hm=pl.lit(hm)).to_dicts()
    return rows
