"""How fast a system works off W1, measured from outside its process.

The whole input lies in the log before the worker starts. The clock of records/s and CPU runs from the first committed
position that is seen to the last, and counts the records between the two: start-up, imports and the group's first
rebalance are left out, whatever the system, and so are the records of the first commit. The wall time from process
start is reported beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine import Stolen, loops_per_s
from bench.progress import Progress
from bench.systems import System
from bench.w1 import Expected, InputRecord, judge_alerts, judge_windows, last_values
from bench.worker import Worker
from pelton.batch import OutgoingBatch, TopicPartition
from pelton.log.contract import Log, TopicSpec

__all__ = ["Run", "Sample", "Throughput", "failed", "judge", "measure", "outgoing", "preload", "read_topic", "speed"]

#: Records in one batch of the preloaded log: what a producer under load sends at once.
BATCH_RECORDS = 1_000
#: How often the committed positions are looked at.
POLL_S = 0.02
#: A worker that commits nothing for so long has failed.
STALL_S = 90.0
READ_BYTES_MAX = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one system: fresh topics and a fresh data directory under one name.

    broker_url: where the worker finds the log. directory: takes the worker's state and output.
    """

    name: str
    broker_url: str
    directory: Path
    partitions: int

    @property
    def transactions(self) -> list[TopicPartition]:
        """The partitions of the input topic."""
        return [TopicPartition(f"{self.name}-transactions", n) for n in range(self.partitions)]

    @property
    def alerts(self) -> str:
        """The topic of the alerts."""
        return f"{self.name}-alerts"

    @property
    def changelog(self) -> str:
        """The changelog topic of the table."""
        return f"{self.name}-spending-changelog"

    @property
    def topics(self) -> list[str]:
        """All topics of the run."""
        return [self.transactions[0].topic, self.alerts, self.changelog]

    def worker(self, system: System) -> Worker:
        """Return the system's worker for this run, not yet started."""
        environment = {
            "W1_RUN": self.name,
            "BROKER_URL": self.broker_url,
            "APP_DATADIR": str(self.directory / "data"),
            **system.environment,
        }
        self.directory.mkdir(parents=True, exist_ok=True)
        return Worker(system.command, environment, self.directory / "worker.log", Path(__file__).parent.parent)


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at one moment: seconds since process start, records committed, CPU seconds used."""

    at_s: float
    committed: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Throughput:
    """What a run of W1 measured.

    wall_s: from process start to the last commit. machine_loops_per_s: the machine's speed just before the run.
    stolen_share: of the cores' time during the run, what the hypervisor gave to others.
    faults: empty when the output is exactly right.
    """

    system: System
    records: int
    records_per_s: float
    cpu_s_per_million: float
    peak_rss_mib: float
    wall_s: float
    machine_loops_per_s: float
    stolen_share: float
    faults: Sequence[str]


async def measure(
    system: System,
    run: Run,
    log: Log,
    *,
    inputs: Sequence[InputRecord],
    answer: Expected,
    progress: Progress,
) -> Throughput:
    """Preload the log, let the system work it off, and judge what it published.

    Raises: WorkerFailed when the worker ends or stands still.
    """
    progress.step(f"{system.label}: W1: preloading {len(inputs):,} records")
    await preload(log, run, inputs)
    progress.step(f"{system.label}: W1: worker started, {system.guarantee}")
    machine_loops_per_s = loops_per_s()
    stolen = Stolen()
    with run.worker(system) as worker:
        samples = await _watch(worker, run, log, len(inputs), progress)
        peak_rss_mib, stolen_share = worker.peak_rss_mib(), stolen.share()
    progress.step(f"{system.label}: W1: checking alerts and windows")
    faults = await judge(system, run, log, answer)
    records_per_s, cpu_s_per_million = speed(samples)
    return Throughput(
        system, len(inputs), records_per_s, cpu_s_per_million,
        peak_rss_mib, samples[-1].at_s, machine_loops_per_s, stolen_share, faults,
    )  # fmt: skip


def failed(system: System, records: int, reason: str) -> Throughput:
    """Return the result of a run that broke off: nothing measured, and not correct."""
    return Throughput(system, records, 0.0, 0.0, 0.0, 0.0, loops_per_s(), 0.0, [reason])


async def preload(log: Log, run: Run, inputs: Sequence[InputRecord]) -> None:
    """Create the topics that the program reads and writes, and append the input.

    Retention is unlimited because event time lies in the past.
    """
    topics = run.transactions[0].topic, run.alerts
    await log.declare([TopicSpec(topic, partitions=run.partitions, retention_ms=-1) for topic in topics])
    for batch in outgoing(topics[0], inputs):
        await log.append([batch])


def outgoing(topic: str, inputs: Sequence[InputRecord]) -> Iterator[OutgoingBatch]:
    """Yield the input as batches of `BATCH_RECORDS` of one partition, in the order they fill up."""
    filling: dict[int, OutgoingBatch] = {}
    for record in inputs:
        batch = filling.setdefault(record.partition, OutgoingBatch(topic, record.partition))
        batch.append(record.key, record.value, record.timestamp_ms)
        if len(batch) == BATCH_RECORDS:
            yield filling.pop(record.partition)
    yield from filling.values()


async def _watch(worker: Worker, run: Run, log: Log, records: int, progress: Progress) -> Sequence[Sample]:
    """Sample the run at every change of the committed positions until all records are committed."""
    started = time.monotonic()
    samples: list[Sample] = []
    changed = started
    while not samples or samples[-1].committed < records:
        worker.check()
        positions = await log.group_positions(run.name, run.transactions)
        now = time.monotonic()
        committed = sum(position.offset for position in positions.values())
        if committed > (samples[-1].committed if samples else 0):
            samples.append(Sample(now - started, committed, worker.cpu_s()))
            changed = now
        elif now - changed > STALL_S:
            raise worker.failed(f"no progress for {STALL_S:.0f} s at {committed:,} of {records:,} records")
        progress.tick(f"{run.name}: {committed:,} of {records:,} records committed")
        await asyncio.sleep(POLL_S)
    return samples


def speed(samples: Sequence[Sample]) -> tuple[float, float]:
    """Return records/s and CPU seconds per million records between the first commit seen and the last.

    Raises: ValueError when all was committed at once, so that there is nothing between the two.
    """
    first, last = samples[0], samples[-1]
    if last.committed == first.committed:
        raise ValueError(f"all {last.committed:,} records were committed at once; measure with more records")
    records = last.committed - first.committed
    return records / (last.at_s - first.at_s), (last.cpu_s - first.cpu_s) / records * 1e6


async def judge(system: System, run: Run, log: Log, answer: Expected) -> list[str]:
    """Read back what the run published, committed records only, and return what is wrong with it."""
    published = [value for _, value in await read_topic(log, run.alerts) if value is not None]
    windows = last_values(await read_topic(log, run.changelog))
    return judge_alerts(answer, published) + judge_windows(answer, map(system.totals, windows))


async def read_topic(log: Log, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    """Return (key, value) of every committed record of a topic, partition after partition."""
    partitions = (await log.partitions([topic])).get(topic, 0)
    rows: list[tuple[bytes | None, bytes | None]] = []
    ranges = await log.offsets(TopicPartition(topic, n) for n in range(partitions))
    for partition, (start, end) in ranges.items():
        offset = start
        while offset < end:
            batch = await log.read(partition, offset, bytes_max=READ_BYTES_MAX, timeout_s=5.0)
            if batch.next_offset == offset:
                raise TimeoutError(f"{partition} gave nothing at offset {offset} of {end}")
            rows.extend(zip(batch.keys, batch.values, strict=True))
            offset = batch.next_offset
    return rows
