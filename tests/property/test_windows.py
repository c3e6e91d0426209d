"""Windows against models that enumerate instead of calculating."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pelton.errors import ConfigurationError
from pelton.window import (
    HoppingWindow,
    SessionWindow,
    SlidingWindow,
    TumblingWindow,
    Watermark,
    Window,
    hopping_starts,
    tumbling_starts,
)

#: A shared machine may stop for longer than hypothesis allows an example.
unhurried = settings(deadline=None)
timestamps = st.integers(-1_000, 1_000)
lengths = st.integers(1, 300)
columns = st.lists(timestamps, max_size=40)


def enumerated(timestamp_ms: int, size_ms: int, step_ms: int) -> list[Window]:
    around = range(-2_000 // step_ms, 2_000 // step_ms + 1)
    windows = [Window(k * step_ms, k * step_ms + size_ms) for k in around]
    return [window for window in windows if window.start_ms <= timestamp_ms < window.end_ms]


@unhurried
@given(timestamps, lengths)
def test_a_timestamp_has_one_tumbling_window(timestamp_ms, size_ms):
    tumbling = TumblingWindow(size_ms)
    assert [tumbling.window(timestamp_ms)] == enumerated(timestamp_ms, size_ms, size_ms)
    assert tumbling.start(timestamp_ms) == tumbling.window(timestamp_ms).start_ms


@unhurried
@given(timestamps, lengths, lengths)
def test_hopping_windows_are_those_that_hold_the_timestamp(timestamp_ms, size_ms, step_ms):
    assert HoppingWindow(size_ms, step_ms).windows(timestamp_ms) == enumerated(timestamp_ms, size_ms, step_ms)


@unhurried
@given(timestamps, timestamps, st.integers(0, 300), st.integers(0, 300))
def test_a_sliding_window_holds_its_neighbours(timestamp_ms, other_ms, before_ms, after_ms):
    window = SlidingWindow(before_ms, after_ms).window(timestamp_ms)
    inside = -before_ms <= other_ms - timestamp_ms <= after_ms
    assert (window.start_ms <= other_ms < window.end_ms) == inside


@unhurried
@given(columns, lengths)
def test_the_vectorised_tumbling_windows_are_the_scalar_ones(column, size_ms):
    starts = tumbling_starts(np.array(column, dtype=np.int64), size_ms)
    assert starts.tolist() == [TumblingWindow(size_ms).start(timestamp_ms) for timestamp_ms in column]


@unhurried
@given(columns, lengths, lengths)
def test_the_vectorised_hopping_windows_are_the_scalar_ones(column, size_ms, step_ms):
    rows, starts = hopping_starts(np.array(column, dtype=np.int64), size_ms, step_ms)
    hopping = HoppingWindow(size_ms, step_ms)
    expected = [(row, start) for row, timestamp_ms in enumerate(column) for start in hopping.starts(timestamp_ms)]
    assert list(zip(rows.tolist(), starts.tolist(), strict=True)) == expected


def test_vectorised_windows_refuse_what_scalar_ones_do():
    column = np.array([1], dtype=np.int64)
    for call in (lambda: tumbling_starts(column, 0), lambda: hopping_starts(column, 0, 1)):
        with pytest.raises(ConfigurationError):
            call()


def sessions_of(column: list[int], gap_ms: int) -> list[Window]:
    """Return the sessions of a finished history: cut wherever sorted timestamps lie more than a gap apart."""
    sessions: list[Window] = []
    for timestamp_ms in sorted(column):
        if sessions and timestamp_ms <= sessions[-1].end_ms:
            sessions[-1] = Window(sessions[-1].start_ms, timestamp_ms + gap_ms)
        else:
            sessions.append(Window(timestamp_ms, timestamp_ms + gap_ms))
    return sessions


@unhurried
@given(columns, lengths)
def test_merging_sessions_in_any_order_gives_those_of_the_whole_history(column, gap_ms):
    window = SessionWindow(gap_ms)
    sessions: set[Window] = set()
    for timestamp_ms in column:
        reach = window.reach(timestamp_ms)
        near = {s for s in sessions if s.start_ms <= reach.end_ms and s.end_ms >= reach.start_ms}
        session, merged = window.merge(timestamp_ms, sessions)
        assert set(merged) == near
        sessions = (sessions - near) | {session}
    assert sorted(sessions) == sessions_of(column, gap_ms)


@unhurried
@given(st.lists(st.tuples(st.integers(0, 2), timestamps)), st.integers(0, 100))
def test_the_watermark_is_the_least_of_the_partitions_and_never_goes_back(seen, disorder_ms):
    watermark = Watermark(range(3), out_of_orderness_ms=disorder_ms)
    latest: dict[int, int] = {}
    reached = None
    for partition, timestamp_ms in seen:
        watermark.observe(partition, timestamp_ms)
        latest[partition] = max(timestamp_ms, latest.get(partition, timestamp_ms))
        expected = min(latest.values()) - disorder_ms if len(latest) == 3 else None
        assert watermark.watermark_ms == expected
        assert reached is None or expected is not None
        assert reached is None or expected >= reached
        reached = expected
