"""What the whole application knows, whichever worker is asked: committed rows, from those that have them.

A part is never taken for the whole: where nobody can answer for a partition now, or this worker has only begun to
start, that is an UnavailableError.
"""

from __future__ import annotations

from typing import Any

from app.bank import app
from pelton import UnavailableError

__all__ = ["rows_of", "value_of"]


async def rows_of(table: Any) -> list[tuple[Any, Any]]:
    """Return (key, value) of all rows of a table that has no windows. Raises: UnavailableError."""
    _check_started()
    return [(row.key, row.value) async for row in app.queries.rows(app.table_handle(table))]


async def value_of(table: Any, key: Any, default: Any = None) -> Any:
    """Return what a key of a table holds; its windows, earliest first, where it has some. Raises: UnavailableError."""
    _check_started()
    return await app.query(table, key, default)


def _check_started() -> None:
    if app.runtime is None:
        raise UnavailableError("the worker is starting")
