"""What it costs to be watched: `python -m bench.overhead [--pairs 5] [--records 1000000] [--systems traced]`.

W1, as `python -m bench --systems pelton-sqlite` runs it, with the worker

- bare: no web server, and the engine's measuring taken out (`bench.pelton_w1_bare`),
- watched: with its web server, whose /metrics is read once a second, fifteen times as often as deploy/monitoring does,
- traced: watched, and it sends traces by OTLP, a span a slice; events: a span for every sampled event.

They take turns, in the opposite order every other round, so that all see the same of a machine whose speed changes. The
ratio of the medians counts; the ratio of each round beside it says what it is worth. What reads the page and takes the
spans is this process: where it has no core of its own, records/s pays for it, and CPU seconds of the worker do not.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import shutil
import sys
import tempfile
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import aiohttp
from aiohttp import web

from bench import machine, report
from bench.logs import LogSource, sqlite_source
from bench.progress import Progress
from bench.systems import System, pelton
from bench.throughput import Run, Throughput, measure
from bench.w1 import Expected, InputRecord, Workload, expected, records
from bench.worker import WorkerFailed
from pelton.testing.broker import free_ports

PROJECT = Path(__file__).parent.parent
SYSTEMS = ("bare", "watched", "traced", "events")
HOST = "127.0.0.1"
SCRAPE_S = 1.0
#: How long a worker may take to answer for its page.
SCRAPE_TIMEOUT_S = 30.0


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.overhead", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="records of W1 (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=5, help="how often each takes its turn (default: %(default)s)")
    parser.add_argument(
        "--systems", nargs="+", choices=SYSTEMS[1:], default=SYSTEMS[1:3], help="what to compare with bare"
    )
    parser.add_argument("--results", type=Path, default=PROJECT / "bench" / "results", help="where results go")
    return parser.parse_args(arguments)


@dataclass(slots=True)
class Watched:
    """What was seen of a run: pages of metrics that were read, bytes of spans that came."""

    pages: int = 0
    span_bytes: int = 0


def system(name: str, port: int, collector: str) -> System:
    """Return pelton as it is to be watched. port: of its page. collector: where its spans go."""
    plain = pelton("sqlite")
    if name == "bare":
        words = ["bench.pelton_w1_bare" if word == "bench.pelton_w1" else word for word in plain.command]
        return replace(plain, name=name, command=words)
    words = [word for word in plain.command if word != "--without-web"]
    environment: Mapping[str, str] = {}
    if name != "watched":
        spans = "events" if name == "events" else "batches"
        environment = {
            "PELTON_TRACING": "otlp",
            "PELTON_TRACING_SPANS": spans,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        }
    return replace(plain, name=name, command=[*words, "--web-port", str(port)], environment=environment)


@asynccontextmanager
async def collecting(watched: Watched) -> AsyncGenerator[str]:
    """Take spans by OTLP, and throw them away; gives the address."""

    async def take(request: web.Request) -> web.Response:
        watched.span_bytes += len(await request.read())
        return web.Response(content_type="application/x-protobuf")

    collector, (port,) = web.Application(), free_ports(1)
    collector.router.add_post("/v1/traces", take)
    runner = web.AppRunner(collector)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    try:
        yield f"http://{HOST}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def scraping(port: int, watched: Watched) -> AsyncGenerator[None]:
    """Read a worker's metrics every `SCRAPE_S`, from when it answers until it ends."""

    async def scrape() -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SCRAPE_TIMEOUT_S)) as session:
            while True:
                try:
                    async with session.get(f"http://{HOST}:{port}/metrics") as answer:
                        text = await answer.text()
                    watched.pages += "pelton_records_fetched_total" in text
                except aiohttp.ClientError:  # it starts, or it has ended
                    await asyncio.sleep(SCRAPE_S / 10)
                    continue
                await asyncio.sleep(SCRAPE_S)

    task = asyncio.create_task(scrape())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Comparison:
    """The runs of all systems over one input, on one embedded log."""

    def __init__(self, source: LogSource, directory: Path, count: int, progress: Progress) -> None:
        self._source = source
        self._directory = directory
        self._progress = progress
        progress.step(f"W1: generating {count:,} records and the right answer")
        self._inputs: list[InputRecord] = list(records(Workload(records=count)))
        self._answer: Expected = expected(self._inputs)

    async def run(self, names: Sequence[str], rounds: int) -> dict[str, list[Throughput]]:
        """Return what each run measured, by system, round after round."""
        runs: dict[str, list[Throughput]] = {name: [] for name in names}
        for number in range(rounds):
            for name in names if number % 2 == 0 else reversed(names):
                runs[name].append(await self._one(name))
        return runs

    async def _one(self, name: str) -> Throughput:
        (port,), watched = free_ports(1), Watched()
        called = f"w1-{name}-{uuid.uuid4().hex[:8]}"
        run = Run(called, self._source.broker_url, self._directory / called, Workload().partitions)
        async with self._source.connect() as log, collecting(watched) as collector:
            chosen = system(name, port, collector)
            try:
                async with nullcontext() if name == "bare" else scraping(port, watched):
                    measured = await measure(
                        chosen, run, log, inputs=self._inputs, answer=self._answer, progress=self._progress
                    )
            finally:
                await log.delete_topics(run.topics)
        faults = [*measured.faults, *_not_as_it_should(name, watched)]
        self._progress.step(f"{name}: {watched.pages} page(s) of metrics, {watched.span_bytes:,} bytes of spans")
        return replace(measured, faults=faults)


