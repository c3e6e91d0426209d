"""What the log's settings on Kafka are worth, measured: `python -m bench.settings [--records N] [--docs]`.

Three brokers with three replicas, as it is deployed (`min.insync.replicas=2`), run for as long as it takes. Each table
varies one thing; variants take turns, round after round, and the middle of each one's rounds counts. What matters is
how they compare: the column `ratio` is in terms of the value that pelton uses, and does not hang on the machine much.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import cramjam
import msgspec
import uvloop
from aiokafka import AIOKafkaProducer

from app.simulation import Plan, transactions_from
from bench import machine
from bench.log_kafka import nothing, value_of
from pelton.batch import OutgoingBatch, TopicPartition
from pelton.log.contract import GroupOptions, Guarantee, Position, RebalanceListener, TopicSpec
from pelton.log.kafka import KafkaGroup, KafkaLog
from pelton.testing.broker import Cluster

PAGE = Path(__file__).parents[1] / "docs" / "operations.md"
BEGIN, END = "<!-- settings -->", "<!-- /settings -->"

PARTITIONS = 4
#: Small transactions are timed for fewer records: each of them takes milliseconds.
COMMITS_MAX = 40
BATCH_BYTES = 1_000_000
ACCOUNTS = 10_000

#: Variant -> what one round of it came to, in the unit of its table.
Rounds = dict[str, list[float]]
Variants = Mapping[str, Callable[[], Awaitable[float]]]


def records(topic: str, count: int, partitions: int = PARTITIONS) -> list[OutgoingBatch]:
    """Return records of about 190 bytes, spread over the partitions."""
    batches = [OutgoingBatch(topic, number) for number in range(partitions)]
    for number in range(count):
        batches[number % partitions].append(b"account-%06d" % (number % 10_000), value_of(number), number)
    return [batch for batch in batches if len(batch)]


async def measured(variants: Variants, times: int) -> Mapping[str, float]:
    """Let the variants take turns, so many times; return the middle of what each came to."""
    rounds: Rounds = {name: [] for name in variants}
    for _ in range(times):
        for name, run in variants.items():
            rounds[name].append(await run())
    return {name: median(found) for name, found in rounds.items()}


class Bench:
    """The measurements, on one log. count: how many records are written and read in each round."""

    def __init__(self, log: KafkaLog, count: int) -> None:
        self.log = log
        self.count = count

    async def topic(self, partitions: int = PARTITIONS, **config: str) -> str:
        """Make a topic of its own."""
        name = f"settings-{uuid4().hex[:8]}"
        await self.log.declare([TopicSpec(name, partitions, retention_ms=-1, config=config)])
        return name

    @asynccontextmanager
    async def member(self, topic: str, partitions: int, **options: Any) -> AsyncIterator[KafkaGroup]:
        """Give the one member of a group, which has all partitions, paused."""

        async def assigned(given: frozenset[TopicPartition], _: frozenset[int]) -> None:
            group.pause(given)

        listener = RebalanceListener(revoked=nothing, assigned=assigned, lost=nothing)
        group = await self.log.join(GroupOptions(f"group-{uuid4()}", frozenset({topic}), **options), listener)
        try:
            while len(group.assignment()) < partitions:
                await group.fetch(bytes_max=1, timeout_s=0.1)
            yield group
        finally:
            await group.leave()

    async def commits(self, size: int, guarantee: Guarantee = "exactly_once") -> float:
        """Return the records a second of commits of so many records each."""
        topic, number = await self.topic(), min(COMMITS_MAX, max(1, self.count // size))
        batches = records(topic, size)
        async with self.member(topic, PARTITIONS, guarantee=guarantee) as group:
            await group.commit(batches, {TopicPartition(topic, 0): Position(0)})  # the first one makes the producer
            began_s = time.perf_counter()
            for _ in range(number):
                await group.commit(batches, {TopicPartition(topic, 0): Position(0)})
            return size * number / (time.perf_counter() - began_s)

    async def batch_bytes(self, bytes_max: int) -> float:
        """Return the records a second of appends whose record batches hold so many bytes."""
        topic = await self.topic(**{"max.message.bytes": str(bytes_max)})
        batches = records(topic, self.count)
        began_s = time.perf_counter()
        await self.log.append(batches)
        return self.count / (time.perf_counter() - began_s)

    async def fetches(self, topic: str, bytes_max: int, partitions: int = PARTITIONS) -> float:
        """Return the records a second of reading a topic, as a member that asks for so many bytes."""
        async with self.member(topic, partitions, fetch_bytes_max=bytes_max) as group:
            began_s, seen = time.perf_counter(), 0
            group.resume(group.assignment())
            while seen < self.count:
                seen += sum(map(len, await group.fetch(bytes_max=bytes_max, timeout_s=1)))
            return seen / (time.perf_counter() - began_s)

    async def partitions(self, partitions: int) -> float:
        """Return the records a second of one commit that is spread over so many partitions."""
        topic = await self.topic(partitions)
        batches = records(topic, self.count // 4, partitions)
        async with self.member(topic, partitions) as group:
            began_s = time.perf_counter()
            await group.commit(batches, {TopicPartition(topic, 0): Position(0)})
            return self.count // 4 / (time.perf_counter() - began_s)

    async def acks(self, bootstrap: str, acks: int | str) -> float:
        """Return the milliseconds in the middle until a single record is acknowledged, by aiokafka's producer."""
        topic, taken_ms = await self.topic(1), list[float]()
        async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks=acks) as producer:
            for number in range(COMMITS_MAX):
                began_s = time.perf_counter()
                await producer.send_and_wait(topic, value_of(number))
                taken_ms.append((time.perf_counter() - began_s) * 1000)
        return median(taken_ms)


