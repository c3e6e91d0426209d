"""Commands that need the application's log, and no worker: what they have in common."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import click
from faust.cli.base import AppCommand
from mode.worker import exiting

from pelton.errors import PeltonError
from pelton.log.contract import Log

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["LogCommand"]

T = TypeVar("T")


class LogCommand(AppCommand):
    """A subcommand of a group of commands: `faust -A app <group> <name>`; the group may be Faust's own command line."""

    abstract: ClassVar[bool] = True
    group: ClassVar[Any]
    name: ClassVar[str]
    #: The exit status when the log does not answer, or something is wrong with the question.
    ex_failure: ClassVar[int] = 1

    @classmethod
    def as_click_command(cls) -> Any:
        """Return the click command, as a subcommand of its group."""

        @click.pass_context
        def run(*args: Any, **kwargs: Any) -> None:
            with exiting(print_exception=True, file=sys.stderr):
                cls(*args, **kwargs)()

        command: Any = run
        for option in reversed(cls.options or []):
            command = option(command)
        return cls.group.command(cls.name, help=cls.__doc__)(command)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work, and end the process; errors are told in words."""
        logging.basicConfig(level=str(self.loglevel).upper())
        try:
            status = self.work(**self.kwargs)
        except PeltonError as error:
            click.echo(f"error: {self.tell(error)}", err=True)
            status = self.ex_failure
        raise SystemExit(status)

    def tell(self, error: PeltonError) -> str:
        """Return what to say of an error."""
        return str(error)

    def work(self, *args: Any, **options: Any) -> int:
        """Do the work; return the exit status."""
        raise NotImplementedError

    @property
    def application(self) -> App:
        """The application, which is ours."""
        return cast("App", self.app)

    def with_log(self, job: Callable[[Log], Awaitable[T]]) -> T:
        """Return what a job makes of the application's log, which is open for it."""

        async def run() -> T:
            app = self.application
            await app.open_log()
            try:
                return await job(app.log_connection)
            finally:
                await app.close_log()

        return asyncio.run(run())
