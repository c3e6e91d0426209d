"""`python -m bench.memory`: whether a worker's memory grows with what it has processed.

Keys are new for ever: each has a few visits, then never comes back. Windows expire, the other table's keys are deleted,
so what must be remembered stays the same, and so must the resident memory once the caches are full. The slope over the
second half of the run says whether it does. The last line of output is a JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import machine, report
from bench.logs import sqlite_source
from bench.progress import Progress
from bench.w1 import partition_of
from bench.worker import Worker
from pelton.batch import OutgoingBatch, TopicPartition
from pelton.log.contract import Log, TopicSpec

__all__ = ["Sample", "figure", "measure", "slope_mib_per_million"]

PROJECT = Path(__file__).parent.parent
LOT = 10_000
#: So many records lie in front of the worker at most: a backlog is memory too, in the log's file and its cache.
BACKLOG = 5 * LOT
VISITS = 5
#: Small enough that they are full long before the half of the run.
CACHES = {"PELTON_TABLE_CACHE_BYTES_MAX": "32 MiB", "PELTON_TASK_QUEUE_BYTES_MAX": "8 MiB"}
STALL_S = 120.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Resident memory of the worker when it had committed so many records."""

    records: int
    rss_mib: float


def slope_mib_per_million(samples: Sequence[Sample]) -> float:
    """Return how much memory grows for each million of records, over the second half: least squares, in MiB.

    Raises: ValueError when the second half has fewer than two samples of different places.
    """
    half = samples[-1].records / 2 if samples else 0
    late = [sample for sample in samples if sample.records >= half]
    if len({sample.records for sample in late}) < 2:
        raise ValueError(f"{len(late)} samples in the second half, expected two or more: a longer run is needed")
    mean_x = sum(sample.records for sample in late) / len(late)
    mean_y = sum(sample.rss_mib for sample in late) / len(late)
    above = sum((sample.records - mean_x) * (sample.rss_mib - mean_y) for sample in late)
    below = sum((sample.records - mean_x) ** 2 for sample in late)
    return above / below * 1_000_000


def visits(run: str, first: int, count: int, partitions: int) -> list[OutgoingBatch]:
    """Return visits, each 1 ms of event time after the one before: a visitor comes `VISITS` times within 5 s."""
    batches = [OutgoingBatch(f"{run}-visits", number) for number in range(partitions)]
    for number in range(first, first + count):
        block, within = divmod(number, 1_000 * VISITS)
        visitor = f"visitor-{block * 1_000 + within % 1_000:010d}"
        ts_ms = 1_760_000_000_000 + number
        last = "true" if within // 1_000 == VISITS - 1 else "false"
        value = f'{{"visitor":"{visitor}","last":{last},"ts":{ts_ms / 1000}}}'
        key = visitor.encode()
        batches[partition_of(key, partitions)].append(key, value.encode(), ts_ms)
    return [batch for batch in batches if len(batch)]


async def measure(directory: Path, progress: Progress, *, records: int, partitions: int) -> list[Sample]:
    """Run the program over so many records on the embedded log; return its memory every `LOT` records.

    Raises: WorkerFailed when the worker ends, or stands still.
    """
    run = f"memory-{uuid.uuid4().hex[:8]}"
    source = sqlite_source(directory / "log", progress)
    environment = {
        "MEMORY_RUN": run,
        "MEMORY_PARTITIONS": str(partitions),
        "BROKER_URL": source.broker_url,
        "APP_DATADIR": str(directory / "data"),
        **CACHES,
    }
    command = [sys.executable, "-m", "faust", "-A", "bench.pelton_memory"]
    command += ["worker", "--without-web", "--loglevel", "warn"]
    async with source.connect() as log:
        await log.declare([TopicSpec(f"{run}-visits", partitions, retention_ms=60_000)])
        with Worker(command, environment, directory / "worker.txt", PROJECT) as worker:
            return await _feed(log, run, worker, progress, records, partitions)


