"""The command line of a deployment on one machine: `python -m pelton.testing.deployment`."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from pelton.errors import ConfigurationError, PeltonError
from pelton.testing.deployment import Deployment, DeploymentOptions

_PATH = click.Path(path_type=Path)


@click.command(help=__doc__)
@click.option("--application", "-A", default="app", show_default=True, help="The module of the application.")
@click.option("--workers", default=3, show_default=True, help="How many.")
@click.option("--brokers", default=3, show_default=True, help="How many.")
@click.option("--port", default=9092, show_default=True, help="Of the first broker; the others follow. 0: free ones.")
@click.option("--web-port", default=6066, show_default=True, help="Of the first worker's page; the others follow.")
@click.option("--prometheus-port", default=9090, show_default=True, help="Of Prometheus.")
@click.option("--settings", type=_PATH, help="A file of NAME=value, the environment of each worker.")
@click.option("--monitoring", type=_PATH, help="The folder of Prometheus' configuration.")
@click.option(
    "--feed",
    multiple=True,
    help='A command of the application that runs beside: "simulate --rate 50"; several with a ";" between them.',
)
@click.option("--service", multiple=True, help="The module of a further application, which gets one worker.")
@click.option("--directory", type=_PATH, default=Path(".cluster"), show_default=True, help="For data and logs.")
def main(
    application: str,
    workers: int,
    brokers: int,
    port: int,
    web_port: int,
    prometheus_port: int,
    settings: Path | None,
    monitoring: Path | None,
    feed: Sequence[str],
    service: Sequence[str],
    directory: Path,
) -> None:
    """Run it until Ctrl-C."""
    try:
        options = DeploymentOptions(
            application,
            directory.absolute(),
            brokers,
            workers,
            port,
            web_port,
            prometheus_port,
            read_settings(settings) if settings is not None else {},
            read_commands(feed),
            service,
            monitoring,
        )
        sys.exit(asyncio.run(_run(options)))
    except PeltonError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


def read_settings(file: Path) -> dict[str, str]:
    """Return the NAME=value lines of a file; those that begin with # say something to people.

    Raises: ConfigurationError for any other line.
    """
    settings: dict[str, str] = {}
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigurationError(f"{file}:{number}: expected NAME=value, got {line!r}")
        settings[name] = value.strip()
    return settings


def read_commands(given: Iterable[str]) -> list[list[str]]:
    """Return the words of commands, of which a text may have several, with a `;` between them."""
    commands: list[list[str]] = [[]]
    for text in given:
        reader = shlex.shlex(text, posix=True, punctuation_chars=";")
        reader.whitespace_split, reader.commenters = True, ""
        for word in reader:
            if set(word) == {";"}:
                commands.append([])
            else:
                commands[-1].append(word)
        commands.append([])
    return [words for words in commands if words]


async def _run(options: DeploymentOptions) -> int:
    deployment = Deployment(options, click.echo)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, deployment.interrupt)
    return await deployment.run()


if __name__ == "__main__":
    main()
