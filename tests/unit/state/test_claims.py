"""Who has a key that several events come to write.

What becomes of agents that share a table is in tests/unit/shell/test_shared_tables.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pelton.state.cache import TableCache
from pelton.state.claims import Stage, WriteConflict
from pelton.state.memory import MemoryStores
from pelton.stream.lane import Lane, TableSlot

KEY = b"k"


@pytest.fixture
def cache() -> TableCache:
    return TableCache("t", MemoryStores().open(Path("/"), 0, ["t"]))


def lane_over(cache: TableCache, agent: str, stage: Stage | None = None) -> tuple[Lane, TableSlot]:
    """Return a lane, and its place in the table."""
    lane = Lane(agent, 0, 0, [])
    slot = TableSlot(lane, cache, stage, "t")
    return lane, slot


def begin(slot: TableSlot, own: bytes) -> None:
    """Have an event begin: with a key of its own, it draws its number."""
    slot.put(own, b"")


def test_an_event_that_an_earlier_one_took_a_key_from_stands_in_line_for_it(cache: TableCache) -> None:
    stage = Stage()
    early, early_slot = lane_over(cache, "early", stage)
    late, late_slot = lane_over(cache, "late")
    later, later_slot = lane_over(cache, "later")
    for number, slot in enumerate((early_slot, late_slot, later_slot)):
        begin(slot, b"own-%d" % number)
    late_slot.put(KEY, b"late")
    early_slot.put(KEY, b"early")
    assert late.spoiled is not None
    late.line_up(late.spoiled)
    early.finish_event()
    assert stage[KEY] == b"early"
    assert cache.claims.wanted(stage), "the round has a key that somebody waits for"

    cache.claims.end_round(stage)
    with pytest.raises(WriteConflict):  # it came later than the one that waits
        later_slot.put(KEY, b"later")
    later.line_up(later.spoiled or pytest.fail("it is not told"))
    late_slot.put(KEY, b"late")
    late.finish_event()
    later_slot.put(KEY, b"later")
    later.finish_event()
    assert cache.get(KEY) == b"later"
    assert not cache.claims.wanted(stage)
