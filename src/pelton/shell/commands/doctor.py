"""`faust -A app doctor`: what is wrong, or will be, around the application, and what to do about it."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

import click
import orjson
from faust.cli.base import cli

from pelton.errors import PeltonError
from pelton.shell.commands.on_log import LogCommand
from pelton.shell.doctor import SEVERITIES, Finding, examine, judge

__all__ = ["Doctor"]


class Doctor(LogCommand):
    """Look for what is wrong around the application, and say what to do about each.

    The brokers' versions, features, replication, limits and disks; clocks; room, open files and memory of this
    machine; topics that are not as declared, or are partitioned unlike those they belong to; records that are deleted
    before they are read; settings that fight each other. Run it where a worker runs, with its environment.

    For the log's clock a record is written to a topic of its own, which is deleted again; --no-probe leaves that out.
    The exit status is 0 when there is nothing, or notes; 1 with warnings, 2 with errors, 3 without an answer.
    """

    group: ClassVar[Any] = cli
    name = "doctor"
    ex_failure = 3
    options: Any = (
        click.option("--json", "as_json", is_flag=True, help="Print JSON: one finding a line."),
        click.option("--no-probe", is_flag=True, help="Write nothing: clocks are not compared then."),
    )

    def work(self, as_json: bool = False, no_probe: bool = False) -> int:
        """Print what was found."""
        found = self.with_log(lambda log: examine(self.application, log, probe=not no_probe))
        findings = judge(found)
        for finding in findings:
            click.echo(orjson.dumps(asdict(finding)) if as_json or self.json else _text(finding))
        if not findings and not (as_json or self.json):
            click.echo("nothing to say: all is well")
        return max((SEVERITIES[finding.severity] for finding in findings), default=0)

    def tell(self, error: PeltonError) -> str:
        """Return what to say of an error: it is the finding."""
        return f"could not look: {error}"


def _text(finding: Finding) -> str:
    return f"{finding.severity}: {finding.message}\n    hint: {finding.hint}  [{finding.check}]"
