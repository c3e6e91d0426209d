"""What the looks at `make demo` show: bounded or not, healthy or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.demo import MIB, Demo, Sample, figure, judge, text_of
from pelton.batch import OutgoingBatch
from pelton.log.contract import TopicSpec
from pelton.log.sqlite import SqliteLog

WELL = Sample(
    at_s=0.0,
    live=True,
    ready=True,
    level="ok",
    reasons=[],
    lag=3,
    lag_s=0.2,
    rate=50.0,
    dead_lettered=0,
    rss_mib={"app": 300.0, "simulate": 100.0},
    log_mib=80.0,
    state_mib=20.0,
    other_mib=5.0,
    kept_mib=1.0,
)
HOUR = [replace(WELL, at_s=15.0 * number) for number in range(241)]


def grown(name: str, per_hour: float, of: float) -> list[Sample]:
    return [replace(one, **{name: of + per_hour * one.at_s / 3600}) for one in HOUR]


def test_an_hour_in_which_nothing_grows_passes() -> None:
    verdict = judge(HOUR)
    assert verdict.passed
    assert (verdict.memory.per_hour_mib, verdict.disk.per_hour_mib, verdict.disk.last_mib) == (0, 0, 168)
    assert "Home said ok 241 times; alive 241 times, ready 241 times" in text_of(HOUR, verdict)
    assert figure(HOUR).count("polyline") == 5


def test_what_grows_is_found_and_what_is_meant_to_grow_is_not_counted() -> None:
    verdict = judge(grown("log_mib", 30.0, 80.0))
    assert not verdict.passed
    assert not verdict.disk.bounded
    assert verdict.disk.per_hour_mib == pytest.approx(30.0)
    kept = [replace(one, kept_mib=one.log_mib - 79) for one in grown("log_mib", 30.0, 80.0)]
    assert judge(kept).passed
    assert judge(kept).kept.per_hour_mib == pytest.approx(30.0)
    more = [replace(one, rss_mib={"app": 300 + 100 * one.at_s / 3600}) for one in HOUR]
    assert not judge(more).memory.bounded


def test_a_start_that_fills_what_is_bounded_is_no_growth() -> None:
    assert judge([replace(one, log_mib=min(80.0, one.at_s / 10)) for one in HOUR]).passed
    assert judge(grown("wal_mib", 60.0, 0.0)).passed
    assert not judge(grown("wal_mib", 60.0, 64.0)).disk.bounded


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"live": False}, "not alive"),
        ({"ready": False}, "not ready"),
        ({"level": "bad", "reasons": ["orders stands still"]}, "orders stands still"),
        ({"level": "silent"}, "without an answer"),
    ],
)
def test_one_bad_look_is_one_too_many(change: dict[str, object], fault: str) -> None:
    (found,) = judge([*HOUR[:-2], replace(HOUR[-2], **change), HOUR[-1]]).faults
    assert fault in found


def test_degraded_now_and_then_is_passed_over_and_dead_letters_are_not() -> None:
    degraded = replace(WELL, level="degraded", reasons=["transactions falls behind"])
    assert judge([replace(degraded, at_s=one.at_s) if 600 < one.at_s < 750 else one for one in HOUR]).passed
    assert not judge([replace(degraded, at_s=one.at_s) if 600 < one.at_s < 1000 else one for one in HOUR]).passed
    assert judge([*HOUR[:-1], replace(HOUR[-1], dead_lettered=2)]).faults == ["2 dead letters"]


def test_health_counts_from_where_it_has_caught_up() -> None:
    late = [replace(one, level="degraded", lag_s=100.0) if one.at_s < 900 else one for one in HOUR]
    assert judge(late).passed
    assert "caught up after 900 s" in text_of(late, judge(late))
    bad = replace(WELL, level="bad", at_s=15.0)
    assert judge([HOUR[0], bad, *HOUR[2:]]).passed, "the first look proves nothing"
    assert judge([replace(one, lag_s=100.0) for one in HOUR]).faults == ["it was never well"]


def test_a_run_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="a longer run is needed"):
        judge(HOUR[:7])


async def test_what_is_kept_for_ever_counts_at_its_share_of_the_file(tmp_path: Path) -> None:
    demo = Demo(tmp_path)
    demo.data.mkdir()
    log = SqliteLog(f"sqlite://{demo.data / 'log.sqlite'}?synchronous=off")
    await log.open()
    rows = TopicSpec("rows", 1, cleanup_policy="compact")
    await log.declare([TopicSpec("ever", 1, retention_ms=-1), TopicSpec("events", 1, retention_ms=600_000), rows])
    for topic in ("ever", "events", "rows", "events"):
        await log.append([OutgoingBatch(topic, 0, [b"k"], [b"v" * 100_000], [0])])
    topics, kept, free = demo._log()
    pages, size = await log.query(
        lambda db: [db.execute(f"PRAGMA {n}").fetchone()[0] for n in ("page_count", "page_size")]
    )
    await log.close()
    assert set(topics) == {"ever", "events", "rows"}
    assert kept == pytest.approx((pages * size / MIB - free) / 4, rel=0.01)


def test_versions_of_training_data_are_kept_for_ever(tmp_path: Path) -> None:
    demo = Demo(tmp_path)
    for path in ("hub/training/v1/chats.jsonl", "hub/warehouse/a.parquet", "v1/tables/0/b.sst", "log.sqlite"):
        file = demo.data / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 100_000)
    assert {kind for kind, nbytes in demo._sizes().items() if nbytes >= 100_000} == {
        "training",
        "other",
        "state",
        "log",
    }
