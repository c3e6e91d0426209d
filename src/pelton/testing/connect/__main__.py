"""The command line of the test worker: `python -m pelton.testing.connect run`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType

import click

from pelton.errors import PeltonError
from pelton.testing.connect import ConnectWorker

_PATH = click.Path(path_type=Path)


@click.group(help=__doc__)
def cli() -> None:
    """Hold the commands together."""


@cli.command()
@click.option("--bootstrap", default="127.0.0.1:9092", show_default=True, help="Of the Kafka that it works on.")
@click.option("--port", default=8083, show_default=True, help="Of its REST interface.")
@click.option("--group", default="connect", show_default=True, help="Names the cluster, and its topics.")
@click.option("--directory", type=_PATH, help="Of settings and log.  [default: .kafka/connect-PORT]")
@click.option("--plugins", type=_PATH, help="A directory of further connectors, each in a directory of its own.")
def run(bootstrap: str, port: int, group: str, directory: Path | None, plugins: Path | None) -> None:
    """Run a worker in the foreground until Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)
    where = directory or Path(f".kafka/connect-{port}")
    with ConnectWorker(bootstrap, where, port, group=group, plugins=plugins, progress=click.echo) as worker:
        click.echo(f"Kafka Connect is ready on {worker.url}; Ctrl-C stops it")
        try:
            worker.wait()
        except KeyboardInterrupt:
            click.echo("")


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; errors are told in words."""
    try:
        cli(prog_name="python -m pelton.testing.connect")
    except PeltonError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
