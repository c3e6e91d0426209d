"""`faust -A app connect apply|status|delete`: the connectors of a Kafka Connect cluster, as files say."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import click
import msgspec
from faust.cli.base import cli

from pelton.connect.applying import apply, difference, failure_text
from pelton.connect.kafka_connect import Connector, KafkaConnect, Status, read_connectors
from pelton.errors import ConfigurationError
from pelton.shell.commands.on_log import LogCommand

__all__ = ["connect"]

DIRECTORY = Path("deploy/connect")

_FILES = click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
_URL = click.option(
    "--url",
    envvar="KAFKA_CONNECT_URL",
    default="http://127.0.0.1:8083",
    show_default=True,
    help="Of the REST interface of a worker of the cluster; or KAFKA_CONNECT_URL.",
)
_TIMEOUT = click.option(
    "--timeout", default=60.0, show_default=True, help="How many seconds each connector, and the cluster, may take."
)


@cli.group("connect")
def connect() -> None:
    """Apply connectors to a Kafka Connect cluster, tell how they are, and delete them.

    A connector is a file {"name": "...", "config": {...}}, as Connect's own REST interface takes it; without FILES,
    those in deploy/connect. A directory stands for the *.json in it. Secrets belong into the environment of Connect's
    workers: ${env:NAME} (with `config.providers=env`) or ${file:...} name them in a configuration.
    """


class _ConnectCommand(LogCommand):
    """A subcommand of `connect`."""

    abstract: ClassVar[bool] = True
    group: ClassVar[Any] = connect

    def on_cluster(self, url: str, timeout: float, job: Callable[[KafkaConnect], Awaitable[int]]) -> int:
        """Return the exit status of what a job does with a cluster."""

        async def run() -> int:
            async with KafkaConnect(url, timeout) as cluster:
                return await job(cluster)

        return asyncio.run(run())


class ApplyConnectors(_ConnectCommand):
    """Show how connectors differ from what files say, change them, and wait until they run.

    A connector that is as it should be, and runs, is left alone; one that has failed is restarted, and one that was
    paused or stopped is resumed. The exit status is 1 when one is not running in the end, and the text says why.
    Connectors that no file names are left as they are.
    """

    name = "apply"
    options: Any = (
        _FILES,
        _URL,
        _TIMEOUT,
        click.option("--dry-run", is_flag=True, help="Only show the difference; the exit status is 1 if there is one."),
    )

    def work(self, url: str, timeout: float, files: Sequence[Path] = (), dry_run: bool = False) -> int:
        """Apply the files."""
        connectors = _connectors(files)

        async def job(cluster: KafkaConnect) -> int:
            differing = [await _tell_difference(cluster, connector) for connector in connectors]
            if dry_run:
                return 1 if any(differing) else 0
            for connector in connectors:
                await apply(cluster, connector, timeout, click.echo)
                click.echo(_status_text(await cluster.status(connector.name), connector.name))
            return 0

        return self.on_cluster(url, timeout, job)


class ConnectorStatus(_ConnectCommand):
    """Show how all connectors of the cluster are, and why those that failed did.

    The exit status is 1 when one has failed. With --json, one object a connector and line.
    """

    name = "status"
    options: Any = (_URL, _TIMEOUT, click.option("--json", "as_json", is_flag=True, help="Print JSON."))

    def work(self, url: str, timeout: float, as_json: bool = False) -> int:
        """Print the connectors."""

        async def job(cluster: KafkaConnect) -> int:
            names = await cluster.names()
            statuses = {name: await cluster.status(name) for name in names}
            for name, status in statuses.items():
                if as_json or self.json:
                    click.echo(msgspec.json.encode(status or {"name": name}))
                else:
                    click.echo(_status_text(status, name))
            if not names and not as_json:
                click.echo("no connectors")
            return 1 if any(status and status.failed for status in statuses.values()) else 0

        return self.on_cluster(url, timeout, job)


class DeleteConnectors(_ConnectCommand):
    """Delete connectors by NAME.

    How far a source has read stays known under its name in Connect's topic of offsets, and what it has in another
    system (a replication slot of PostgreSQL, for example) stays there.
    """

    name = "delete"
    options: Any = (
        click.argument("names", nargs=-1, required=True),
        _URL,
        _TIMEOUT,
        click.option("--yes", is_flag=True, help="Do it without asking."),
    )

    def work(self, url: str, timeout: float, names: Sequence[str] = (), yes: bool = False) -> int:
        """Delete the connectors; the status is 1 when one was not there."""
        if not yes:
            click.confirm(f"delete {', '.join(names)} from {url}?", abort=True)

        async def job(cluster: KafkaConnect) -> int:
            status = 0
            for name in names:
                if await cluster.delete(name):
                    click.echo(f"{name}: deleted")
                else:
                    click.echo(f"error: there is no connector {name}", err=True)
                    status = 1
            return status

        return self.on_cluster(url, timeout, job)


def _connectors(files: Sequence[Path]) -> list[Connector]:
    """Return the connectors of files. Raises: ConfigurationError when two have one name."""
    found = [connector for file in files or [DIRECTORY] for connector in read_connectors(file)]
    twice = [name for name, count in Counter(one.name for one in found).items() if count > 1]
    if twice:
        raise ConfigurationError(f"several files describe the connector {twice[0]}")
    return found


async def _tell_difference(cluster: KafkaConnect, connector: Connector) -> bool:
    """Print how a connector differs from what it should be; return whether it does."""
    current = await cluster.config(connector.name)
    lines = difference(current, connector.config)
    if current is None:
        click.echo(f"{connector.name}: new")
    else:
        click.echo(f"{connector.name}: {'differs' if lines else 'as configured'}")
    for line in lines:
        click.echo(f"  {line}")
    return bool(lines)


def _status_text(status: Status | None, name: str) -> str:
    """Return how a connector is, on a line, and below it why what failed did."""
    if status is None:
        return f"{name}: not started yet"
    tasks = Counter(task.state for task in status.tasks)
    told = ", ".join(f"{count} {'task' if count == 1 else 'tasks'} {state}" for state, count in tasks.items())
    line = f"{name}: {status.type} {status.connector.state}, {told or 'no tasks'}"
    return f"{line}\n  {failure_text(status)}" if status.failed else line
