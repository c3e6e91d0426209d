"""A lane's effects: visible when the event is complete, all at once; gone when it failed."""

from __future__ import annotations

from pathlib import Path

from pelton.stream.lane import Send
from tests.unit.stream.feeding import TABLE, a_cache, a_lane


def message(value: bytes) -> Send:
    return Send("out", None, b"k", value, 0, ())


def test_an_event_sees_its_own_writes_and_nobody_else_does(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    (one, _), (other, _) = a_lane(cache), a_lane(cache)
    one.tables[TABLE].put(b"a", b"1")
    assert one.tables[TABLE].get(b"a") == b"1"
    assert other.tables[TABLE].get(b"a") is None
    assert cache.get(b"a") is None
    one.finish_event()
    assert other.tables[TABLE].get(b"a") == b"1"
    assert cache.take() == {b"a": b"1"}


def test_effects_of_an_event_appear_together(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    lane, sent = a_lane(cache)
    lane.tables[TABLE].put(b"a", b"1")
    lane.send(message(b"x"))
    lane.send(message(b"y"))
    assert (lane.dirty, sent, cache.dirty) == (True, [], {})
    lane.finish_event()
    assert [send.value for send in sent] == [b"x", b"y"]
    assert cache.dirty == {b"a": b"1"}
    assert not lane.dirty


def test_a_failed_event_leaves_nothing(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    lane, sent = a_lane(cache)
    slot = lane.tables[TABLE]
    slot.put(b"a", b"before")
    lane.finish_event()
    slot.put(b"a", b"changed")
    slot.put(b"b", b"new")
    lane.send(message(b"x"))
    lane.discard_event()
    assert (slot.get(b"a"), slot.get(b"b")) == (b"before", None)
    lane.finish_event()
    assert (sent, cache.dirty) == ([], {b"a": b"before"})


def test_the_event_after_a_failed_one_starts_afresh(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    lane, sent = a_lane(cache)
    lane.tables[TABLE].put(b"a", b"bad")
    lane.discard_event()
    lane.tables[TABLE].put(b"b", b"good")
    lane.send(message(b"y"))
    lane.finish_event()
    assert cache.dirty == {b"b": b"good"}
    assert [send.value for send in sent] == [b"y"]


def test_reads_go_through_the_event_the_stage_the_cache_and_the_store(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    stage: dict[bytes, bytes | None] = {}
    lane, _ = a_lane(cache, stage)
    slot = lane.tables[TABLE]
    cache.merge({b"a": b"cache", b"b": b"cache", b"c": b"cache"})
    stage |= {b"b": b"stage", b"c": b"stage"}
    slot.put(b"c", b"event")
    assert [slot.get(key) for key in (b"a", b"b", b"c", b"d")] == [b"cache", b"stage", b"event", None]
    assert list(slot.scan()) == [(b"a", b"cache"), (b"b", b"stage"), (b"c", b"event")]


def test_a_deletion_hides_what_is_below(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    stage: dict[bytes, bytes | None] = {b"b": None}
    lane, _ = a_lane(cache, stage)
    slot = lane.tables[TABLE]
    cache.merge({b"a": b"1", b"b": b"2", b"c": b"3"})
    slot.put(b"a", None)
    assert [slot.get(key) for key in (b"a", b"b", b"c")] == [None, None, b"3"]
    assert list(slot.scan()) == [(b"c", b"3")]
    slot.put(b"a", b"again")
    assert slot.get(b"a") == b"again"


def test_a_scan_is_ordered_and_bounded(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    lane, _ = a_lane(cache)
    slot = lane.tables[TABLE]
    cache.merge({key: key for key in (b"a", b"c", b"e")})
    for key in (b"d", b"b"):
        slot.put(key, key)
    assert [key for key, _ in slot.scan()] == [b"a", b"b", b"c", b"d", b"e"]
    assert [key for key, _ in slot.scan(b"b", b"e")] == [b"b", b"c", b"d"]


def test_with_several_lanes_a_complete_event_stays_on_the_stage(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    stage: dict[bytes, bytes | None] = {}
    (one, _), (other, _) = a_lane(cache, stage), a_lane(cache, stage)
    one.tables[TABLE].put(b"a", b"1")
    one.finish_event()
    assert other.tables[TABLE].get(b"a") == b"1"
    assert (stage, cache.dirty) == ({b"a": b"1"}, {})


def test_one_event_may_write_the_same_key_again_and_again(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    lane, _ = a_lane(cache)
    for number in range(3):
        lane.tables[TABLE].put(b"a", b"%d" % number)
    lane.finish_event()
    assert cache.dirty == {b"a": b"2"}
    assert lane.touched == []
