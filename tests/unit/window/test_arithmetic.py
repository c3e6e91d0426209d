import pytest

from pelton.errors import ConfigurationError
from pelton.window import HoppingWindow, SessionWindow, SlidingWindow, TumblingWindow, Window


@pytest.mark.parametrize(
    ("timestamp_ms", "start_ms"), [(0, 0), (59_999, 0), (60_000, 60_000), (-1, -60_000), (-60_000, -60_000)]
)
def test_a_tumbling_window_is_half_open(timestamp_ms, start_ms):
    window = TumblingWindow(60_000)
    assert window.start(timestamp_ms) == start_ms
    assert window.window(timestamp_ms) == Window(start_ms, start_ms + 60_000)


def test_a_timestamp_lies_in_several_hopping_windows():
    hopping = HoppingWindow(size_ms=600, step_ms=200)
    assert hopping.windows(650) == [Window(200, 800), Window(400, 1000), Window(600, 1200)]
    assert hopping.latest_start(650) == 600


def test_a_step_above_the_size_leaves_gaps():
    hopping = HoppingWindow(size_ms=10, step_ms=25)
    assert list(hopping.starts(9)) == [0]
    assert list(hopping.starts(10)) == []


def test_a_sliding_window_holds_both_ends():
    window = SlidingWindow(before_ms=10, after_ms=0).window(100)
    assert window.start_ms <= 90
    assert window.start_ms <= 100 < window.end_ms


def test_a_session_begins_alone():
    assert SessionWindow(10).merge(5, []) == (Window(5, 15), ())


def test_a_record_between_two_sessions_joins_them():
    before, after = Window(0, 15), Window(22, 40)
    assert SessionWindow(10).merge(12, [after, Window(90, 100), before]) == (Window(0, 40), (after, before))


def test_records_a_gap_apart_share_a_session_and_further_ones_do_not():
    session = SessionWindow(10)
    first = session.merge(0, []).session
    assert session.merge(10, [first]).session == Window(0, 20)
    assert session.merge(11, [first]).merged == ()


@pytest.mark.parametrize(
    "make",
    [
        lambda: TumblingWindow(0),
        lambda: HoppingWindow(0, 1),
        lambda: HoppingWindow(1, 0),
        lambda: SlidingWindow(-1, 0),
        lambda: SlidingWindow(0, -1),
        lambda: SessionWindow(0),
    ],
)
def test_impossible_lengths_are_refused(make):
    with pytest.raises(ConfigurationError, match=r"_ms: expected .* got"):
        make()
