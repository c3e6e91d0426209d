"""A customer's master data: a row of the database's table `customers`, whatever columns that has today."""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["CustomerRow"]

#: Column -> value. Not a struct: a column that the database gets tomorrow is there at once, and one it loses is gone.
CustomerRow: TypeAlias = dict[str, Any]
