"""A stream joined with a table against a dict, while the same agent changes the table, for any batches and restart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pelton.errors import ConfigurationError
from pelton.state.cache import TableCache
from pelton.stream.lane import CURRENT_LANE, TableSlot
from pelton.stream.stream import Stream
from tests.unit.stream.feeding import TABLE, Feed, Program, a_cache, a_lane, chunk

#: (key, what to write after the look-up): a number, None to delete, or nothing.
Step = tuple[str, int | str | None]
NOTHING = "nothing"
steps = st.lists(
    st.tuples(st.sampled_from(["k0", "k1", "k2"]), st.one_of(st.integers(0, 9), st.none(), st.just(NOTHING))),
    min_size=1,
    max_size=20,
)
unhurried = settings(deadline=None)


class Numbers:
    """A table of numbers by text, in the place where the lane keeps it."""

    def __init__(self, *, replicated: bool) -> None:
        self.replicated = replicated

    def slot(self) -> TableSlot:
        lane = CURRENT_LANE.get()
        assert lane is not None
        return lane.tables[TABLE]

    def get(self, key: str, default: Any = None) -> Any:
        found = self.slot().get(key.encode())
        return default if found is None else int(found)

    def __getitem__(self, key: str) -> int:
        return int(self.get(key))

    def write(self, key: str, number: int | None) -> None:
        self.slot().put(key.encode(), None if number is None else str(number).encode())


Found = list[tuple[Step, int | None]]


def run(events: Sequence[Step], cut: int, kind: str, cache: TableCache) -> Found:
    """Return what the join gives for each step; `on` is the step's key, so the table is a global one."""
    found: Found = []
    parts = [part for part in (events[: cut % len(events)], events[cut % len(events) :]) if part]

    async def agent() -> None:
        lane = a_lane(cache)[0]
        CURRENT_LANE.set(lane)
        stream = Stream[Step](Feed(*map(chunk, parts)), lane, Program())
        numbers = Numbers(replicated=True)
        async for step, number in getattr(stream, kind)(numbers, on=lambda step: step[0]):
            found.append((step, number))
            if step[1] != NOTHING:
                numbers.write(*step)

    copy_context().run(asyncio.run, agent())
    return found


def model(events: Sequence[Step], kind: str, held: dict[str, Any]) -> Found:
    found: Found = []
    for key, number in events:
        if kind == "left_join" or held.get(key) is not None:
            found.append(((key, number), held.get(key)))
            if number != NOTHING:
                held[key] = number
    return found


@pytest.mark.parametrize("kind", ["join", "left_join"])
@unhurried
@given(events=steps, cut=st.integers(0, 19), restart=st.integers(0, 19))
def test_each_event_sees_what_the_events_before_it_left(kind: str, events: list[Step], cut: int, restart: int) -> None:
    cache = a_cache(Path("x"))
    cache.merge({b"k0": b"5"})
    lives = [life for life in (events[:restart], events[restart:]) if life]
    assert [pair for life in lives for pair in run(life, cut, kind, cache)] == model(events, kind, {"k0": 5})


def test_the_key_of_the_stream_is_the_key_of_the_table() -> None:
    cache = a_cache(Path("x"))
    cache.merge({b"k1": b"7"})

    async def joined() -> list[Any]:
        lane = a_lane(cache)[0]
        CURRENT_LANE.set(lane)
        stream = Stream[str](Feed(chunk(["a", "b"])), lane, Program())
        return [pair async for pair in stream.inner_join(Numbers(replicated=False))]

    assert copy_context().run(asyncio.run, joined()) == [("b", 7)]


def test_a_table_of_partitions_is_not_looked_up_by_another_field() -> None:
    stream = Stream[Any](None, None, Program())
    with pytest.raises(ConfigurationError, match="only what has the key of the event"):
        stream.join(Numbers(replicated=False), on="country")
