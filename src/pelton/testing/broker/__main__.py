"""The command line of the test cluster: `python -m pelton.testing.broker run | start | stop | status`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType

import click

from pelton.errors import PeltonError
from pelton.testing.broker import Cluster
from pelton.testing.broker.cluster import JARS
from pelton.testing.broker.jvm import jmx_exporter

brokers_option = click.option("--brokers", default=1, show_default=True, help="How many brokers.")
directory_option = click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="Of data, settings and logs.  [default: .kafka/cluster-BROKERS]",
)
port_option = click.option(
    "--port",
    default=9092,
    show_default=True,
    help="Of the first broker, the others follow; 0: as last time, or free ones.",
)


@click.group(help=__doc__)
def cli() -> None:
    """Hold the commands together."""


@cli.command()
@brokers_option
@directory_option
@port_option
def run(brokers: int, directory: Path | None, port: int) -> None:
    """Run the cluster in the foreground until Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)
    with _cluster(brokers, directory, port) as cluster:
        click.echo(f"Kafka is ready on {cluster.bootstrap}; Ctrl-C stops it")
        try:
            cluster.wait()
        except KeyboardInterrupt:
            click.echo("")


@cli.command()
@brokers_option
@directory_option
@port_option
def start(brokers: int, directory: Path | None, port: int) -> None:
    """Start the cluster in the background."""
    cluster = _cluster(brokers, directory, port, lasting=True)
    cluster.start()
    click.echo(f"Kafka is ready on {cluster.bootstrap}")


@cli.command()
@brokers_option
@directory_option
def stop(brokers: int, directory: Path | None) -> None:
    """Stop the cluster that runs in the background."""
    _cluster(brokers, directory).stop()


@cli.command()
@brokers_option
@directory_option
def status(brokers: int, directory: Path | None) -> None:
    """Tell which brokers run; the exit status is 0 when all do."""
    cluster = _cluster(brokers, directory)
    running = cluster.running()
    for node in cluster.nodes:
        pid = running.get(node.id)
        click.echo(f"broker {node.id} on port {node.port}: " + (f"process {pid}" if pid else "not running"))
    sys.exit(0 if len(running) == brokers else 1)


@cli.command()
def exporter() -> None:
    """Print where the JMX exporter is, the Java agent that tells Prometheus of a broker; fetch it first."""
    click.echo(jmx_exporter(JARS, lambda text: click.echo(text, err=True)))


def _cluster(brokers: int, directory: Path | None, port: int = 0, *, lasting: bool = False) -> Cluster:
    where = directory or Path(f".kafka/cluster-{brokers}")
    return Cluster(brokers, where, port, lasting=lasting, progress=click.echo)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; errors are told in words."""
    try:
        cli(prog_name="python -m pelton.testing.broker")
    except PeltonError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
