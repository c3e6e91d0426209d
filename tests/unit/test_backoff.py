"""When something that failed is tried again, and when it is given up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelton import Backoff
from pelton.errors import ConfigurationError


@given(
    first=st.floats(0, 10),
    factor=st.floats(1, 10),
    longest=st.floats(0, 100),
    jitter=st.floats(0, 1),
    attempt=st.integers(1, 10_000),
    place=st.text(),
)
def test_a_pause_is_the_grown_one_less_at_most_the_jitter(
    first: float, factor: float, longest: float, jitter: float, attempt: int, place: str
):
    backoff = Backoff(first=first, factor=factor, longest=longest, jitter=jitter)
    grown = min(first * factor ** min(attempt - 1, 64), longest)
    assert grown * (1 - jitter) <= backoff.pause_s(attempt, place) <= grown
    assert backoff.pause_s(attempt, place) == backoff.pause_s(attempt, place)


def test_what_failed_together_does_not_come_back_together():
    pauses = {Backoff(first=1, jitter=0.5).pause_s(1, f"orders[0]@{offset}") for offset in range(1_000)}
    assert len(pauses) > 990
    assert min(pauses) < 0.51
    assert max(pauses) > 0.99


def test_durations_may_be_timedeltas():
    backoff = Backoff(first=timedelta(milliseconds=5), longest=timedelta(minutes=1), jitter=0)
    assert [backoff.pause_s(attempt) for attempt in (1, 2, 30)] == [0.005, 0.01, 60.0]


@pytest.mark.parametrize(
    ("backoff", "error", "attempts"),
    [
        (Backoff(retries=2), OSError(), 3),
        (Backoff(retries=0), OSError(), 1),
        (Backoff(retries=None), OSError(), None),
        (Backoff(retries=2, retry_on=OSError), TimeoutError(), 3),
        (Backoff(retries=2, retry_on=OSError), ValueError(), 1),
        (Backoff(retries=2, retry_on=(OSError, KeyError)), KeyError(), 3),
        (Backoff(retries=2, give_up_on=(ValueError, KeyError)), KeyError(), 1),
        (Backoff(retries=2, retry_on=OSError, give_up_on=PermissionError), PermissionError(), 1),
        (Backoff(retries=2, retry_on=lambda error: "again" in str(error)), ValueError("try again"), 3),
        (Backoff(retries=2, retry_on=lambda error: "again" in str(error)), ValueError("never"), 1),
    ],
)
def test_how_often_an_error_is_tried(backoff: Backoff, error: Exception, attempts: int | None):
    given_up = (attempt for attempt in range(1, 1_000) if backoff.gives_up(error, attempt))
    assert next(given_up, None) == attempts


@pytest.mark.parametrize(
    "options",
    [
        {"retries": -1},
        {"retries": 1.5},
        {"retries": True},
        {"first": -1},
        {"first": "1s"},
        {"longest": None},
        {"factor": 0.5},
        {"jitter": 2},
        {"jitter": "some"},
        {"retry_on": "ValueError"},
        {"retry_on": int},
        {"give_up_on": (ValueError, 5)},
        {"give_up_on": None},
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any]):
    with pytest.raises(ConfigurationError, match=f"Backoff: {next(iter(options))}: expected") as caught:
        Backoff(**options)
    assert caught.value.hint
