"""`faust -A app leave NAME`: a worker that kept its place in the group will not be back."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import click
from faust.cli.base import cli

from pelton.log.contract import Log
from pelton.shell.commands.on_log import LogCommand
from pelton.shell.topic_keeping import upkeep

__all__ = ["Leave"]

_NOT_THERE = 2


class Leave(LogCommand):
    """Take workers out of the group that will not be back, so that the others get their partitions at once.

    NAME is what CONSUMER_GROUP_INSTANCE_ID of the worker was. A worker that has such a name keeps its place when it
    stops, for BROKER_SESSION_TIMEOUT, because it may only be restarted. Where it is not, after workers became fewer,
    nobody needs to wait for that. Stop the worker first: one that runs only joins again.

    The exit status is 0 when all of them were members and are no more, 2 when one was none, 1 on errors.
    """

    group: ClassVar[Any] = cli
    name = "leave"
    options: Any = (click.argument("names", metavar="NAME...", nargs=-1, required=True),)

    def work(self, names: Sequence[str] = ()) -> int:
        """Take them out, and tell of each."""
        group_id = str(self.application.conf.id)

        async def dismiss(log: Log) -> list[bool]:
            return [await upkeep(log).dismiss(group_id, name) for name in names]

        there = self.with_log(dismiss)
        for name, was in zip(names, there, strict=True):
            click.echo(f"{name}: {'has left' if was else 'no member has this name'}")
        return 0 if all(there) else _NOT_THERE
