"""The command line: `python -m tests.chaos --seconds 300 --seed 1`.

Runs the program of tests/kill on three real brokers and three real workers, lets everything go wrong that the seed
says, and compares every output, every table and one worker's stores with an oracle. The last line of the output is a
JSON object; the exit status is 1 when anything is missing, double or foreign, or a worker ended by itself. Ctrl-C
judges what there is so far.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

import click

from tests.chaos.soak import SoakOptions, soak


@click.command(help=__doc__)
@click.option("--seconds", default=300.0, show_default=True, help="How long faults are applied.")
@click.option("--seed", default=1, show_default=True, help="Of the events and of the faults.")
@click.option("--rate", default=400.0, show_default=True, help="Events a second.")
@click.option("--report", type=click.Path(path_type=Path), help="A file that takes the report as well.")
@click.option("--directory", type=click.Path(path_type=Path), help="For everything that is written, and kept then.")
def main(seconds: float, seed: int, rate: float, report: Path | None, directory: Path | None) -> None:
    """Run a soak and tell what came of it."""
    place = directory or Path(tempfile.mkdtemp(prefix="pelton-chaos-"))
    place.mkdir(parents=True, exist_ok=True)
    outcome = asyncio.run(soak(SoakOptions(seconds, seed, rate, place.absolute()), _say))
    text = "\n".join(outcome.lines())
    if report is not None:
        report.write_text(text + "\n")
    click.echo(text)
    if not outcome.clean:
        click.echo(f"what the workers and the brokers printed is in {place}", err=True)
    elif directory is None:
        shutil.rmtree(place)
    sys.exit(0 if outcome.clean else 1)


def _say(what: str) -> None:
    click.echo(what, err=True)


if __name__ == "__main__":
    main()
