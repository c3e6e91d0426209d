"""Burrow's rules, each with a test, in the order in which they apply."""

from __future__ import annotations

from typing import Any

from pelton.metrics.burrow import SEVERITIES, Commit, CommitWindow, Status, judge, worst

NOW_MS = 10_500


def commits(*points: tuple[int, int]) -> list[Commit]:
    """Return commits of (offset, lag), a second apart, the last of them half a second ago."""
    return [Commit(offset, lag, NOW_MS - 500 - 1_000 * back) for back, (offset, lag) in enumerate(reversed(points))][
        ::-1
    ]


def judged(window: list[Commit], lag: int, later_ms: int = 0, **options: Any) -> Status:
    return judge(window, lag, NOW_MS + later_ms, **{"waits_ms": 60_000, **options})


def test_rule_1_without_lag_now_it_is_ok_however_it_stood() -> None:
    assert judged(commits((5, 4), (5, 4)), 0, 60_000) == "OK"


def test_rule_2_silence_for_longer_than_the_window_is_a_stop() -> None:
    window = commits((5, 9), (6, 8), (7, 7))  # it spans two seconds, and ends half a second ago
    assert judged(window, 7, 1_500) == "OK"
    assert judged(window, 7, 1_501) == "STOP"
    assert judged(window, 7, 1_501, least_span_ms=5_000) == "OK"


def test_rule_2_who_stops_after_having_caught_up_has_stopped() -> None:
    window = commits((5, 4), (9, 0))
    assert judged(window, 7, 60_000, waits_ms=10_001, least_span_ms=10_000) == "STOP"
    assert judged(window, 7, 60_000, waits_ms=9_999, least_span_ms=10_000) == "OK", "there was nothing to commit"


def test_what_is_gathered_on_purpose_is_judged_only_when_it_is_overdue() -> None:
    window = commits((5, 1), (5, 2), (5, 3))
    options = {"gathers_ms": 20_000, "least_span_ms": 10_000}
    assert judged(window, 3, waits_ms=30_000, **options) == "OK"
    assert judged(window, 3, waits_ms=30_001, **options) == "STALL"
    assert judged(window, 3, 60_000, waits_ms=30_001, **options) == "STOP"
    assert judged(window, 3, waits_ms=30_000, gathers_ms=0, least_span_ms=10_000) == "STALL"


def test_rule_3_without_lag_at_any_time_of_the_window_it_is_ok() -> None:
    assert judged(commits((5, 4), (5, 4), (9, 0), (9, 7)), 7) == "OK"


def test_rule_4_an_offset_that_goes_back_is_a_rewind() -> None:
    assert judged(commits((5, 4), (3, 6), (8, 2)), 2) == "REWIND"


def test_rule_5_commits_that_do_not_move_are_a_stall() -> None:
    assert judged(commits((5, 4), (5, 4), (5, 6)), 6) == "STALL"
    assert judged(commits((5, 4), (5, 4), (6, 3)), 3) == "OK"


def test_rule_6_moving_with_lag_that_never_falls_is_a_warning() -> None:
    assert judged(commits((5, 4), (6, 4), (7, 9)), 9) == "WARN"
    assert judged(commits((5, 4), (6, 3), (7, 9)), 9) == "OK", "it fell once"


def test_a_stop_comes_before_a_stall() -> None:
    assert judged(commits((5, 4), (5, 4)), 4, 60_000) == "STOP"


def test_nothing_is_known_before_the_first_commit_nor_of_movement_from_one() -> None:
    assert judged([], 9) == "OK"
    assert judged(commits((5, 4)), 4, least_span_ms=1_000) == "OK"
    assert judged(commits((5, 4)), 4, 501, least_span_ms=1_000) == "STOP"


def test_the_window_slides_and_takes_one_commit_a_second() -> None:
    window = CommitWindow(intervals=3)
    for second in range(4):
        window.add(Commit(second, 0 if second == 0 else 5, 1_000 * second))
    assert window.complete == 1.0
    assert window.status(5, 3_500, 3_000) == "WARN", "the first commit, without lag, has slid out"
    window.add(Commit(9, 4, 3_900))  # too soon: it replaces the one before, at that one's time
    assert window.status(4, 4_000, 3_000) == "OK", "the lag fell"
    assert window.status(4, 6_000, 5_000) == "OK"
    assert window.status(4, 6_001, 5_000) == "STOP", "the last commit counts as one of 3,000 ms"


def test_a_young_window_counts_for_as_long_as_a_full_one() -> None:
    window = CommitWindow()
    window.add(Commit(5, 4, 0))
    assert window.complete == 0.1
    assert window.status(4, 10_000, 20_000) == "OK"
    assert window.status(4, 10_001, 20_000) == "STOP"


def test_the_worst_of_several() -> None:
    statuses: list[Status] = ["OK", "STALL", "WARN"]
    assert worst(statuses) == "STALL"
    assert worst([]) == "OK"
    assert [SEVERITIES[one] for one in ("OK", "WARN", "STALL", "STOP", "REWIND")] == [0, 1, 2, 2, 2]
