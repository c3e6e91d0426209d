"""The time of a topic's events in a field of their values: read, bounded, and refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from pelton.aggregate import field_getter
from pelton.batch import RecordBatch
from pelton.codec import codec_for
from pelton.errors import ConfigurationError
from pelton.log.contract import TopicSpec
from pelton.runtime.event_time import EventTime
from pelton.runtime.source import DecodedBatch, SharedBatch
from pelton.runtime.spec import SourceSpec
from pelton.shell.topic import TopicOptions

RECORD_MS = 1_000_000


class Payment(msgspec.Struct, frozen=True):
    at: Any


def decoded(event_time: EventTime, *times: Any, raw: bytes | None = None) -> DecodedBatch:
    values = [msgspec.json.encode(Payment(time)) for time in times] + ([raw] if raw is not None else [])
    n = len(values)
    batch = RecordBatch("t", 0, range(n), [RECORD_MS] * n, [None] * n, values, n)
    return SharedBatch(batch).decode(
        SourceSpec(TopicSpec("t"), codec_for(str, role="key"), codec_for(Payment), False, event_time)
    )


def test_a_field_gives_the_times_of_a_batch() -> None:
    when = datetime(2026, 1, 2, tzinfo=UTC)
    found = decoded(EventTime(field_getter("at")), 1.5, 7, when.isoformat())
    assert found.batch.timestamps_ms == [1_500, 7_000, round(when.timestamp() * 1000)]
    assert not found.rejected


def test_a_time_that_cannot_be_read_is_rejected_with_its_reason_and_no_other() -> None:
    found = decoded(EventTime(field_getter("at")), 1.0, "yesterday", None, 2.0, raw=b"{")
    assert sorted(found.rejected) == [1, 2, 4]
    assert "could not read the time" in str(found.rejected[1])
    assert found.batch.timestamps_ms == [1_000, RECORD_MS, RECORD_MS, 2_000, RECORD_MS]


def test_one_event_from_the_year_2099_is_rejected_and_others_that_are_ahead_a_little_are_not() -> None:
    found = decoded(EventTime(field_getter("at"), max_future_ms=5_000), 1_005.0, 1_005.001, 4_070_908_800.0, 3.0)
    assert sorted(found.rejected) == [1, 2]
    assert "0.001 s ahead" not in str(found.rejected[1])
    assert "5.001 s ahead of its record, expected at most 5.000 s" in str(found.rejected[1])


def test_or_it_is_taken_to_be_as_far_ahead_as_it_may() -> None:
    found = decoded(EventTime(field_getter("at"), max_future_ms=5_000, cap=True), 1_005.0, 4_070_908_800.0, 3.0)
    assert not found.rejected
    assert found.batch.timestamps_ms == [1_005_000, 1_005_000, 3_000]


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ConfigurationError, match='expected "dead_letter" or "cap"'):
        TopicOptions(timestamp="at", future="ignore")
    with pytest.raises(ConfigurationError, match="needs timestamp=field"):
        TopicOptions(max_future=5)
