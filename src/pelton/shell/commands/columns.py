"""Rows as text, in columns, and what stands in them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["columns_text", "period_text"]

_DAY_MS = 86_400_000


def columns_text(rows: Sequence[Sequence[str]]) -> str:
    """Return one line a row, each column as wide as its widest cell. rows: at least one, the headings."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def period_text(milliseconds: int | None, missing: str = "-") -> str:
    """Return a period in its largest whole unit."""
    if milliseconds is None:
        return missing
    for size, unit in ((_DAY_MS, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if milliseconds % size == 0:
            return f"{milliseconds // size:,} {unit}"
    return f"{milliseconds:,} ms"