def compressions(count: int) -> list[tuple[str, float, float]]:
    """Return (name, µs a record, bytes a record) of each way to compress batches of the bank's payments."""
    payments = [
        msgspec.json.encode(one.transaction)
        for one in islice(transactions_from(Plan(seed=1, accounts=ACCOUNTS)), count)
    ]
    size = BATCH_BYTES // len(payments[0])
    batches = [b"".join(payments[first : first + size]) for first in range(0, count, size)]
    ways: Mapping[str, Callable[[bytes], Any]] = {
        "none": bytes,
        "**lz4, level 1**": lambda data: _lz4(data, 1),
        "lz4, level 9": lambda data: _lz4(data, 9),
        "snappy": cramjam.snappy.compress,
        "zstd, level 3": lambda data: cramjam.zstd.compress(data, level=3),
        "gzip, level 6": lambda data: cramjam.gzip.compress(data, level=6),
    }
    found: list[tuple[str, float, float]] = []
    for name, pack in ways.items():
        began_s = time.process_time()
        packed = sum(len(pack(data)) for data in batches)
        taken_s = time.process_time() - began_s
        found.append((name, taken_s / count * 1e6, packed / count))
    return found


def _lz4(data: bytes, level: int) -> bytes:
    compressor = cramjam.lz4.Compressor(level=level, content_checksum=False, block_linked=False)
    compressor.compress(data)
    return bytes(compressor.finish())


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ratios(found: Mapping[str, float], what: str, unit: str) -> str:
    """Return a table of variants, in terms of the one in bold."""
    ours = next(value for name, value in found.items() if name.startswith("**"))
    rows = [
        [name, f"{value:,.0f}" if value >= 100 else f"{value:.1f}", _ratio(value / ours)]
        for name, value in found.items()
    ]
    return table([what, unit, "ratio"], rows)


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.1g}"


async def tables(bootstrap: str, count: int, times: int) -> list[str]:
    """Return all tables, and print each as it comes."""
    log = KafkaLog(bootstrap)
    await log.open()
    bench, rate = Bench(log, count), "records/s"
    try:
        full = await bench.topic()
        await log.append(records(full, count))
        wide = {number: await bench.topic(number) for number in (1, 4, 16, 64)}
        for number, topic in wide.items():
            await log.append(records(topic, count, number))
        parts: list[tuple[str, str, Variants]] = [
            ("records in a transaction", rate, {
                "1": lambda: bench.commits(1), "100": lambda: bench.commits(100),
                "1,000": lambda: bench.commits(1_000), "**10,000**": lambda: bench.commits(10_000),
                "100,000": lambda: bench.commits(100_000),
            }),
            ("guarantee, 1,000 records in a commit", rate, {
                "**exactly_once**": lambda: bench.commits(1_000),
                "at_least_once": lambda: bench.commits(1_000, "at_least_once"),
            }),
            ("bytes of a record batch", rate, {
                "16 KiB": lambda: bench.batch_bytes(16_384), "128 KiB": lambda: bench.batch_bytes(131_072),
                "**1,000,000**": lambda: bench.batch_bytes(1_048_588),
            }),
            ("bytes of a fetch", rate, {
                "64 KiB": lambda: bench.fetches(full, 65_536), "1 MiB": lambda: bench.fetches(full, 1 << 20),
                "**16 MiB**": lambda: bench.fetches(full, 16 << 20),
            }),
            ("partitions, written in one transaction", rate, {
                "1": lambda: bench.partitions(1), "**4**": lambda: bench.partitions(4),
                "16": lambda: bench.partitions(16), "64": lambda: bench.partitions(64),
                "256": lambda: bench.partitions(256),
            }),
            ("partitions, read by one member", rate, {
                f"**{number}**" if number == PARTITIONS else str(number):
                    lambda topic=topic, number=number: bench.fetches(topic, 16 << 20, number)  # type: ignore[misc]
                for number, topic in wide.items()
            }),
            ("acks of a single record", "ms", {
                "1": lambda: bench.acks(bootstrap, 1), "**all**": lambda: bench.acks(bootstrap, "all"),
            }),
        ]  # fmt: skip
        told: list[str] = []
        for what, unit, variants in parts:
            told.append(ratios(await measured(variants, times), what, unit))
            print(f"{told[-1]}\n", flush=True)
        return told
    finally:
        await log.close()


def report(count: int, times: int) -> str:
    """Run everything, and return the page's part of it."""
    packed = compressions(count)
    rows = [[name, f"{micros:.2f}", f"{size:.0f}"] for name, micros, size in packed]
    with TemporaryDirectory() as directory:
        replicated = {"default.replication.factor": 3, "min.insync.replicas": 2}
        with Cluster(3, directory, port=0, properties=replicated) as cluster:
            found = uvloop.run(tables(cluster.bootstrap, count, times))
    parts = [f"{machine.describe()}; the middle of {times} rounds, {count:,} records each.", *found]
    return "\n\n".join([*parts, table(["compression", "µs a record", "bytes a record"], rows)])


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000, help="how many each round writes or reads")
    parser.add_argument("--rounds", type=int, default=3, help="how often each variant is measured")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/operations.md")
    given = parser.parse_args()
    text = report(given.records, given.rounds)
    print(text)
    if given.docs:
        page = PAGE.read_text()
        before, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
