"""The arithmetic of windowed tables, against a definition that a child could check."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import tzset

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelton import App, WindowedTable
from pelton.errors import ConfigurationError
from pelton.window import as_ms, milliseconds


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    return App("windowed", datadir=str(tmp_path_factory.mktemp("data")))


TIMES = st.integers(0, 2**42)


@given(time_ms=TIMES, size=st.integers(1, 500), parts=st.integers(1, 20))
def test_a_time_lies_in_exactly_its_windows(app: App, time_ms: int, size: int, parts: int) -> None:
    step = max(1, size // parts)
    app.tables.pop("t", None)
    table: WindowedTable[str, int] = app.Table("t", default=int).hopping(size / 1000, step / 1000)
    first = max(0, time_ms - 2 * size) // step * step
    expected = [start for start in range(first, time_ms + 1, step) if start <= time_ms < start + size]
    assert [start for start in table.starts(time_ms) if start >= 0] == expected
    assert table.latest_start(time_ms) == expected[-1]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (1.5, 1500),
        (2, 2000),
        ("1970-01-01T00:00:01+00:00", 1000),
        ("1970-01-01T01:00:01.5+01:00", 1500),
        (datetime(1970, 1, 1, 0, 0, 3, tzinfo=UTC), 3000),
        (datetime(1970, 1, 1, 0, 0, 3), 3000),
        ("1970-01-01T00:00:01", 1000),
        (-62_135_596_800, -62_135_596_800_000),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_times(time: object, expected: int, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", zone)
        tzset()
        try:
            assert as_ms(time) == expected
        finally:
            patched.undo()
            tzset()


@pytest.mark.parametrize("time", [1_700_000_000_000, 1e300, -1e12, float("nan"), float("inf"), "tomorrow"])
def test_times_outside_of_the_calendar_are_no_times(time: object) -> None:
    with pytest.raises(ValueError, match=r"expected a time in seconds|Invalid isoformat"):
        as_ms(time)


def test_durations() -> None:
    assert milliseconds(1.5) == milliseconds(timedelta(milliseconds=1500)) == 1500


def test_a_field_that_is_none_is_refused(app: App) -> None:
    app.tables.pop("t", None)
    with pytest.raises(ConfigurationError, match="expected a model's field"):
        app.Table("t").tumbling(1).relative_to_field(object())


def test_only_agents_write(app: App) -> None:
    app.tables.pop("t", None)
    table = app.Table("t", default=int).tumbling(1)
    with pytest.raises(ConfigurationError, match="within an agent"):
        table["k"] = 1
