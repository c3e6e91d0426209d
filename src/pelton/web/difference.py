"""What has changed in a table between two times: its rows at both, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pelton.web.queries import Found, Page, QueriedTable, Queries, Source

__all__ = ["Comparison", "Difference", "compared", "differences"]

#: A key's row at the earlier time and at the later one; None where it had none. One of them is there.
_Pair = tuple[Found | None, Found | None]


@dataclass(frozen=True, slots=True)
class Difference:
    """A key that is not as it was.

    kind: "+" for what has come, "-" for what has gone, "~" for what has changed. before, after: None where it was not.
    """

    key: Any
    kind: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """Some keys of a table, in the order of their stored bytes, then and now.

    rows: of each key. next: where the next page begins; None when this is the last.
    """

    rows: Sequence[_Pair]
    next: Mapping[int, bytes] | None
    sources: Sequence[Source]


async def differences(earlier: AsyncIterator[Found], later: AsyncIterator[Found]) -> AsyncIterator[Difference]:
    """Yield what differs between two lists of rows, both in the order of their stored keys."""
    async for before, after in _side_by_side(earlier, later):
        if before is None:
            assert after is not None
            yield Difference(after.key, "+", None, after.value)
        elif after is None:
            yield Difference(before.key, "-", before.value, None)
        elif before.value != after.value:
            yield Difference(before.key, "~", before.value, after.value)


async def compared(
    queries: Queries,
    table: QueriedTable,
    start: bytes = b"",
    end: bytes | None = None,
    *,
    at_ms: int,
    limit: int,
    after: Mapping[int, bytes] | None = None,
) -> Comparison:
    """Return a page of the keys that had a value at a time, or have one now, in start <= key < end.

    after: `next` of the page before. Owners answer for both. Raises: as `Queries.scan`.
    """
    count = await queries.count(table)
    then, now = await asyncio.gather(
        queries.scan(table, start, end, at_ms=at_ms, limit=limit, after=after),
        queries.scan(table, start, end, limit=limit, after=after),
    )
    edge = min((*_ends(then), *_ends(now)), default=None)  # from here on one of the pages does not tell
    rows: list[_Pair] = []
    async for pair in _side_by_side(_each(then.rows), _each(now.rows)):
        place = _place_of(pair)
        if len(rows) == limit or (edge is not None and place >= edge):
            edge = place if edge is None else min(edge, place)
            break
        rows.append(pair)
    return Comparison(rows, None if edge is None else _from(edge, count), then.sources)


def _ends(page: Page) -> Iterable[tuple[bytes, int]]:
    """Return the places in front of which a page tells all rows of its partitions."""
    return ((stored, number) for number, stored in (page.next or {}).items())


def _from(edge: tuple[bytes, int], count: int) -> dict[int, bytes]:
    """Return where each partition goes on, for the rows from a place on."""
    stored, first = edge
    return {number: stored if number >= first else stored + b"\0" for number in range(count)}


async def _side_by_side(earlier: AsyncIterator[Found], later: AsyncIterator[Found]) -> AsyncIterator[_Pair]:
    before, after = await anext(earlier, None), await anext(later, None)
    while before is not None or after is not None:
        has_gone = after is None or (before is not None and _place(before) < _place(after))
        has_come = before is None or (after is not None and _place(after) < _place(before))
        yield None if has_come else before, None if has_gone else after
        if not has_come:
            before = await anext(earlier, None)
        if not has_gone:
            after = await anext(later, None)


async def _each(rows: Iterable[Found]) -> AsyncIterator[Found]:
    for row in rows:
        yield row


def _place_of(pair: _Pair) -> tuple[bytes, int]:
    row = pair[0] or pair[1]
    assert row is not None
    return _place(row)


def _place(row: Found) -> tuple[bytes, int]:
    return row.stored, row.partition
