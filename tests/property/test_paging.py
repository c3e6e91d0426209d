"""Pages of rows of several partitions against one sorted list, however the workers cut their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pelton.clock import SystemClock
from pelton.log.contract import MemberInfo
from pelton.web.asking import Asking, Surroundings
from pelton.web.queries import Queries, Reach
from pelton.web.wire import PartitionRows, Row, RowsRequest, WorkerRows

KEYS = st.binary(max_size=3)
PARTITIONS = st.lists(st.dictionaries(KEYS, st.binary(max_size=3), max_size=12), min_size=1, max_size=5)


class BytesTable:
    """A table whose keys and values are bytes."""

    name = changelog = "table"
    replicated = history = False
    size_ms = None

    def same(self, data: Any, /) -> Any:
        return data

    encode_key = decode_key = decode = route_key = same


def answering(partitions: Sequence[Mapping[bytes, bytes]], cut: int, absent: frozenset[int]) -> Queries:
    """Return what asks workers that have some partitions, and give no more than so many rows of each at once."""

    def local(request: RowsRequest) -> WorkerRows:
        found: list[PartitionRows] = []
        for number, start in request.starts.items():
            keys = sorted(k for k in partitions[number] if k >= start and (request.end is None or k < request.end))
            taken = keys[: min(cut, request.limit)]
            behind = taken[-1] + b"\0" if len(taken) < len(keys) else None
            rows = [Row(key, partitions[number][key]) for key in taken]
            if number not in absent:
                found.append(PartitionRows(number=number, role="owner", rows=rows, next=behind))
        missing = dict.fromkeys(request.starts.keys() & absent, "absent")
        return WorkerRows(partitions=found, missing=missing)

    class Hurried(SystemClock):
        """A clock by which patience is over at once."""

        def __init__(self) -> None:
            self.now_s = 0.0

        def monotonic(self) -> float:
            self.now_s += 10.0
            return self.now_s

    async def members() -> Sequence[MemberInfo]:
        return []

    async def ask(address: str, request: RowsRequest) -> WorkerRows:
        raise AssertionError(address)

    async def count(changelog: str) -> int:
        return len(partitions)

    return Queries("app", Asking(Surroundings("here", local, members, ask, Hurried())), count)


async def pages(queries: Queries, start: bytes, end: bytes | None, limit: int, reach: Reach) -> list[tuple[bytes, int]]:
    found: list[tuple[bytes, int]] = []
    page = await queries.scan(BytesTable(), start, end, limit=limit, reach=reach)
    while True:
        assert len(page.rows) <= limit
        found += [(row.key, row.partition) for row in page.rows]
        if page.next is None:
            return found
        assert page.rows, "each page goes further"
        page = await queries.scan(BytesTable(), start, end, limit=limit, after=page.next, reach=reach)


@given(PARTITIONS, st.integers(1, 8), st.integers(1, 5), KEYS, st.none() | KEYS)
def test_all_pages_together_are_all_rows_in_order(
    partitions: list[dict[bytes, bytes]], limit: int, cut: int, start: bytes, end: bytes | None
) -> None:
    found = asyncio.run(pages(answering(partitions, cut, frozenset()), start, end, limit, Reach()))
    assert found == sorted(
        (key, number)
        for number, rows in enumerate(partitions)
        for key in rows
        if key >= start and (end is None or key < end)
    )


@given(PARTITIONS, st.integers(1, 8), st.integers(1, 5), st.sets(st.integers(0, 4)))
def test_what_nobody_has_is_named_and_the_rest_is_there(
    partitions: list[dict[bytes, bytes]], limit: int, cut: int, absent: set[int]
) -> None:
    gone = frozenset(number for number in absent if number < len(partitions))
    queries = answering(partitions, cut, gone)
    page = asyncio.run(queries.scan(BytesTable(), limit=limit, reach=Reach(partial=True)))
    assert page.missing == dict.fromkeys(gone, "absent")
    found = asyncio.run(pages(answering(partitions, cut, gone), b"", None, limit, Reach(partial=True)))
    assert found == sorted((key, n) for n, rows in enumerate(partitions) for key in rows if n not in gone)
