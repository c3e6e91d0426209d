"""What a stream yields through its operators, and which events are complete when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from pelton.errors import ConfigurationError
from pelton.stream.lane import Lane, Send
from pelton.stream.stream import Stream
from tests.unit.stream.feeding import Program, a_lane, a_stream, chunk


async def all_of(stream: Any) -> list[Any]:
    return [value async for value in stream]


def numbers(*sizes: int) -> list[Any]:
    """Return chunks of so many numbers each, counted through."""
    chunks, offset = [], 0
    for size in sizes:
        chunks.append(chunk(range(offset, offset + size), offset))
        offset += size
    return chunks


def note(lane: Lane, value: object) -> None:
    lane.send(Send("out", None, None, str(value).encode(), lane.timestamp_ms, ()))


# -- one event at a time ---------------------------------------------------------------------------


async def test_values_come_in_order_across_chunks() -> None:
    stream, *_ = a_stream(*numbers(2, 1, 3))
    assert await all_of(stream) == [0, 1, 2, 3, 4, 5]


async def test_an_event_is_complete_when_the_next_is_asked_for() -> None:
    stream, _, lane, effects = a_stream(*numbers(2, 1))
    seen = []
    async for value in stream:
        note(lane, value)
        seen.append([send.value for send in effects])
    assert seen == [[], [b"0"], [b"0", b"1"]]
    assert [send.value for send in effects] == [b"0", b"1", b"2"]
    assert [send.timestamp_ms for send in effects] == [0, 1_000, 2_000]


async def test_an_event_that_raises_is_not_complete() -> None:
    stream, _, lane, effects = a_stream(*numbers(3))

    async def agent() -> None:
        async for value in stream:
            note(lane, value)
            if value == 1:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await agent()
    lane.discard_event()
    assert [send.value for send in effects] == [b"0"]
    assert lane.cursor == 1


async def test_events_items_and_enumerate() -> None:
    headers = [(("h", b"1"), ("h", b"2")), ()]
    stream, *_ = a_stream(chunk(["a", "b"], 5, headers))
    events = await all_of(stream.events())
    assert [(event.key, event.value) for event in events] == [("k5", "a"), ("k6", "b")]
    assert [(event.message.offset, event.message.timestamp) for event in events] == [(5, 5.0), (6, 6.0)]
    assert [dict(event.headers) for event in events] == [{"h": b"2"}, {}]
    assert events[0].ack()
    assert await all_of(a_stream(*numbers(2))[0].items()) == [("k0", 0), ("k1", 1)]
    assert await all_of(a_stream(*numbers(1, 1))[0].enumerate(start=7)) == [(7, 0), (8, 1)]


async def test_a_chunk_of_chosen_rows_keeps_their_keys_and_offsets() -> None:
    whole = chunk(["a", "b", "c", "d"])
    stream, *_ = a_stream(whole.split(2))
    assert [(event.key, event.message.offset) async for event in stream.events()] == [("k2", 2), ("k3", 3)]


async def test_the_current_event() -> None:
    stream, *_ = a_stream(*numbers(2))
    assert stream.current_event is None
    async for value in stream:
        event = stream.current_event
        assert event is not None
        assert (event.key, event.value) == (f"k{value}", value)


# -- processors ------------------------------------------------------------------------------------


async def test_filters_plain_and_async() -> None:
    async def small(value: int) -> bool:
        return value < 4

    stream, *_ = a_stream(*numbers(3, 3))
    assert await all_of(stream.filter(lambda value: value % 2).filter(small)) == [1, 3]


async def test_what_a_filter_drops_is_complete_and_what_it_sent_before_counts() -> None:
    stream, _, _, effects = a_stream(*numbers(2))
    assert await all_of(stream.echo("copy").filter(lambda value: value > 0)) == [1]
    assert [(send.topic, send.key, send.value) for send in effects] == [("copy", b"k0", b"0"), ("copy", b"k1", b"1")]


async def test_none_is_a_value_that_filters_may_keep() -> None:
    stream, *_ = a_stream(chunk([None, 1]))
    assert await all_of(stream.filter(lambda value: value is None)) == [None]


async def test_processors_change_values() -> None:
    async def double(value: int) -> int:
        return value * 2

    stream, *_ = a_stream(*numbers(3))
    stream.add_processor(double)
    stream.add_processor(str)
    assert await all_of(stream) == ["0", "2", "4"]


async def test_group_by_a_field_a_name_and_a_function() -> None:
    class Order(msgspec.Struct):
        country: str

    def country(order: Order) -> str:
        return order.country.upper()

    order = Order("de")
    for key, name, expected in ((Order.country, None, "de"), ("country", None, "de"), (country, "upper", "DE")):
        stream, *_ = a_stream(chunk([order]))
        grouped = stream.group_by(key, name=name, partitions=3)
        assert await all_of(grouped) == [(f"by-{name or 'country'}-3", expected, order)]
    stream, *_ = a_stream(chunk([{"country": "fr"}]))
    assert (await all_of(stream.group_by("country")))[0][1] == "fr"
    with pytest.raises(ConfigurationError, match="needs a name"):
        a_stream()[0].group_by(lambda value: value)


async def test_through_goes_on_from_another_topic() -> None:
    assert await all_of(a_stream(*numbers(1))[0].through("elsewhere")) == [("elsewhere", None, 0)]


async def test_a_stream_without_a_partition_says_so() -> None:
    with pytest.raises(ConfigurationError, match="no partition"):
        await all_of(Stream[Any](None, a_lane()[0], Program()))


async def test_events_are_sent_on_by_the_program() -> None:
    stream, *_ = a_stream(chunk(["a"], 0, [(("h", b"1"),)]))
    program = stream.program
    assert isinstance(program, Program)
    async for event in stream.events():
        await (await event.send("one"))
        await (await event.forward("two", key=None, headers={}))
    assert program.sent == [("one", "k0", "a", (("h", b"1"),)), ("two", None, b"'a'", {})]


# -- several events at a time ----------------------------------------------------------------------


async def test_take_gathers_across_chunks_and_never_takes_more() -> None:
    stream, feed, *_ = a_stream(*numbers(2, 3, 1), None)
    assert await all_of(stream.take(4, within=10)) == [[0, 1, 2, 3], [4, 5]]
    assert feed.limits[:2] == [4, 2]


async def test_take_gives_up_waiting_after_a_while() -> None:
    stream, feed, *_ = a_stream(*numbers(1), None, *[chunk([9], 1)])
    taken = stream.take(3, within=timedelta(seconds=2))
    assert await anext(taken) == [0]
    assert feed.timeouts == [None, 2.0]
    assert feed.now == 2.0


async def test_take_without_a_time_waits_for_all() -> None:
    stream, feed, *_ = a_stream(*numbers(1, 1))
    assert await anext(stream.take(2, within=0)) == [0, 1]
    assert feed.timeouts == [None, None]


async def test_what_was_taken_is_complete_together() -> None:
    stream, _, lane, effects = a_stream(*numbers(2, 2))
    taken = stream.take(2, within=1)
    await anext(taken)
    note(lane, "first")
    assert (len(effects), len(lane.held)) == (0, 1)
    await anext(taken)
    assert (len(effects), len(lane.held)) == (1, 1)


async def test_an_incomplete_take_is_not_given_at_the_end() -> None:
    stream, _, lane, _ = a_stream(*numbers(1))
    assert await all_of(stream.take(2, within=10)) == []
    assert [one.values for one in lane.held] == [[0]]


async def test_take_through_filters_counts_what_came_in() -> None:
    stream, *_ = a_stream(*numbers(6))
    assert await all_of(stream.filter(lambda value: value > 1).take(2, within=1)) == [[2, 3], [4, 5]]


async def test_rows_that_are_to_be_alone_are_not_gathered() -> None:
    alone = chunk([0])
    alone.alone = True
    stream, *_ = a_stream(alone, chunk([1, 2], 1))
    assert await all_of(stream.take(2, within=1)) == [[0], [1, 2]]


async def test_take_events_and_timestamps() -> None:
    stream, *_ = a_stream(chunk([{"n": 1}, {"n": 2}], 4))
    assert [[event.key for event in events] async for events in stream.take_events(2, 1)] == [["k4", "k5"]]
    stream, *_ = a_stream(chunk([{"n": 1}, {"n": 2}], 4))
    assert await all_of(stream.take_with_timestamp(2, 1, "at")) == [[{"n": 1, "at": 4.0}, {"n": 2, "at": 5.0}]]


@pytest.mark.parametrize("many", ["take", "batches"])
async def test_each_row_is_processed_as_itself(many: str) -> None:
    stream, _, _, effects = a_stream(*numbers(2, 1))
    stream.echo("copy")
    await all_of(stream.take(3, within=1) if many == "take" else stream.batches())
    assert [(send.key, send.value) for send in effects] == [(b"k0", b"0"), (b"k1", b"1"), (b"k2", b"2")]


async def test_batches_are_columns() -> None:
    stream, *_ = a_stream(*numbers(2, 2))
    batches = await all_of(stream.filter(lambda value: value != 2).batches())
    assert [list(batch.values) for batch in batches] == [[0, 1], [3]]
    assert [batch.keys for batch in batches] == [["k0", "k1"], ["k3"]]
    assert [batch.offsets for batch in batches] == [[0, 1], [3]]
    assert [batch.timestamps_ms for batch in batches] == [[0, 1_000], [3_000]]
    assert [len(batch) for batch in batches] == [2, 1]


async def test_a_batch_is_one_event() -> None:
    stream, _, lane, effects = a_stream(*numbers(2, 2))
    batches = stream.batches()
    await anext(batches)
    note(lane, "first")
    assert len(effects) == 0
    await anext(batches)
    assert [send.value for send in effects] == [b"first"]


async def test_frames_of_structs_dicts_and_plain_values() -> None:
    class Point(msgspec.Struct):
        x: int
        y: float

    for values, expected in (
        ([Point(1, 2.0)], [{"x": 1, "y": 2.0}]),
        ([{"x": 1}], [{"x": 1}]),
        ([3, 4], [{"value": 3}, {"value": 4}]),
    ):
        stream, *_ = a_stream(chunk(values))
        (batch,) = await all_of(stream.batches())
        assert batch.frame().to_dicts() == expected


# -- leaving and coming back -----------------------------------------------------------------------


async def test_breaking_off_completes_the_event_and_keeps_the_rows_behind_it() -> None:
    stream, _, lane, effects = a_stream(*numbers(3))
    async for value in stream:
        note(lane, value)
        break
    lane.leave()
    assert [send.value for send in effects] == [b"0"]
    assert [one.values for one in lane.left] == [[1, 2]]