def _not_as_it_should(name: str, watched: Watched) -> list[str]:
    """Say what of the watching did not happen, or did where it should not."""
    faults: list[str] = []
    if bool(watched.pages) != (name != "bare"):
        faults.append(f"{watched.pages} pages of metrics were read")
    if bool(watched.span_bytes) != (name in ("traced", "events")):
        faults.append(f"{watched.span_bytes} bytes of spans came")
    return faults


def ratios(runs: Mapping[str, Sequence[Throughput]]) -> list[str]:
    """Return a line a system: what it costs against `bare`, by the medians, and in each round."""
    bare = runs["bare"]
    lines: list[str] = []
    for name, own in runs.items():
        if name == "bare":
            continue
        for noun, of in (("records/s", _speed), ("CPU-s per million", _cpu)):
            ratio = median(map(of, own)) / median(map(of, bare))
            each = ", ".join(f"{of(one) / of(other):.3f}" for one, other in zip(own, bare, strict=True))
            lines.append(f"- {name} against bare, {noun}: {ratio:.3f} of the medians; in each round {each}")
    return lines


def _speed(run: Throughput) -> float:
    return run.records_per_s


def _cpu(run: Throughput) -> float:
    return run.cpu_s_per_million


async def compare(choice: argparse.Namespace, directory: Path) -> dict[str, list[Throughput]]:
    """Run what was chosen, bare with it."""
    progress = Progress()
    source = sqlite_source(directory / "log", progress)
    try:
        comparison = Comparison(source, directory, choice.records, progress)
        names = [name for name in SYSTEMS if name in ("bare", *choice.systems)]
        return await comparison.run(names, choice.pairs)
    finally:
        source.stop()


def main() -> int:
    """Run the comparison; return 0 when every run was right, and watched as it should be."""
    gc.disable()  # as `python -m bench`: a million records are live objects that no cycle holds
    choice = options()
    directory = Path(tempfile.mkdtemp(prefix="pelton-bench-"))
    try:
        runs = asyncio.run(compare(choice, directory))
    except (WorkerFailed, ValueError) as error:
        print(f"nothing can be compared: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    everything = [run for own in runs.values() for run in own]
    table = report.throughput_table(report.middle(everything))
    print("\n\n".join(["", machine.describe(), table, "\n".join(report.each_round(everything)), *ratios(runs)]))
    report.write_json(report.as_json(everything), choice.results / "overhead.json")
    faults = [f"{run.system.name}: {fault}" for run in everything for fault in run.faults]
    print("\n".join(faults), file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
