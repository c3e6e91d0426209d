"""`faust -A app backup` and `restore`: the embedded log, copied while workers run, and put back."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

import click
from faust.cli.base import cli
from yarl import URL

from pelton.errors import ConfigurationError, UnavailableError
from pelton.log.sqlite import SqliteLog
from pelton.log.sqlite.backup import back_up, restore
from pelton.shell.commands.on_log import LogCommand
from pelton.shell.connection import sqlite_url

__all__ = ["Backup", "Restore"]


class _OnFile(LogCommand):
    """A command on the file of the embedded log."""

    abstract: ClassVar[bool] = True
    group: ClassVar[Any] = cli

    def file(self) -> Path:
        """Return the log's file. Raises: ConfigurationError for another log."""
        conf = self.application.conf
        url = URL(str(conf.broker[0]))
        if url.scheme != "sqlite":
            raise ConfigurationError(
                f"{url} is no embedded log, and only that is one file",
                hint="Kafka keeps its replicas itself; copy topics to another cluster with MirrorMaker 2",
            )
        return SqliteLog(sqlite_url(url, conf.datadir)).path


class Backup(_OnFile):
    """Copy the embedded log into FILE, as it is at one moment; workers may run, and go on.

    It holds everything: records, positions of groups, changelogs. The state of tables need not be copied, they are
    restored from it. The copy is checked, and FILE is there only when it is whole.
    """

    name = "backup"
    options: Any = (click.argument("file", type=click.Path(path_type=Path)),)

    def work(self, file: Path) -> int:
        """Copy it, and say what is in the copy."""
        found = back_up(self.file(), file)
        click.echo(
            f"{file}: {found.topics} topics, {found.records:,} records, {found.nbytes / 1024**2:,.1f} MiB, checked"
        )
        return 0


class Restore(_OnFile):
    """Put FILE, made by `backup`, in the place of the embedded log. No worker may run.

    The log that was there is kept beside it, under another name. The state of tables under the data directory is
    deleted: it may be of later records than those of the copy. Workers restore it at their next start.
    """

    name = "restore"
    options: Any = (
        click.argument("file", type=click.Path(path_type=Path)),
        click.option("--yes", is_flag=True, help="Do it without asking."),
    )

    def work(self, file: Path, yes: bool = False) -> int:
        """Put it back."""
        app, log = self.application, self.file()
        if not yes:
            click.confirm(f"put {file} in the place of {log}, and delete the state in {app.conf.tabledir}?", abort=True)
        aside = restore(file, log, app.clock)
        if aside is not None:
            click.echo(f"what was there is {aside} now")
        tables = Path(app.conf.tabledir)
        if tables.exists():
            try:
                shutil.rmtree(tables)
            except OSError as error:
                raise UnavailableError(
                    f"could not delete the state in {tables}: {error}", hint="delete it before a worker starts"
                ) from error
        click.echo(f"{log}: restored from {file}; workers restore their tables from it")
        return 0
