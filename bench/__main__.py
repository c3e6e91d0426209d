"""`python -m bench`: W1 for every system in one run, then latencies, a table, the ratios, results/latest.json."""

from __future__ import annotations

import argparse
import asyncio
import gc
import shutil
import sys
import tempfile
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import faust_environment, machine, report
from bench.latency import Latency, measure_latency
from bench.logs import LogSource, kafka_source, sqlite_source
from bench.progress import Progress
from bench.systems import System, kafka_streams, pelton, stock_faust
from bench.throughput import Run, Throughput, failed, measure
from bench.w1 import Expected, InputRecord, Workload, expected, records
from bench.worker import WorkerFailed

PROJECT = Path(__file__).parent.parent
JARS = PROJECT / ".kafka" / "jars"
SYSTEMS = ("pelton-sqlite", "pelton-kafka", "pelton-sqlite-2", "pelton-kafka-2", "kafka-streams", "faust")
NOTES = """\
One worker each. Broker, harness and worker share the machine's cores; the broker's CPU is not counted.
Records/s and CPU run from the first commit seen to the last; wall s from process start. Stock Faust gets fewer
records, because a million takes it minutes. "machine loops/s" is the machine's own speed just before each run:
compare figures only where it is the same. "stolen" is the time of the cores that the hypervisor gave to others."""


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--records", type=int, default=1_000_000, help="records of W1, but for Faust (default: %(default)s)"
    )
    parser.add_argument(
        "--faust-records",
        type=int,
        default=50_000,
        help="records of W1 for stock Faust, which takes minutes for a million; the first ones of the same input",
    )
    parser.add_argument(
        "--rounds", type=int, default=1, help="how often all systems take turns; the run of middle speed counts"
    )
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS, help="which to run")
    parser.add_argument("--rate", type=int, default=1_000, help="records/s of the latency runs")
    parser.add_argument("--seconds", type=float, default=45.0, help="length of a latency run; 0 leaves latency out")
    parser.add_argument("--faust-latency", action="store_true", help="measure the latency of stock Faust too")
    parser.add_argument(
        "--profile", type=Path, help="take pelton's profile into this directory; its figures are worth nothing then"
    )
    parser.add_argument("--docs", action="store_true", help="write the figures into docs/benchmarks.md")
    parser.add_argument("--results", type=Path, default=PROJECT / "bench" / "results", help="where results go")
    return parser.parse_args(arguments)


