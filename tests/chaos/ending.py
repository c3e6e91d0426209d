"""How a run is begun and told of from the command line: where it writes, what it says, and its exit status."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import NoReturn, Protocol

import click

__all__ = ["DIRECTORY", "REPORT", "Say", "run"]

Say = Callable[[str], None]

REPORT = click.option("--report", type=click.Path(path_type=Path), help="A file that takes the report as well.")
DIRECTORY = click.option(
    "--directory", type=click.Path(path_type=Path), help="For everything that is written, and kept then."
)


class Outcome(Protocol):
    """What came of a run."""

    @property
    def clean(self) -> bool:
        """Whether everything is as it must be."""
        ...

    def lines(self) -> Iterable[str]:
        """Return the report."""
        ...


def run(
    name: str, directory: Path | None, report: Path | None, work: Callable[[Path, Say], Awaitable[Outcome]]
) -> NoReturn:
    """Run work in a directory, tell what came of it, and end the process; what was written is kept unless clean."""
    place = (directory or Path(tempfile.mkdtemp(prefix=f"pelton-{name}-"))).absolute()
    place.mkdir(parents=True, exist_ok=True)

    async def worked() -> Outcome:
        return await work(place, lambda what: click.echo(what, err=True))

    outcome = asyncio.run(worked())
    text = "\n".join(outcome.lines())
    if report is not None:
        report.write_text(text + "\n")
    click.echo(text)
    if not outcome.clean:
        click.echo(f"what the workers and the brokers printed is in {place}", err=True)
    elif directory is None:
        shutil.rmtree(place)
    sys.exit(0 if outcome.clean else 1)
