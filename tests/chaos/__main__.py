"""The command line: `python -m tests.chaos --seconds 300 --seed 1`.

Runs the program of tests/kill on three real brokers and three real workers, lets everything go wrong that the seed
says, and compares every output, every table and one worker's stores with an oracle. The last line of the output is a
JSON object; the exit status is 1 when anything is missing, double or foreign, or a worker ended by itself. Ctrl-C
judges what there is so far.
"""

from __future__ import annotations

from pathlib import Path

import click

from tests.chaos.ending import DIRECTORY, REPORT, run
from tests.chaos.soak import SoakOptions, soak


@click.command(help=__doc__)
@click.option("--seconds", default=300.0, show_default=True, help="How long faults are applied.")
@click.option("--seed", default=1, show_default=True, help="Of the events and of the faults.")
@click.option("--rate", default=400.0, show_default=True, help="Events a second.")
@REPORT
@DIRECTORY
def main(seconds: float, seed: int, rate: float, report: Path | None, directory: Path | None) -> None:
    """Run a soak and tell what came of it."""
    run("chaos", directory, report, lambda place, say: soak(SoakOptions(seconds, seed, rate, place), say))


if __name__ == "__main__":
    main()