class Harness:
    """One run of the benchmark: the systems one after the other, each on fresh topics and a fresh directory."""

    def __init__(self, choice: argparse.Namespace, directory: Path, progress: Progress) -> None:
        self._choice = choice
        self._directory = directory
        self._progress = progress
        self._sources: dict[str, LogSource] = {}
        self._inputs: list[InputRecord] = []
        self._answers: dict[int, Expected] = {}

    async def run(self) -> tuple[list[Throughput], list[Latency]]:
        """Run what was chosen, in rounds: a shared machine's speed changes, and each system should see the same of it.

        A system that fails is a result too: not correct, with the reason.
        """
        systems = self._systems()
        self._generate(max(self._records_of(system) for system in systems))
        try:
            throughputs = [await self._throughput(system) for _ in range(self._choice.rounds) for system in systems]
            timed = self._timed(systems) * self._choice.rounds
            latencies = [await self._latency(system) for system in timed]
        finally:
            for source in self._sources.values():
                source.stop()
        return throughputs, [latency for latency in latencies if latency is not None]

    def _systems(self) -> list[System]:
        chosen: list[System] = []
        for name in SYSTEMS:
            if name not in self._choice.systems:
                continue
            if name == "faust":
                self._progress.step("stock Faust: making sure of its environment")
                chosen.append(stock_faust(faust_environment.ensure(PROJECT / ".venvs" / "faust")))
            elif name == "kafka-streams":
                self._progress.step("Kafka Streams: making sure of its jars")
                for guarantee in ("exactly_once_v2", "at_least_once"):
                    chosen.append(kafka_streams(JARS, guarantee, self._progress.step))
            else:
                processes = 2 if name.endswith("-2") else 1
                chosen.append(pelton("sqlite" if "sqlite" in name else "kafka", self._choice.profile, processes))
        return chosen

    def _timed(self, systems: Sequence[System]) -> list[System]:
        """Return the systems whose latency is asked for."""
        if self._choice.seconds <= 0 or self._choice.profile:
            return []
        faust = [system for system in systems if system.name.startswith("faust") and self._choice.faust_latency]
        return [*(system for system in systems if system.name == "pelton"), *faust]

    def _records_of(self, system: System) -> int:
        return int(self._choice.faust_records if system.name.startswith("faust") else self._choice.records)

    def _generate(self, count: int) -> None:
        self._progress.step(f"W1: generating {count:,} records and the right answer")
        self._inputs = list(records(Workload(records=count)))

    def _answer(self, count: int) -> Expected:
        if count not in self._answers:
            self._answers[count] = expected(self._inputs[:count])
        return self._answers[count]

    def _source(self, system: System) -> LogSource:
        """Return the log that a system runs on, started on first use."""
        if system.log not in self._sources:
            self._progress.step(f"{system.log}: starting the log")
            start = sqlite_source if system.log == "sqlite" else kafka_source
            self._sources[system.log] = start(self._directory / system.log, self._progress)
        return self._sources[system.log]

    def _new_run(self, system: System, source: LogSource) -> Run:
        name = f"w1-{system.name.split()[0].lower()}-{uuid.uuid4().hex[:8]}"
        return Run(name, source.broker_url, self._directory / name, Workload().partitions)

    async def _throughput(self, system: System) -> Throughput:
        count = self._records_of(system)
        answer = self._answer(count)
        source = self._source(system)
        run = self._new_run(system, source)
        async with source.connect() as log:
            try:
                return await measure(
                    system, run, log, inputs=self._inputs[:count], answer=answer, progress=self._progress
                )
            except (WorkerFailed, ValueError) as error:
                self._progress.step(f"{system.label}: FAILED: {error}")
                lines = str(error).splitlines()
                return failed(system, count, ": ".join(dict.fromkeys([lines[0], lines[-1]])))
            finally:
                await log.delete_topics(run.topics)

    async def _latency(self, system: System) -> Latency | None:
        source = self._source(system)
        run = self._new_run(system, source)
        async with source.connect() as log, source.connect() as consumer:
            try:
                return await measure_latency(
                    system, run, (log, consumer), self._progress, rate=self._choice.rate, seconds=self._choice.seconds
                )
            except WorkerFailed as error:
                self._progress.step(f"{system.label}: latency: FAILED: {error}")
                return None
            finally:
                await log.delete_topics(run.topics)


def figures(throughputs: Sequence[Throughput], latencies: Sequence[Latency]) -> str:
    """Return all that the run measured, in Markdown: machine, tables, ratios, and how to read them."""
    today = datetime.now(tz=UTC).date().isoformat()
    chosen = report.middle(throughputs)
    parts = [f"{today}: {machine.describe()}.", report.throughput_table(chosen)]
    parts += ["\n".join(report.ratios(chosen))] if report.ratios(chosen) else []
    if len(throughputs) > len(chosen):
        rounds = "\n".join(report.each_round(throughputs))
        parts += [f"The run of middle speed, of two the slower, is shown. All of them:\n\n{rounds}"]
    parts += [report.latency_table(latencies)] if latencies else []
    return "\n\n".join([*parts, NOTES])


def main() -> int:
    """Run the benchmark; return 0 when every system's output was right."""
    # A million records are live objects that no cycle holds: collecting again and again would only disturb the worker.
    gc.disable()
    choice = options()
    directory = Path(tempfile.mkdtemp(prefix="pelton-bench-"))
    try:
        throughputs, latencies = asyncio.run(Harness(choice, directory, Progress()).run())
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    text = figures(throughputs, latencies)
    print(f"\n{text}")
    report.write_json(report.as_json(report.middle(throughputs)), choice.results / "latest.json")
    if choice.docs:
        report.insert_figures(text, PROJECT / "docs" / "benchmarks.md")
    return 0 if all(not result.faults for result in throughputs) else 1


if __name__ == "__main__":
    sys.exit(main())
