"""What has changed in a table between two times: its rows at both, side by side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from pelton.web.queries import Found

__all__ = ["Difference", "differences"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A key that is not as it was.

    kind: "+" for what has come, "-" for what has gone, "~" for what has changed. before, after: None where it was not.
    """

    key: Any
    kind: str
    before: Any
    after: Any


async def differences(earlier: AsyncIterator[Found], later: AsyncIterator[Found]) -> AsyncIterator[Difference]:
    """Yield what differs between two lists of rows, both in the order of their stored keys."""
    before, after = await anext(earlier, None), await anext(later, None)
    while before is not None or after is not None:
        if after is None or (before is not None and _place(before) < _place(after)):
            assert before is not None
            yield Difference(before.key, "-", before.value, None)
            before = await anext(earlier, None)
        elif before is None or _place(after) < _place(before):
            yield Difference(after.key, "+", None, after.value)
            after = await anext(later, None)
        else:
            if before.value != after.value:
                yield Difference(before.key, "~", before.value, after.value)
            before, after = await anext(earlier, None), await anext(later, None)


def _place(row: Found) -> tuple[bytes, int]:
    return row.stored, row.partition
