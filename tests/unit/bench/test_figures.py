"""The arithmetic between what was seen and what is reported."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.latency import Timeline, percentile
from bench.progress import Progress
from bench.report import as_json, each_round, insert_figures, middle, ratios, throughput_table
from bench.systems import pelton, stock_faust
from bench.throughput import BATCH_RECORDS, Sample, Throughput, failed, outgoing, speed
from bench.w1 import Totals, Workload, records
from bench.worker import Worker, WorkerFailed

FAST = Throughput(pelton("kafka"), 1_000_000, 300_000.0, 3.0, 200.0, 6.0, 1e7, 0.0, [])
SLOW = Throughput(stock_faust(Path("python")), 50_000, 3_000.0, 360.0, 90.0, 20.0, 1e7, 0.0, [])


def test_speed_counts_only_what_lies_between_the_first_commit_and_the_last() -> None:
    samples = [Sample(2.0, 100, 1.5), Sample(3.0, 600, 2.0), Sample(4.0, 1_100, 2.5)]
    assert speed(samples) == (500.0, 1_000.0)


def test_a_single_commit_is_refused_as_a_measurement() -> None:
    with pytest.raises(ValueError, match="committed at once"):
        speed([Sample(2.0, 100, 1.5)])


def test_batches_hold_every_record_once_and_in_order() -> None:
    inputs = list(records(Workload(records=9_000)))
    batches = list(outgoing("t", inputs))
    assert max(map(len, batches)) == BATCH_RECORDS
    for partition in range(4):
        values = [value for batch in batches if batch.partition == partition for value in batch.values]
        assert values == [record.value for record in inputs if record.partition == partition]


def test_json_has_exactly_the_published_fields() -> None:
    assert as_json([FAST, failed(SLOW.system, 50_000, "it broke")]) == [
        {
            "system": "pelton",
            "log": "kafka",
            "work": "W1",
            "records_per_s": 300_000.0,
            "cpu_s_per_million": 3.0,
            "peak_rss_mib": 200.0,
            "correct": True,
        },
        {
            "system": "faust-streaming 0.15.3",
            "log": "kafka",
            "work": "W1",
            "records_per_s": 0.0,
            "cpu_s_per_million": 0.0,
            "peak_rss_mib": 0.0,
            "correct": False,
        },
    ]


def test_ratios_compare_pelton_with_every_other_system() -> None:
    (line,) = ratios([FAST, SLOW])
    assert "pelton on kafka: 100.0 times" in line
    assert "1/120.0 of the CPU" in line
    assert len(ratios([FAST, FAST, SLOW, SLOW])) == 4
    assert ratios([FAST, failed(SLOW.system, 50_000, "it broke")]) == []


def test_of_several_rounds_the_middle_one_counts_unless_one_was_wrong() -> None:
    fastest, slowest = replace(FAST, records_per_s=900_000.0), replace(FAST, records_per_s=10.0)
    assert middle([fastest, SLOW, FAST, slowest]) == [FAST, SLOW]
    assert middle([fastest, FAST]) == [FAST]
    assert each_round([fastest, SLOW, FAST])[0] == "- pelton on kafka: 900,000, 300,000 records/s"
    wrong = replace(slowest, faults=["lost"])
    assert middle([fastest, wrong, FAST]) == [wrong]


def test_the_table_names_the_fault_of_a_wrong_run() -> None:
    assert "NO: it broke" in throughput_table([failed(FAST.system, 10, "it broke")])


def test_figures_replace_only_what_stands_between_their_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- figures -->\nold\n<!-- /figures -->\nafter\n")
    insert_figures("new", page)
    assert page.read_text() == "before\n<!-- figures -->\nnew\n<!-- /figures -->\nafter\n"


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\nafter\n")
    with pytest.raises(ValueError, match="lacks"):
        insert_figures("new", page)
    assert page.read_text() == "before\nafter\n"


def test_each_system_reads_its_own_changelog() -> None:
    assert FAST.system.totals(b'{"count":2,"sum":3.5}') == Totals(2, 3.5)
    assert SLOW.system.totals(b"[2, 3.5]") == Totals(2, 3.5)


def test_percentiles_are_nearest_rank() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]


def test_latency_leaves_out_the_warm_up_and_counts_what_is_outstanding() -> None:
    timeline = Timeline(
        due={"early": 0.0, "late": 20.0, "lost": 21.0}, seen={"early": 2.0, "late": 20.25, "first": 0.5}
    )
    assert timeline.latencies_ms() == [250.0]
    assert timeline.outstanding() == 1


def test_progress_says_steps_at_once_and_ticks_seldom() -> None:
    sink = io.StringIO()
    progress = Progress(sink, every_s=1_000)
    progress.step("begins")
    progress.tick("is running")
    assert sink.getvalue().endswith("s] begins\n")


def test_a_worker_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such topic')"]
    worker = Worker(command, {}, tmp_path / "worker.log", tmp_path)
    with worker, pytest.raises(WorkerFailed, match="no such topic"):
        _check_for_ever(worker)


def test_a_worker_is_measured_from_outside_and_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "b = b'x' * (64 << 20)\nwhile True: pass"]
    with Worker(command, {}, tmp_path / "worker.log", tmp_path) as worker:
        while worker.cpu_s() < 0.2 or worker.peak_rss_mib() < 64:
            worker.check()
    with pytest.raises(WorkerFailed, match="ended with code -15"):
        worker.check()


def _check_for_ever(worker: Worker) -> None:
    while True:
        worker.check()
