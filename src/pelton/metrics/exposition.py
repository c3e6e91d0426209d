"""What the engine's statistics look like to Prometheus: the text of the page `/metrics`.

Nothing is counted here: each answer is made of the engine's own statistics, as they are when it is asked for. A
partition that has left is not among them, so its series end. Every name is in docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from pelton.metrics.burrow import SEVERITIES
from pelton.metrics.lag import PartitionLag
from pelton.runtime.measures import Distribution, Measured
from pelton.runtime.partition import PartitionStatistics, PartitionStorage
from pelton.runtime.statistics import RuntimeStatistics
from pelton.runtime.task_options import TaskStatistics

__all__ = ["CONTENT_TYPE", "EngineCollector", "Snapshot", "exposition"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Counters without labels: name, help, field of RuntimeStatistics.
_COUNTERS = (
    ("pelton_records_processed", "Events whose handling is complete.", "records_in"),
    ("pelton_records_committed", "Events that are committed.", "committed_records"),
    ("pelton_records_dead_lettered", "Records that went to the dead-letter topic.", "dead_lettered"),
    ("pelton_records_lost", "Records that the log deleted before they were read.", "records_lost"),
    ("pelton_commits", "Commits that succeeded.", "commits"),
    ("pelton_commit_failures", "Commits that failed; processing went back to the one before.", "commit_failures"),
    ("pelton_rebalances", "Assignments that this worker was given.", "rebalances"),
)

#: Of each agent and partition: name, help, field of TaskStatistics.
_AGENT_COUNTERS = (
    ("pelton_agent_events", "Events that an agent has completed.", "events"),
    ("pelton_agent_failures", "Attempts at events that failed.", "failures"),
    ("pelton_agent_dead_lettered", "Records that an agent gave up.", "dead_lettered"),
    ("pelton_agent_late_events", "Events whose windows were closed already.", "late_events"),
)
_AGENT_GAUGES = (
    ("pelton_agent_queued_bytes", "Bytes that were fetched and wait for an agent.", "queued_bytes"),
    ("pelton_agent_paused", "1 while an agent is paused, else 0.", "paused"),
)

#: Of each partition's store: name, help, field of what the store tells; whether it only grows.
_STORE = (
    ("pelton_store_keys", "Keys in a partition's store, about.", "keys", False),
    ("pelton_store_disk_bytes", "Bytes of a partition's store on disk.", "disk_bytes", False),
    ("pelton_store_memory_bytes", "Bytes of a partition's store in memory.", "memory_bytes", False),
    ("pelton_store_writes", "Batches that were written to a partition's store.", "writes", True),
    ("pelton_store_stalls", "Writes that had to wait for a compaction.", "stalls", True),
    ("pelton_store_compactions", "Compactions that run in a partition's store.", "compactions", False),
    ("pelton_store_flushes", "Flushes that run in a partition's store.", "flushes", False),
    (
        "pelton_store_compaction_pending_bytes",
        "Bytes that compactions have to rewrite, about.",
        "compaction_pending_bytes",
        False,
    ),
)

#: What only some logs tell: name, help, field; of the connection, or of the membership.
_LOG = (
    ("pelton_log_requests", "Requests to brokers.", "requests"),
    ("pelton_log_retries", "Requests that were tried again.", "retries"),
)
_GROUP = (("pelton_log_written_bytes", "Bytes that commits wrote to the log, compressed.", "bytes_written"),)

_PARTITION = ["topic", "partition"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A worker's engine at one moment.

    app_id: the application's, and so its group's. time_ms: the wall clock. lags: see `pelton.metrics.lag.LagWatch`.
    """

    app_id: str
    time_ms: int
    statistics: RuntimeStatistics
    storage: Sequence[PartitionStorage] = ()
    lags: Sequence[PartitionLag] = ()


