"""The processes of the command line: Faust's, with errors that can be read, a quick end, and the log level asked for.

While Faust's worker starts it turns a spinner for every log line, for which it sets the root logger to DEBUG, and
leaves it there. Each debug line of each library is then made and thrown away: aiokafka's alone cost a tenth of the
CPU of a worker at 1,000 records/s.
"""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import logging
from typing import Any, ClassVar, NoReturn, cast

import click
import faust
import mode
from faust.cli import base

from pelton.errors import ConfigurationError, UnavailableError
from pelton.shell.json_logs import log_as_json

__all__ = ["AppCommand", "Worker"]

EX_FAILURE = 1


class _Process(mode.Worker):
    """A `mode.Worker` that ends at once."""

    async def _sentinel_task(self) -> None:
        """End the loop now: Faust gives it one more second, for tasks that its own parts leave behind."""


class Worker(_Process, faust.Worker):
    """A `faust.Worker` without the spinner, which tells what the user can mend in two lines."""

    _refused = False

    def on_setup_root_logger(self, logger: logging.Logger, level: int) -> None:
        """Leave the root logger at its level, and have it write as the settings say."""
        self.spinner: Any = None
        if cast(Any, self.app).config.logging == "json":
            log_as_json()

    async def start(self) -> None:
        """Start, or tell why not; with --debug our stack comes too."""
        try:
            await super().start()
        except (ConfigurationError, UnavailableError) as error:
            if self.debug:
                raise
            logging.getLogger(__name__).critical("the worker cannot start: %s", error)
            self._refused = True

    def execute_from_commandline(self) -> NoReturn:
        """Run to the end of the process; its exit status is 1 when the worker could not start."""
        try:
            super().execute_from_commandline()
        except SystemExit:
            if self._refused:
                raise SystemExit(EX_FAILURE) from None
            raise


class AppCommand(base.AppCommand):
    """A command of an application: an async `run` method, as `@app.command()` makes of a function."""

    abstract: ClassVar[bool] = True
    _failed = False

    async def execute(self, *args: Any, **kwargs: Any) -> None:
        """Run the command, and tell what the user can mend in two lines; with --debug our stack comes too."""
        try:
            await super().execute(*args, **kwargs)
        except (ConfigurationError, UnavailableError) as error:
            if self.debug:
                raise
            click.echo(f"error: {error}", err=True)
            self._failed = True

    def run_using_worker(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run to the end of the process; its exit status is 1 when the command failed."""
        try:
            super().run_using_worker(*args, **kwargs)
        except SystemExit:
            if self._failed:
                raise SystemExit(EX_FAILURE) from None
            raise

    @property
    def _Worker(self) -> type[mode.Worker]:
        return _Process
