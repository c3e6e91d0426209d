"""Joins of tables against two dicts, for any interleaving of their changes, batches and restart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import copy_context
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pelton.batch import RecordBatch
from pelton.state.cache import TableCache
from pelton.stream.lane import CURRENT_LANE, Chunk
from pelton.stream.stream import Stream
from pelton.stream.table_joining import TableJoin, TableJoinKind
from tests.unit.stream.feeding import TABLE, Feed, Program, a_cache, a_lane

unhurried = settings(deadline=None)


class Change(NamedTuple):
    """side: 0 left, 1 right. row: a number, or None where the key is deleted."""

    side: int
    key: str
    row: int | None


changes = st.lists(
    st.builds(Change, st.integers(0, 1), st.sampled_from("ab"), st.one_of(st.none(), st.integers(0, 9))),
    min_size=1,
    max_size=25,
)
Update = tuple[str, tuple[int | None, int | None] | None]


def chunk(run: Sequence[Change]) -> Chunk:
    batch = RecordBatch(
        topic=("left", "right")[run[0].side],
        partition=0,
        offsets=range(len(run)),
        timestamps_ms=[0] * len(run),
        keys=[change.key.encode() for change in run],
        values=[None if change.row is None else str(change.row).encode() for change in run],
        next_offset=len(run),
    )
    return Chunk(batch, range(len(run)), [change.row for change in run], bytes.decode, batch.next_offset)


def run(events: Sequence[Change], kind: TableJoinKind, cache: TableCache) -> list[Update]:
    async def agent() -> list[Update]:
        lane = a_lane(cache)[0]
        CURRENT_LANE.set(lane)
        feed = Feed(*(chunk(list(part)) for _, part in groupby(events, key=lambda change: change.side)))
        stream = Stream[Any](feed, lane, Program())
        stream.add_processor(TableJoin(kind, {"left": 0, "right": 1}, (int, int), TABLE))
        return [update async for update in stream.items()]

    return copy_context().run(asyncio.run, agent())


def joined(tables: Sequence[dict[str, int]], kind: str) -> dict[str, tuple[int | None, int | None]]:
    """Return the join of two dicts."""
    left, right = tables
    keys = {"inner": left.keys() & right.keys(), "left": left.keys(), "outer": left.keys() | right.keys()}[kind]
    return {key: (left.get(key), right.get(key)) for key in keys}


def model(events: Sequence[Change], kind: str) -> list[Update]:
    tables: tuple[dict[str, int], dict[str, int]] = ({}, {})
    updates: list[Update] = []
    for side, key, row in events:
        before = joined(tables, kind)
        tables[side].pop(key, None)
        if row is not None:
            tables[side][key] = row
        after = joined(tables, kind)
        if key in before or key in after:
            updates.append((key, after.get(key)))
    return updates


@pytest.mark.parametrize("kind", ["inner", "left", "outer"])
@unhurried
@given(events=changes, restart=st.integers(0, 24))
def test_each_change_gives_the_row_as_it_is_then(kind: TableJoinKind, events: list[Change], restart: int) -> None:
    cache = a_cache(Path("x"))
    lives = [life for life in (events[:restart], events[restart:]) if life]
    assert [update for life in lives for update in run(life, kind, cache)] == model(events, kind)


@pytest.mark.parametrize("kind", ["inner", "left", "outer"])
@unhurried
@given(events=changes)
def test_the_updates_come_to_the_join_however_the_tables_interleave(kind: TableJoinKind, events: list[Change]) -> None:
    tables: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for side, key, row in events:
        tables[side].pop(key, None)
        if row is not None:
            tables[side][key] = row
    for order in (events, sorted(events, key=lambda change: change.side)):
        folded = dict(run(order, kind, a_cache(Path("x"))))
        assert {key: row for key, row in folded.items() if row is not None} == joined(tables, kind)


def test_rows_that_both_sides_have_deleted_leave_nothing_in_the_table() -> None:
    cache = a_cache(Path("x"))
    run([Change(0, "a", 1), Change(1, "a", 2), Change(0, "a", None), Change(1, "a", None)], "outer", cache)
    assert list(cache.scan()) == []
