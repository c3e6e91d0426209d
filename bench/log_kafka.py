"""How fast the Kafka log is: fetching, writing in transactions, restoring, and the latency of a small transaction.

KAFKA_BOOTSTRAP=localhost:9092 python bench/log_kafka.py [--records 1000000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
import uuid

import uvloop

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.log.contract import GroupOptions, Position, RebalanceListener, TopicSpec
from pelton.log.kafka import KafkaGroup, KafkaLog

PARTITIONS = 4
ACCOUNTS = 10_000
COMMIT_RECORDS = 100_000
SMALL_COMMITS = 300
FETCH_BYTES = 16 * 1024 * 1024
READ_BYTES = 4 * 1024 * 1024
DELIVERY_S = 10
PRODUCER_TICK_S = 0.001


def value_of(number: int) -> bytes:
    """Return a transaction of about 190 bytes as JSON."""
    return json.dumps(
        {
            "id": f"tx-{number:010d}",
            "account": f"account-{number % ACCOUNTS:06d}",
            "amount": number * 7919 % 100_000 / 100,
            "currency": "CHF",
            "merchant": f"merchant-{number * 31 % 5000:05d}",
            "country": ("CH", "DE", "FR", "IT", "AT")[number % 5],
            "ts": 1_700_000_000_000 + number,
        }
    ).encode()


def batches_of(topic: str, first: int, count: int) -> list[OutgoingBatch]:
    """Return count records keyed by account, spread over the partitions."""
    batches = [OutgoingBatch(topic, partition) for partition in range(PARTITIONS)]
    for number in range(first, first + count):
        account = number % ACCOUNTS
        batches[account % PARTITIONS].append(b"account-%06d" % account, value_of(number), 1_700_000_000_000 + number)
    return batches


async def nothing(*_: object) -> None:
    """Take note of a rebalance and do nothing."""


async def join(log: KafkaLog, topic: str) -> KafkaGroup:
    """Return a member that owns every partition of a topic, all of them paused."""

    async def assigned(partitions: frozenset[TopicPartition], _: frozenset[int]) -> None:
        group.pause(partitions)

    group = await log.join(
        GroupOptions(f"bench-{uuid.uuid4()}", frozenset({topic})),
        RebalanceListener(revoked=nothing, assigned=assigned, lost=nothing),
    )
    while len(group.assignment()) < PARTITIONS:
        await group.fetch(bytes_max=1, timeout_s=0.1)
    return group


def report(work: str, records: int, wall_s: float, cpu_s: float) -> None:
    """Print a rate."""
    print(f"{work:<34}{records / wall_s:>12,.0f} records/s {cpu_s / records * 1e6:>8.2f} CPU-s per million", flush=True)


def report_latency(work: str, taken_ms: list[float]) -> None:
    """Print the median and the slowest hundredth."""
    p50, p99 = statistics.median(taken_ms), statistics.quantiles(taken_ms, n=100)[98]
    print(f"{work:<42}{p50:>8.1f} ms p50 {p99:>8.1f} ms p99", flush=True)


async def write(log: KafkaLog, topic: str, records: int) -> None:
    """Write in transactions of COMMIT_RECORDS, timing the commits alone."""
    group = await join(log, topic)
    wall = cpu = 0.0
    for first in range(0, records, COMMIT_RECORDS):
        batches = batches_of(topic, first, min(COMMIT_RECORDS, records - first))
        started, cpu_started = time.perf_counter(), time.process_time()
        await group.commit(batches, {TopicPartition(topic, 0): Position(0)})
        wall += time.perf_counter() - started
        cpu += time.process_time() - cpu_started
    report("write, transactions of 100,000", records, wall, cpu)
    await group.leave()


async def fetch(log: KafkaLog, topic: str, records: int) -> None:
    """Fetch everything as a member of a group."""
    group = await join(log, topic)
    group.resume(group.assignment())
    started, cpu_started, seen = time.perf_counter(), time.process_time(), 0
    while seen < records:
        seen += sum(map(len, await group.fetch(bytes_max=FETCH_BYTES, timeout_s=1)))
    report("fetch, one member", records, time.perf_counter() - started, time.process_time() - cpu_started)
    await group.leave()


async def restore(log: KafkaLog, topic: str) -> None:
    """Read every partition from its start, one after the other, as a restore does."""
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    ranges = await log.offsets(partitions)
    started, cpu_started, seen = time.perf_counter(), time.process_time(), 0
    for partition in partitions:
        offset = 0
        while offset < ranges[partition].end:
            batch = await log.read(partition, offset, bytes_max=READ_BYTES, timeout_s=1)
            offset, seen = batch.next_offset, seen + len(batch)
    report("read, one partition at a time", seen, time.perf_counter() - started, time.process_time() - cpu_started)


async def latency(log: KafkaLog, topic: str, pause_s: float) -> None:
    """Commit one record and one position, again and again."""
    group = await join(log, topic)
    taken_ms: list[float] = []
    for number in range(SMALL_COMMITS):
        batch = OutgoingBatch(topic, 0, [b"account"], [value_of(number)], [number])
        started = time.perf_counter()
        await group.commit([batch], {TopicPartition(topic, 0): Position(number)})
        taken_ms.append((time.perf_counter() - started) * 1000)
        await asyncio.sleep(pause_s)
    report_latency(f"small transaction, every {pause_s * 1000:.0f} ms", taken_ms)
    await group.leave()


async def delivery(log: KafkaLog, topic: str, rate: int, partitions: int) -> None:
    """Append single records at a steady rate and time each until a fetch returns it.

    A record counts as produced at the moment its schedule says, so that a producer that falls behind shows.
    """
    group = await join(log, topic)
    starts = {partition: span.end for partition, span in (await log.offsets(group.assignment())).items()}
    for partition, end in starts.items():
        group.seek(partition, end)
    group.resume(group.assignment())
    count = rate * DELIVERY_S
    producing = asyncio.create_task(_produce(log, topic, rate, count, partitions))
    taken_ms: list[float] = []
    while len(taken_ms) < count:
        batches = await group.fetch(bytes_max=FETCH_BYTES, timeout_s=1)
        now = time.perf_counter()
        taken_ms += [(now - float(value)) * 1000 for batch in batches for value in batch.values if value is not None]
    await producing
    report_latency(f"produce to fetch, {rate}/s, {partitions} partitions", taken_ms)
    await group.leave()


async def _produce(log: KafkaLog, topic: str, rate: int, count: int, partitions: int) -> None:
    """Append what is due, each record with the time at which it was due as its value."""
    started, done = time.perf_counter(), 0
    while done < count:
        due = min(count, 1 + int((time.perf_counter() - started) * rate))
        batches = [OutgoingBatch(topic, partition) for partition in range(partitions)]
        for number in range(done, due):
            batches[number % partitions].append(b"account", repr(started + number / rate).encode(), number)
        if due > done:
            await log.append(batches)
        done = due
        await asyncio.sleep(PRODUCER_TICK_S)


async def main(records: int) -> None:
    """Run all measurements on a topic of their own."""
    log = KafkaLog(os.environ.get("KAFKA_BOOTSTRAP", "localhost:9092"))
    await log.open()
    topic = f"bench-log-{uuid.uuid4()}"
    try:
        await log.declare([TopicSpec(topic, partitions=PARTITIONS, retention_ms=-1)])
        if records:
            await write(log, topic, records)
            await fetch(log, topic, records)
            await restore(log, topic)
        for rate, partitions in ((1000, PARTITIONS), (1000, 1), (20, PARTITIONS), (20, 1)):
            await delivery(log, topic, rate, partitions)
        await latency(log, topic, 0.0)
        await latency(log, topic, 0.02)
    finally:
        await log.delete_topics([topic])
        await log.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="how many for the rates; 0 for latencies only")
    uvloop.run(main(parser.parse_args().records))