async def _feed(log: Log, run: str, worker: Worker, progress: Progress, records: int, partitions: int) -> list[Sample]:
    """Append while the worker processes, and note its memory at each lot it has committed."""
    sources = [TopicPartition(f"{run}-visits", number) for number in range(partitions)]
    samples: list[Sample] = []
    appended = committed = 0
    moved = time.monotonic()
    while committed < records:
        if appended < records and appended - committed < BACKLOG:
            count = min(LOT, records - appended)
            await log.append(visits(run, appended, count, partitions))
            appended += count
        else:
            await asyncio.sleep(0.05)
        worker.check()
        found = await log.group_positions(run, sources)
        now = sum(position.offset for position in found.values())
        if now > committed:
            moved, committed = time.monotonic(), now
        elif time.monotonic() - moved > STALL_S:
            raise worker.failed(f"no progress in {STALL_S:g} s at {committed:,} of {records:,} records")
        if committed >= (samples[-1].records if samples else 0) + LOT:
            samples.append(Sample(committed, worker.rss_mib()))
            progress.tick(f"{committed:,} records, {samples[-1].rss_mib:.0f} MiB")
    return samples


def figure(samples: Sequence[Sample]) -> str:
    """Return the run as an SVG: resident memory over records."""
    width, height, left, bottom = 720, 240, 56, 34
    top_mib = max(sample.rss_mib for sample in samples) * 1.1
    end = samples[-1].records

    def at(sample: Sample) -> str:
        x = left + (width - left - 10) * sample.records / end
        return f"{x:.1f},{(height - bottom) * (1 - sample.rss_mib / top_mib):.1f}"

    grid = "".join(
        f'<line x1="{left}" x2="{width - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{top_mib * share:.0f}</text>'
        for share in (0.25, 0.5, 0.75)
        for y in [(height - bottom) * (1 - share)]
    )
    base = height - bottom
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12"><rect width="{width}" height="{height}" fill="#fff"/>{grid}'
        f'<line x1="{left}" x2="{width - 10}" y1="{base}" y2="{base}" stroke="#333"/>'
        f'<polyline fill="none" stroke="#0b6" stroke-width="2" points="{" ".join(map(at, samples))}"/>'
        f'<text x="{left}" y="{height - 10}">0</text>'
        f'<text x="{width - 10}" y="{height - 10}" text-anchor="end">{end:,} records</text>'
        f'<text x="4" y="14">MiB resident</text></svg>\n'
    )


def text_of(samples: Sequence[Sample], partitions: int) -> str:
    """Return what was measured, in Markdown."""
    late = [sample.rss_mib for sample in samples if sample.records >= samples[-1].records / 2]
    return (
        f"{machine.describe()}.\n\n"
        f"{samples[-1].records:,} records of {samples[-1].records // VISITS:,} keys in {partitions} partitions: "
        f"**{slope_mib_per_million(samples):+.1f} MiB per million records** over the second half, in which resident "
        f"memory was between {min(late):.0f} and {max(late):.0f} MiB.\n\n"
        "![Resident memory over the records of the run](images/memory.svg)"
    )


def options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description="Whether a worker's memory grows")
    parser.add_argument("--records", type=int, default=4_000_000, help="how many (default: %(default)s)")
    parser.add_argument("--partitions", type=int, default=64, help="of every topic (default: %(default)s)")
    parser.add_argument("--docs", action="store_true", help="write the figures into docs/benchmarks.md")
    return parser.parse_args()


def main() -> int:
    """Measure, print, and write the page if asked to."""
    choice = options()
    directory = Path(tempfile.mkdtemp(prefix="pelton-memory-"))
    try:
        samples = asyncio.run(measure(directory, Progress(), records=choice.records, partitions=choice.partitions))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(text_of(samples, choice.partitions))
    if choice.docs:
        (PROJECT / "docs" / "images" / "memory.svg").write_text(figure(samples))
        marks = ("<!-- memory -->", "<!-- /memory -->")
        report.insert_figures(text_of(samples, choice.partitions), PROJECT / "docs" / "benchmarks.md", marks)
    late = [sample.rss_mib for sample in samples if sample.records >= samples[-1].records / 2]
    result = {
        "records": samples[-1].records,
        "partitions": choice.partitions,
        "slope_mib_per_million": round(slope_mib_per_million(samples), 2),
        "rss_mib_min": round(min(late), 1),
        "rss_mib_max": round(max(late), 1),
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
