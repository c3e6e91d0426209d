"""The page `/metrics`: what the engine's statistics say, under the names of docs/metrics.md."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client import Counter
from prometheus_client.parser import text_string_to_metric_families

import pelton
from pelton.batch import RecordBatch, TopicPartition
from pelton.log.kafka.group import GroupStatistics
from pelton.log.kafka.log import LogStatistics
from pelton.metrics.exposition import Snapshot, exposition
from pelton.metrics.lag import PartitionLag
from pelton.runtime.measures import Measures
from pelton.runtime.partition import PartitionStatistics, PartitionStorage
from pelton.runtime.standby import StandbyStatistics
from pelton.runtime.statistics import RuntimeStatistics
from pelton.runtime.task_options import TaskStatistics
from pelton.state.cache import CacheStatistics
from pelton.state.rocksdb import RocksStatistics
from tests.metrics_page import documented_labels, documented_name


def measures() -> Measures:
    found = Measures()
    found.fetched(RecordBatch("orders", 1, [7, 8], [0, 0], [None, None], [b"a", b"b"], 9, nbytes=2))
    found.decode_s["orders"].observe(0.001)
    found.process_s["charge"].observe(0.3)
    for seconds in (0.004, 0.006, 99.0):
        found.commit_s.observe(seconds)
    found.written.update({"paid": 4})
    return found


STATISTICS = RuntimeStatistics(
    records_in=120,
    committed_records=100,
    commits=7,
    commit_failures=1,
    rebalances=2,
    dead_lettered=3,
    records_lost=4,
    lag={TopicPartition("orders", 1): 55},
    partitions=(
        PartitionStatistics(0, "running", 0, 400, 400, 2.0),
        PartitionStatistics(1, "restoring", 0, 250, 1_000, 5.0),
        PartitionStatistics(2, "restoring", 0, 0, 10, 0.0),
    ),
    tasks=(TaskStatistics("charge", 1, 50, 3, 5, 6, 700, True, 40_000),),
    standbys=(StandbyStatistics(3, {"sums": 9}, 30),),
    measured=measures().statistics(),
    log=LogStatistics(11, 1, 0, 0, 0, {"orders": 2}),
    group=GroupStatistics("me", 1, 1, 1, 2, 2, 4, 44, 7, 1),
)

SNAPSHOT = Snapshot(
    "shop",
    100_000,
    STATISTICS,
    storage=(
        PartitionStorage(
            1, {"sums": CacheStatistics(8, 2, 900, 4)}, RocksStatistics(10, 2_000, 30, 5, 1, 1, 0, 77, 600)
        ),
    ),
    lags=(PartitionLag("orders", 1, 40, 60, 20, 12.5, "WARN", 1.0, 2.5),),
)


def samples(snapshot: Snapshot = SNAPSHOT) -> dict[tuple[str, str], float]:
    """Return (name, labels) -> value of everything on the page."""
    text = exposition(lambda: snapshot).decode()
    return {
        (sample.name, ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_how_far_a_restore_is_and_how_long_it_takes() -> None:
    found = samples()
    assert found["pelton_partition_running", "partition=0"] == 1
    assert found["pelton_partition_running", "partition=1"] == 0
    assert found["pelton_restore_records", "partition=1"] == 250
    assert found["pelton_restore_records_expected", "partition=1"] == 1_000
    assert found["pelton_restore_left_seconds", "partition=1"] == 15
    assert found["pelton_restore_left_seconds", "partition=0"] == 0
    assert ("pelton_restore_left_seconds", "partition=2") not in found


def test_counters_lag_and_standbys() -> None:
    found = samples()
    assert found["pelton_records_processed_total", ""] == 120
    assert found["pelton_records_committed_total", ""] == 100
    assert found["pelton_records_dead_lettered_total", ""] == 3
    assert found["pelton_records_lost_total", ""] == 4
    assert (found["pelton_commits_total", ""], found["pelton_commit_failures_total", ""]) == (7, 1)
    assert found["pelton_rebalances_total", ""] == 2
    assert found["pelton_lag_records", "partition=1,topic=orders"] == 55
    assert found["pelton_standby_lag_records", "partition=3,table=sums"] == 9


def test_durations_are_histograms() -> None:
    """Buckets are cumulative, and a bound is within its own bucket."""
    found = samples()
    assert found["pelton_decode_seconds_bucket", "le=0.001,topic=orders"] == 1
    assert found["pelton_process_seconds_sum", "agent=charge"] == 0.3
    commits = {labels: value for (name, labels), value in found.items() if name == "pelton_commit_seconds_bucket"}
    assert (commits["le=0.0025"], commits["le=0.005"], commits["le=0.01"]) == (0, 1, 2)
    assert (commits["le=30.0"], commits["le=+Inf"]) == (2, 3)
    assert found["pelton_commit_seconds_count", ""] == 3
    assert found["pelton_commit_seconds_sum", ""] == 99.01


def test_what_was_fetched_ends_when_its_partition_leaves() -> None:
    found = measures()
    found.fetched(RecordBatch("orders", 2, [0], [0], [None], [b"c"], 1, nbytes=1))
    found.left(1)
    assert list(found.statistics().fetched) == [TopicPartition("orders", 2)]
    assert found.written_ms(TopicPartition("orders", 1), 7) is None


def test_agents_flows_and_what_is_stored() -> None:
    found = samples()
    assert found["pelton_records_fetched_total", "partition=1,topic=orders"] == 2
    assert found["pelton_records_written_total", "topic=paid"] == 4
    assert found["pelton_agent_late_events_total", "agent=charge,partition=1"] == 6
    assert found["pelton_agent_paused", "agent=charge,partition=1"] == 1
    assert found["pelton_agent_watermark_delay_seconds", "agent=charge,partition=1"] == 60
    assert found["pelton_cache_bytes", "partition=1,table=sums"] == 900
    assert found["pelton_store_disk_bytes", "partition=1"] == 2_000
    assert found["pelton_store_stalls_total", "partition=1"] == 1
    assert found["pelton_store_block_cache_bytes", ""] == 600
    assert found["pelton_under_replicated_partitions", "topic=orders"] == 2


def test_lag_as_it_is_committed_and_judged() -> None:
    found = samples()
    assert found["kafka_consumergroup_lag", "consumergroup=shop,partition=1,topic=orders"] == 20
    assert found["pelton_lag_seconds", "partition=1,topic=orders"] == 12.5
    assert found["pelton_lag_gathered_seconds", "partition=1,topic=orders"] == 2.5
    judged = {labels: value for (name, labels), value in found.items() if name == "pelton_lag_status"}
    assert [labels for labels, value in judged.items() if value] == ["partition=1,status=WARN,topic=orders"]
    assert len(judged) == 5


def test_every_metric_is_documented_with_its_labels_and_no_other() -> None:
    told: dict[str, set[frozenset[str]]] = {}
    for name, labels in samples():
        names = {label.split("=")[0] for label in labels.split(",") if label} - {"le"}
        told.setdefault(documented_name(name), set()).add(frozenset(names))
    assert told == {name: {labels} for name, labels in documented_labels().items()}


def test_the_series_of_a_partition_end_when_it_leaves() -> None:
    """Of what is told of partitions, nothing is left but what the worker still has."""
    left = replace(STATISTICS, partitions=(), tasks=(), standbys=(), lag={}, measured=Measures().statistics())
    told = {labels for _, labels in samples(replace(SNAPSHOT, statistics=left, storage=(), lags=()))}
    assert any("partition=1" in labels for _, labels in samples())
    assert not [labels for labels in told if "partition=" in labels]


def test_before_the_engine_has_started_there_is_nothing() -> None:
    assert exposition(lambda: None) == b""


def test_the_programs_own_metrics_are_on_the_same_page() -> None:
    app = pelton.App("orders")
    refused = Counter("orders_refused", "Orders that were refused.", registry=app.metrics)
    refused.inc(2)
    page = exposition(lambda: SNAPSHOT, app.metrics).decode()
    assert "orders_refused_total 2.0" in page
    assert "pelton_commits_total 7.0" in page
