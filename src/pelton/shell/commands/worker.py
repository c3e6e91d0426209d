"""`faust -A app worker`: Faust's command, with `--processes` for several cores, and `--reload` for development."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NoReturn

import click
from faust.cli.base import option
from faust.cli.worker import worker as FaustWorkerCommand

from pelton.shell.processes import end_with_parent, run_processes
from pelton.shell.reloading import reload_command

__all__ = ["worker"]

_OPTION = "--processes"
_RELOAD, _RELOAD_DIR = "--reload", "--reload-dir"
_INSTANCE = "CONSUMER_GROUP_INSTANCE_ID"
_HELP = (
    "How many processes share the partitions; one keeps one core busy. "
    "Their web servers listen at the port and those that follow it."
)
_RELOAD_HELP = (
    "For development: start anew when a Python file below the working directory changes. "
    "State is kept; a file that does not compile is shown, and waited for."
)
_LOGGING_HELP = "How the log is written: for people, or an object a line (default: the setting PELTON_LOGGING, text)."
#: What Faust says of these is not so here, or it says nothing.
_WEB_BIND_HELP = (
    "Where the web server listens (default: 127.0.0.1, this machine alone; "
    "anywhere else it asks for the token of PELTON_WEB_TOKEN)."
)
_WEB_HOST_HELP = (
    "The name by which other workers reach this one's web server, where it listens to them "
    "(default: that of the machine)."
)
_RELOAD_DIR_HELP = "A directory to watch instead of the working directory; may be given several times."


def _name(make: Callable[[Any], Any]) -> str:
    """Return the name of the parameter that an option of click's stands for."""

    def probe() -> None: ...

    found: list[click.Parameter] = make(probe).__click_params__
    return found[0].name or ""


class worker(FaustWorkerCommand):
    """Start worker instance for given app."""

    options: ClassVar[Any] = [  # type: ignore[misc]
        *(make for make in FaustWorkerCommand.options or () if _name(make) not in ("web_bind", "web_host")),
        option("--web-bind", "-b", default=None, help=_WEB_BIND_HELP),
        option("--web-host", "-h", default=None, help=_WEB_HOST_HELP),
        option(_OPTION, default=1, show_default=True, type=click.IntRange(1, 64), help=_HELP),
        option("--logging", default=None, type=click.Choice(["text", "json"]), help=_LOGGING_HELP),
        option(_RELOAD, is_flag=True, default=False, show_default=False, help=_RELOAD_HELP),
        option(_RELOAD_DIR, multiple=True, type=click.Path(exists=True, file_okay=False), help=_RELOAD_DIR_HELP),
    ]

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the worker, in this process or in several, and anew when files change."""
        directories = self.kwargs.pop("reload_dir", ())
        if self.kwargs.pop("reload", False):
            words = _without(_RELOAD_DIR, sys.orig_argv)
            command = reload_command([word for word in words if word != _RELOAD], directories)
            os.execv(command[0], command)  # noqa: S606 - nothing of the program is in the process that watches
        if (form := self.kwargs.pop("logging", None)) is not None:
            app: Any = self.app
            app.config = replace(app.config, logging=form)
        end_with_parent()
        count = self.kwargs.pop("processes", 1)
        if count == 1:
            super().__call__(*args, **kwargs)
        port = self.kwargs["web_port"] or int(self.app.conf.web_port)
        words = _without(_OPTION, sys.orig_argv)
        commands = [([*words, "--web-port", str(port + index)], self._variables(index)) for index in range(count)]
        raise SystemExit(run_processes(commands))

    def _variables(self, index: int) -> dict[str, str]:
        """Return what one of several processes is told: a static member's name is for one of them only."""
        name = os.environ.get(_INSTANCE)
        if self.app.conf.consumer_group_instance_id and not name:
            raise click.UsageError(f"several processes need names of their own: set {_INSTANCE} in the environment")
        return {_INSTANCE: f"{name}-{index}"} if name else {}


def _without(name: str, argv: Sequence[str]) -> list[str]:
    """Return a command line without an option that takes a value."""
    given: list[str] = []
    words = iter(argv)
    for word in words:
        if word == name:
            next(words, None)
        elif not word.startswith(f"{name}="):
            given.append(word)
    return given
