"""`python -m tests.fuzz`: random, malformed and extreme records against a worker; the last line is a JSON object."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.progress import Progress
from pelton.testing.broker import Cluster
from tests.fuzz.fuzz_run import Stalled, run


def options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="how many (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=1, help="the same seed gives the same records (default: %(default)s)"
    )
    parser.add_argument(
        "--broker", help="kafka://host:port of one that runs, or kafka:// to start one; SQLite otherwise"
    )
    return parser.parse_args()


def main() -> int:
    """Run it; return 0 when every record was processed or dead-lettered, exactly once."""
    choice = options()
    progress = Progress(every_s=10)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pelton-fuzz-")))
        broker = choice.broker or f"sqlite:///{directory / 'log.sqlite'}?synchronous=off"
        if broker == "kafka://":
            progress.step("starting Kafka")
            cluster = stack.enter_context(Cluster(directory=directory / "kafka", port=0, quick_start=True))
            broker = f"kafka://{cluster.bootstrap}"
        progress.step(f"{choice.records:,} records, seed {choice.seed}, on {broker.partition(':')[0]}")
        try:
            report = asyncio.run(
                run(broker, directory, count=choice.records, seed=choice.seed, tell=progress.tick)
            ).as_json()
        except Stalled as error:
            print(error)
            report = {"records": choice.records, "seed": choice.seed, "right": False, "error": str(error)[:500]}
    for example in report.pop("examples", []):
        print(example)
    print(json.dumps(report))
    return 0 if report["right"] else 1


if __name__ == "__main__":
    sys.exit(main())
