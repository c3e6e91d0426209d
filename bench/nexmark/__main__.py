"""`python -m bench.nexmark`: every query on both logs, a line each, and last a JSON object; see docs/nexmark.md."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.logs import LogSource, kafka_source, sqlite_source
from bench.machine import describe
from bench.nexmark.catalogue import QUERIES, Query
from bench.nexmark.generator import Workload
from bench.nexmark.running import Inputs, Outcome, run
from bench.progress import Progress

LOGS: dict[str, Callable[[Path, Progress], LogSource]] = {"sqlite": sqlite_source, "kafka": kafka_source}


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.nexmark", description=__doc__)
    parser.add_argument("--events", type=_at_least_one, default=20_000, help="people, auctions and bids together")
    parser.add_argument("--seed", type=int, default=1, help="of the events")
    parser.add_argument("--query", type=_queries, default=list(QUERIES.values()), help="numbers, as in 3,4,9; or all")
    parser.add_argument("--logs", nargs="+", choices=sorted(LOGS), default=["sqlite", "kafka"], help="where to run")
    parser.add_argument("--partitions", type=_at_least_one, default=2, help="of each topic")
    parser.add_argument(
        "--disorder", type=_at_least_one, default=1, help="each run of so many events comes in an order of its own"
    )
    return parser.parse_args(arguments)


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {number}")
    return number


def _queries(text: str) -> list[Query]:
    if text == "all":
        return list(QUERIES.values())
    chosen = [one.strip().lower().removeprefix("q") for one in text.split(",") if one.strip()]
    unknown = [one for one in chosen if not one.isdigit() or int(one) not in QUERIES]
    if unknown or not chosen:
        raise argparse.ArgumentTypeError(f"expected queries from 0 to {max(QUERIES)}, as in 3,4,9, got {text!r}")
    return [QUERIES[int(one)] for one in chosen]


async def _run_all(choice: argparse.Namespace, inputs: Inputs, directory: Path, progress: Progress) -> list[Outcome]:
    """Run the chosen queries on each log in turn, each on topics of its own, and print a line for each."""
    outcomes: list[Outcome] = []
    for log in choice.logs:
        progress.step(f"opening the log: {log}")
        source = LOGS[log](directory / log, progress)
        try:
            for query in choice.query:
                progress.tick(f"{log}: q{query.number}")
                name = f"nexmark-{uuid.uuid4().hex[:8]}"
                outcome = await _run(query, inputs, source.broker_url, directory / name, name, choice.partitions)
                print(_line(outcome), flush=True)
                outcomes.append(outcome)
        finally:
            source.stop()
    return outcomes


async def _run(query: Query, inputs: Inputs, url: str, directory: Path, name: str, partitions: int) -> Outcome:
    """Run one query. One that breaks off has failed, and the others go on."""
    try:
        return await run(query, inputs, url, directory, name=name, partitions=partitions)
    except Exception as error:
        return Outcome(query, url.partition(":")[0], 0, 0, 0.0, [f"{type(error).__name__}: {error}"])


def _line(outcome: Outcome) -> str:
    query = outcome.query
    verdict = "passed" if not outcome.faults else f"FAILED: {'; '.join(outcome.faults)}"
    figures = f"{outcome.rows:>9,} rows {outcome.records_per_s:>9,.0f} records/s"
    return f"q{query.number:<3} {query.title:<32} {outcome.log:<7} {figures}  {verdict}"


def summary(choice: argparse.Namespace, outcomes: Sequence[Outcome]) -> dict[str, object]:
    """Return the last line: how many queries passed on all logs, failed on one, or do not apply."""
    failed = {outcome.query.number for outcome in outcomes if outcome.faults}
    figures: dict[str, dict[str, object]] = {}
    for outcome in outcomes:
        verdict = "failed" if outcome.faults else "passed"
        told = {"rows": outcome.rows, "records_per_s": round(outcome.records_per_s), "verdict": verdict}
        figures.setdefault(f"q{outcome.query.number}", {})[outcome.log] = told
    return {
        "passed": len(choice.query) - len(failed),
        "failed": len(failed),
        "not_applicable": 0,
        "events": choice.events,
        "seed": choice.seed,
        "machine": describe(),
        "queries": figures,
    }


def main() -> int:
    """Run what the command line asks for; return the exit status."""
    choice, progress = options(), Progress()
    progress.step(f"generating {choice.events:,} events of seed {choice.seed}")
    inputs = Inputs.of(Workload(choice.events, choice.seed, disorder=choice.disorder))
    with tempfile.TemporaryDirectory(prefix="nexmark-") as directory:
        outcomes = asyncio.run(_run_all(choice, inputs, Path(directory), progress))
    told = summary(choice, outcomes)
    print(json.dumps(told))
    return 1 if told["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
