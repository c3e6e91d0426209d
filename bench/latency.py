"""How long from producing a transaction to seeing its alert, under a steady rate.

A producer in the harness appends transactions at a fixed rate; a consumer in the harness reads the alerts, committed
records only. A transaction counts as produced at the moment its schedule says, so that a producer that falls behind
adds to the latency instead of hiding it. The share of alerts is raised to one in ten, to have enough of them for a p99.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from bench.machine import Stolen
from bench.progress import Progress
from bench.systems import System
from bench.throughput import READ_BYTES_MAX, STALL_S, Run, outgoing, preload
from bench.w1 import ALERT_ABOVE, InputRecord, Workload, records
from bench.worker import Worker
from pelton.log.contract import Group, GroupOptions, Log, RebalanceListener

__all__ = ["Latency", "Timeline", "measure_latency", "percentile"]

ALERT_SHARE = 0.1
#: Records that lie in the log before the worker starts; their commit tells that it is up.
FIRST_RECORDS = 40
#: How often the producer appends what is due: as long as Kafka's own producer lingers.
TICK_S = 0.005
#: The first seconds are left out: caches fill, the groups settle, and the broker's JVM compiles what it now runs most.
WARM_UP_S = 15.0
#: An alert that is not seen so long after the last transaction is lost.
GIVE_UP_S = 30.0


@dataclass(frozen=True, slots=True)
class Latency:
    """What a run measured.

    alerts, lost: how many were seen, and how many never. cpu_share: the part of one core that the worker used.
    stolen_share: of the cores' time during the run, what the hypervisor gave to others.
    """

    system: System
    rate: int
    alerts: int
    lost: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_share: float
    stolen_share: float


@dataclass(slots=True)
class Timeline:
    """When each alerting transaction was due and when its alert was seen, by id; seconds of the monotonic clock."""

    due: dict[str, float] = field(default_factory=dict[str, float])
    seen: dict[str, float] = field(default_factory=dict[str, float])

    def latencies_ms(self) -> list[float]:
        """Return the latency of every alert that was seen and had been due after the warm-up."""
        begin = min(self.due.values()) + WARM_UP_S
        return [(self.seen[id] - at) * 1000 for id, at in self.due.items() if at >= begin and id in self.seen]

    def outstanding(self) -> int:
        """Return how many alerts are yet to be seen."""
        return len(self.due.keys() - self.seen.keys())


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile: the smallest value with at least this share of all at or below it.

    >>> percentile([10.0, 20.0, 30.0, 40.0], 0.5)
    20.0
    """
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


async def measure_latency(
    system: System, run: Run, logs: tuple[Log, Log], progress: Progress, *, rate: int, seconds: float
) -> Latency:
    """Run the system under `rate` transactions a second and time every alert after the warm-up.

    logs: two connections, of the producer and of the consumer, so that neither waits for the other.
    Raises: WorkerFailed when the worker ends or does not take up its work.
    """
    log, consumer = logs
    inputs = list(records(Workload(records=int(rate * seconds), partitions=run.partitions, alert_share=ALERT_SHARE)))
    first, rest = inputs[:FIRST_RECORDS], inputs[FIRST_RECORDS:]
    await preload(log, run, first)
    progress.step(f"{system.label}: latency: worker started, {system.guarantee}")
    timeline = Timeline()
    with run.worker(system) as worker:
        await _until_committed(worker, run, log, len(first))
        group = await consumer.join(GroupOptions(f"{run.name}-reader", frozenset({run.alerts})), _LISTENER)
        reading = asyncio.create_task(_read(group, timeline))
        progress.step(f"{system.label}: latency: {rate:,} records/s for {seconds:.0f} s")
        cpu_s, started, stolen = worker.cpu_s(), time.monotonic(), Stolen()
        await _produce(run, log, rest, timeline, rate)
        cpu_share = (worker.cpu_s() - cpu_s) / (time.monotonic() - started)
        stolen_share = stolen.share()
        await _until_seen(worker, timeline, reading)
        await group.leave()
    times = timeline.latencies_ms()
    return Latency(
        system, rate, len(timeline.seen), timeline.outstanding(),
        percentile(times, 0.5), percentile(times, 0.99), max(times), cpu_share, stolen_share,
    )  # fmt: skip


async def _until_committed(worker: Worker, run: Run, log: Log, records: int) -> None:
    """Wait until the worker is up: it has committed the few records that lay in the log before it started."""
    give_up = time.monotonic() + STALL_S
    while sum(p.offset for p in (await log.group_positions(run.name, run.transactions)).values()) < records:
        worker.check()
        if time.monotonic() > give_up:
            raise worker.failed(f"the first {records} records are not committed after {STALL_S:.0f} s")
        await asyncio.sleep(TICK_S)


async def _produce(run: Run, log: Log, inputs: Sequence[InputRecord], timeline: Timeline, rate: int) -> None:
    """Append each record when it is due, in batches of what became due meanwhile."""
    topic = run.transactions[0].topic
    started, done = time.monotonic(), 0
    tick = started
    while done < len(inputs):
        due = min(len(inputs), int((time.monotonic() - started) * rate))
        for number in range(done, due):
            tx = json.loads(inputs[number].value)
            if tx["amount"] > ALERT_ABOVE:
                timeline.due[tx["id"]] = started + number / rate
        if due > done:
            await log.append(list(outgoing(topic, inputs[done:due])))
        done = due
        tick = max(tick + TICK_S, time.monotonic())  # what an acknowledgement takes is not lingered on top
        await asyncio.sleep(tick - time.monotonic())


async def _read(group: Group, timeline: Timeline) -> None:
    """Note when each alert is seen, until cancelled."""
    while True:
        batches = await group.fetch(bytes_max=READ_BYTES_MAX, timeout_s=1.0)
        now = time.monotonic()
        for value in (value for batch in batches for value in batch.values if value is not None):
            timeline.seen.setdefault(json.loads(value)["id"], now)


async def _until_seen(worker: Worker, timeline: Timeline, reading: asyncio.Task[None]) -> None:
    """Wait until every alert was seen, or `GIVE_UP_S` have passed; then stop reading."""
    give_up = time.monotonic() + GIVE_UP_S
    while timeline.outstanding() and time.monotonic() < give_up and not reading.done():
        worker.check()
        await asyncio.sleep(TICK_S)
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading


async def _nothing(*_: object) -> None:
    """The reader keeps no state, so a rebalance asks nothing of it."""


_LISTENER = RebalanceListener(revoked=_nothing, assigned=_nothing, lost=_nothing)
