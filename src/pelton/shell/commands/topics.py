"""`faust -A app topics list|diff|apply`: the topics that a program declares, against those that its log has."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import click
import orjson
from faust.cli.base import cli

from pelton.log.contract import Log
from pelton.runtime.topic_plan import Change
from pelton.shell.commands.columns import columns_text, period_text
from pelton.shell.commands.on_log import LogCommand
from pelton.shell.topic_keeping import Comparison, apply, compare

__all__ = ["topics"]

_DIFFERENT = 2
_SIGNS = {"safe": "~", "loss": "!", "refused": "x"}


@cli.group("topics")
def topics() -> None:
    """Compare the topics that the application declares with those of its log, and bring these to what is declared.

    All topics that workers make at their start: those of agents, what is sent to, changelogs of tables, the dead
    letters'. What is declared without a number of partitions, replicas or a retention takes any.
    """


_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON: one object a line.")


class _TopicsCommand(LogCommand):
    """A subcommand of `topics`."""

    abstract: ClassVar[bool] = True
    group: ClassVar[Any] = topics

    def compared(self) -> Comparison:
        """Return the application's topics, as declared and as they are."""
        return self.with_log(lambda log: compare(self.application, log))


class ListTopics(_TopicsCommand):
    """List the application's topics as the log has them, and whether they are as declared.

    `left over` are topics that are named like the application's own, and that it does not declare: of tables and
    operators that are gone, or of answers and dead letters that were settled. Nothing deletes them by itself.
    """

    name = "list"
    options: Any = (_JSON,)

    def work(self, as_json: bool = False) -> int:
        """Print the list."""
        found = self.compared()
        differing = {change.topic for change in found.changes}
        rows = [("TOPIC", "PARTITIONS", "REPLICAS", "CLEAN-UP", "RETENTION", "STATE")]
        for spec in sorted(found.specs, key=lambda one: one.name):
            state = found.states.get(spec.name)
            told = "missing" if state is None else "differs" if spec.name in differing else "as declared"
            if as_json or self.json:
                click.echo(orjson.dumps({"topic": spec.name, "state": told, "found": state and asdict(state)}))
            elif state is None:
                rows.append((spec.name, str(spec.partitions), str(spec.replicas or "-"), "-", "-", told))
            else:
                config = state.config
                retention = int(config["retention.ms"])
                kept = (
                    "for ever" if retention < 0 or "delete" not in config["cleanup.policy"] else period_text(retention)
                )
                replicas = str(state.replicas or "-")
                rows.append((spec.name, str(state.partitions), replicas, config["cleanup.policy"], kept, told))
        for name in found.left:
            if as_json or self.json:
                click.echo(orjson.dumps({"topic": name, "state": "left over"}))
            rows.append((name, "-", "-", "-", "-", "left over"))
        if not (as_json or self.json):
            click.echo(columns_text(rows))
        return 0


class DiffTopics(_TopicsCommand):
    """Show what `topics apply` would do, and what it would not; the exit status is 2 when anything differs."""

    name = "diff"
    options: Any = (_JSON,)

    def work(self, as_json: bool = False) -> int:
        """Print the differences."""
        return _tell(self.compared().changes, as_json or self.json)


class ApplyTopics(_TopicsCommand):
    """Make the topics that are missing, and change those that are not as declared, where nothing is lost by it.

    It shows the plan and asks. A setting is changed, and all others of the topic stay. What is refused is said, with
    the reason: fewer partitions; more of them for a topic that holds keys, which would go elsewhere, away from their
    state; another number of replicas. What would delete records (a shorter retention, another clean-up policy) is
    left out too, unless --allow-loss is given.

    What is left at the end is said once more, as a warning or an error. The exit status is 0 when workers can start on
    the topics, 2 when they would refuse to (another number of partitions, another clean-up policy), 1 on errors; with
    --strict it is 2 for any difference that is left.
    """

    name = "apply"
    options: Any = (
        click.option("--yes", is_flag=True, help="Do it without asking."),
        click.option("--check", is_flag=True, help="Only show the plan; the exit status is 2 when there is one."),
        click.option("--allow-loss", is_flag=True, help="Also do what deletes records, or may."),
        click.option("--strict", is_flag=True, help="The exit status is 2 for any difference that is left."),
    )

    def work(self, yes: bool = False, check: bool = False, allow_loss: bool = False, strict: bool = False) -> int:
        """Show the plan, and carry it out."""
        changes = self.compared().changes
        status = _tell(changes, False)
        accepted = {"safe", "loss"} if allow_loss else {"safe"}
        if check or not changes:
            return status
        if not any(change.verdict in accepted for change in changes):
            return _conclude(changes, strict)
        if not yes:
            click.confirm("apply this?", abort=True)

        async def change(log: Log) -> list[Change]:
            # Looked at anew: while somebody thought about it, somebody else may have changed something.
            found = await compare(self.application, log)
            todo = [one for one in found.changes if one.verdict in accepted and one in changes]
            async for name in apply(log, found.specs, todo):
                click.echo(f"{name}: done")
            # What was carried out is: another broker than the one that told so may know it a moment later.
            return [one for one in (await compare(self.application, log)).changes if one not in todo]

        return _conclude(self.with_log(change), strict)


def _tell(changes: Iterable[Change], as_json: bool) -> int:
    """Print differences; return the exit status that says whether there are any."""
    changes = list(changes)
    for change in changes:
        if as_json:
            click.echo(orjson.dumps(asdict(change)))
        else:
            click.echo("\n".join(_lines(change)))
    if not changes and not as_json:
        click.echo("all topics are as declared")
    return _DIFFERENT if changes else 0


def _conclude(left: Sequence[Change], strict: bool) -> int:
    """Say what is left of the differences, on standard error; return the exit status of `apply`."""
    if not left:
        click.echo("all topics are as declared")
        return 0
    for change in left:
        severity = "error" if change.stops_workers else "warning"
        why = change.why or "it appeared meanwhile; apply again"
        click.echo(f"{severity}: {change.topic}: {_what(change)} is left: {why}", err=True)
    stopping = [change for change in left if change.stops_workers]
    consequence = "workers would not start" if stopping else "workers start all the same"
    click.echo(f"{len(left)} difference(s) left: {consequence}", err=True)
    return _DIFFERENT if strict or stopping else 0


def _what(change: Change) -> str:
    """Name a difference in words."""
    if change.setting == "topic":
        return f"missing, {change.declared}"
    return f"{change.setting} {change.found or '(none)'} -> {change.declared}"


def _lines(change: Change) -> Iterator[str]:
    """Say what is to change: `+` is made, `~` is changed, `!` loses records, `x` cannot be done this way."""
    if change.setting == "topic":
        yield f"+ {change.topic}: {change.declared}"
    else:
        yield f"{_SIGNS[change.verdict]} {change.topic}: {_what(change)}"
    if change.verdict == "loss":
        yield f"    left out: {change.why}; --allow-loss does it all the same"
    elif change.why:
        yield f"    refused: {change.why}"
    if change.hint:
        yield f"    hint: {change.hint}"