class EngineCollector:
    """Reads the engine; None stands for one that has not started."""

    def __init__(self, look: Callable[[], Snapshot | None]) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as of now."""
        now = self._look()
        if now is None:
            return
        statistics = now.statistics
        for name, help_, field in _COUNTERS:
            yield CounterMetricFamily(name, help_, getattr(statistics, field))
        yield from _flows(statistics.measured)
        yield from _durations(statistics.measured)
        yield from _agents(statistics.tasks, now.time_ms)
        yield from _lags(now)
        yield from _restores(statistics.partitions)
        yield from _standbys(statistics)
        yield from _storage(now.storage)
        yield from _log(statistics)


def _flows(measured: Measured) -> Iterator[Metric]:
    records = CounterMetricFamily("pelton_records_fetched", "Records that were fetched.", labels=_PARTITION)
    nbytes = CounterMetricFamily(
        "pelton_fetched_bytes", "Bytes of keys and values that were fetched.", labels=_PARTITION
    )
    for source, flow in measured.fetched.items():
        records.add_metric([source.topic, str(source.partition)], flow.records)
        nbytes.add_metric([source.topic, str(source.partition)], flow.nbytes)
    written = CounterMetricFamily(
        "pelton_records_written", "Records that commits wrote, changelogs too.", labels=["topic"]
    )
    for topic, count in measured.written.items():
        written.add_metric([topic], count)
    yield from (records, nbytes, written)


def _durations(measured: Measured) -> Iterator[Metric]:
    yield _histogram("pelton_decode_seconds", "How long a fetched batch took to decode.", measured.decode_s, "topic")
    yield _histogram("pelton_process_seconds", "How long an agent took for a slice.", measured.process_s, "agent")
    yield _histogram("pelton_batch_records", "Records of a fetched batch.", measured.batch_records, "topic")
    for name, help_, one in (
        ("pelton_commit_seconds", "How long a commit took.", measured.commit_s),
        ("pelton_store_write_seconds", "How much of a commit the local stores took.", measured.store_write_s),
        ("pelton_commit_records", "Events of a commit.", measured.commit_records),
        ("pelton_restore_seconds", "How long a partition took to restore.", measured.restore_s),
        ("pelton_event_loop_delay_seconds", "How late the event loop answers.", measured.loop_delay_s),
    ):
        yield _histogram(name, help_, {"": one} if one is not None else {})


def _histogram(name: str, help_: str, found: Mapping[str, Distribution], label: str | None = None) -> Metric:
    family = HistogramMetricFamily(name, help_, labels=[label] if label else [])
    for value, one in found.items():
        bounds = [str(float(bound)) for bound in one.bounds] + ["+Inf"]
        buckets = list(zip(bounds, accumulate(one.counts), strict=True))
        family.add_metric([value] if label else [], buckets, one.total)
    return family


def _agents(tasks: Iterable[TaskStatistics], now_ms: int) -> Iterator[Metric]:
    labels = ["agent", "partition"]
    for kind, metrics in ((CounterMetricFamily, _AGENT_COUNTERS), (GaugeMetricFamily, _AGENT_GAUGES)):
        for name, help_, field in metrics:
            family = kind(name, help_, labels=labels)
            for task in tasks:
                family.add_metric([task.agent, str(task.partition)], getattr(task, field))
            yield family
    delay = GaugeMetricFamily(
        "pelton_agent_watermark_delay_seconds", "How far an agent's event time is behind the clock.", labels=labels
    )
    for task in tasks:
        if task.reached_ms is not None:
            delay.add_metric([task.agent, str(task.partition)], (now_ms - task.reached_ms) / 1000)
    yield delay


def _lags(now: Snapshot) -> Iterator[Metric]:
    fetched = GaugeMetricFamily(
        "pelton_lag_records", "Offsets between a position and its partition's end.", labels=_PARTITION
    )
    for source, records in now.statistics.lag.items():
        fetched.add_metric([source.topic, str(source.partition)], records)
    committed = GaugeMetricFamily(
        "kafka_consumergroup_lag",
        "Offsets between what is committed and the end.",
        labels=["consumergroup", *_PARTITION],
    )
    seconds = GaugeMetricFamily("pelton_lag_seconds", "Age of the first record not committed.", labels=_PARTITION)
    status = GaugeMetricFamily(
        "pelton_lag_status", "1 for what Burrow calls the partition, else 0.", labels=[*_PARTITION, "status"]
    )
    gathers = GaugeMetricFamily(
        "pelton_lag_gathered_seconds", "For how long agents hold a record on purpose at most.", labels=_PARTITION
    )
    for lag in now.lags:
        labels = [lag.topic, str(lag.partition)]
        committed.add_metric([now.app_id, *labels], lag.lag)
        seconds.add_metric(labels, lag.lag_s)
        gathers.add_metric(labels, lag.gathers_s)
        for name in SEVERITIES:
            status.add_metric([*labels, name], name == lag.status)
    yield from (fetched, committed, seconds, gathers, status)


def _restores(partitions: Iterable[PartitionStatistics]) -> Iterator[Metric]:
    running = GaugeMetricFamily(
        "pelton_partition_running", "1 when a partition number is restored and works, else 0.", labels=["partition"]
    )
    done = GaugeMetricFamily(
        "pelton_restore_records", "Changelog records replayed when the partition was restored.", labels=["partition"]
    )
    total = GaugeMetricFamily(
        "pelton_restore_records_expected", "Changelog records that the restore replays in all.", labels=["partition"]
    )
    left = GaugeMetricFamily(
        "pelton_restore_left_seconds",
        "How long the restore takes from here; missing while nobody can tell.",
        labels=["partition"],
    )
    for one in partitions:
        labels = [str(one.number)]
        running.add_metric(labels, one.state == "running")
        done.add_metric(labels, one.restored)
        total.add_metric(labels, one.restore_total)
        if one.restore_left_s is not None:
            left.add_metric(labels, one.restore_left_s)
    yield from (running, done, total, left)


def _standbys(statistics: RuntimeStatistics) -> Iterator[Metric]:
    behind = GaugeMetricFamily(
        "pelton_standby_lag_records",
        "Records between a warm copy and its changelog's end.",
        labels=["partition", "table"],
    )
    for copy in statistics.standbys:
        for table, records in copy.lag.items():
            behind.add_metric([str(copy.number), table], records)
    yield behind


def _storage(partitions: Sequence[PartitionStorage]) -> Iterator[Metric]:
    labels = ["partition", "table"]
    nbytes = GaugeMetricFamily("pelton_cache_bytes", "Bytes that a table's cache holds, about.", labels=labels)
    entries = GaugeMetricFamily("pelton_cache_entries", "Keys that a table's cache holds.", labels=labels)
    late = CounterMetricFamily("pelton_table_late_writes", "Writes to windows that had expired.", labels=labels)
    for partition in partitions:
        for table, cache in partition.caches.items():
            at = [str(partition.number), table]
            nbytes.add_metric(at, cache.nbytes)
            entries.add_metric(at, cache.entries)
            late.add_metric(at, cache.late_writes)
    yield from (nbytes, entries, late)
    for name, help_, field, grows in _STORE:
        kind = CounterMetricFamily if grows else GaugeMetricFamily
        family = kind(name, help_, labels=["partition"])
        for partition in partitions:
            if (value := getattr(partition.store, field, None)) is not None:
                family.add_metric([str(partition.number)], value)
        yield family
    shared = [getattr(partition.store, "block_cache_bytes", None) for partition in partitions]
    block = GaugeMetricFamily("pelton_store_block_cache_bytes", "Bytes of the block cache that all stores share.")
    if known := [value for value in shared if value is not None]:
        block.add_metric([], max(known))
    yield block


def _log(statistics: RuntimeStatistics) -> Iterator[Metric]:
    """Yield what the log tells of itself; a log that has no such thing has no such series."""
    for told, metrics in ((statistics.log, _LOG), (statistics.group, _GROUP)):
        for name, help_, field in metrics:
            if (value := getattr(told, field, None)) is not None:
                yield CounterMetricFamily(name, help_, value)
    lacking = GaugeMetricFamily(
        "pelton_under_replicated_partitions", "Partitions that lack a replica in sync.", labels=["topic"]
    )
    known: Mapping[str, int] = getattr(statistics.log, "under_replicated", {})
    for topic, count in sorted(known.items()):
        lacking.add_metric([topic], count)
    yield lacking


def exposition(look: Callable[[], Snapshot | None], program: CollectorRegistry | None = None) -> bytes:
    """Return the page, in Prometheus' text format. program: has the metrics that the program itself declares."""
    registry = CollectorRegistry()
    registry.register(EngineCollector(look))
    return generate_latest(registry) + (generate_latest(program) if program is not None else b"")
