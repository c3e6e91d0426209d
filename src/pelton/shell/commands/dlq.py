"""`faust -A app dlq list|show|replay|discard`: looking at dead letters, and settling them."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import click
import orjson
from faust.cli.base import cli

from pelton.errors import ConfigurationError, FencedError, PeltonError
from pelton.log.contract import Log
from pelton.runtime.letters import Letter, LetterBox, LetterQuery, Number
from pelton.runtime.settling import Settled, discard, replay
from pelton.shell.commands.letter_text import (
    counts_text,
    letter_json,
    letter_text,
    pretty,
    table_text,
)
from pelton.shell.commands.on_log import LogCommand
from pelton.web.letter_json import reason_of, summary_json

if TYPE_CHECKING:
    from pelton.shell.topic import Topic

__all__ = ["dlq"]

_AGO = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@cli.group("dlq")
def dlq() -> None:
    """Look at the records that could not be processed, and replay or discard them.

    A record that cannot be decoded, or that an agent fails on again and again, is kept as a dead letter in the topic
    <app>-dlq, with its bytes, its headers, and the reason. `list` and `show` change nothing. `replay` puts records
    back on their topic, each exactly once, however often the command is killed and run again; `discard` marks letters
    as done with. A letter that was replayed or discarded is not listed any more, except with --all.
    """


def _since_ms(text: str) -> int:
    """Return the time that "2h" (ago) or an ISO date means, in milliseconds. Raises: click.BadParameter."""
    if match := re.fullmatch(r"(\d{1,6})([smhd])", text, re.ASCII):
        ago = timedelta(**{_AGO[match[2]]: int(match[1])})
        return int((datetime.now(UTC) - ago).timestamp() * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither like 2h, 30m, 7d nor like 2025-01-31T12:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON: one object a letter and line.")
_ALL = click.option("--all", "settled", is_flag=True, help="Also letters that were replayed or discarded.")
_YES = click.option("--yes", is_flag=True, help="Do it without asking.")
_FILTERS = [
    click.option("--topic", help="Only records of this topic."),
    click.option("--agent", help="Only what this agent failed on, by its full name."),
    click.option("--error", help="Only errors with this in their text, in any case."),
    click.option(
        "--since",
        "since_ms",
        type=_since_ms,
        metavar="WHEN",
        help="Only records with a timestamp of the last 2h, 30m, 7d, or since 2025-01-31T12:00 (UTC).",
    ),
    click.option("--limit", type=click.IntRange(min=1), help="At most so many letters."),
]


class _DlqCommand(LogCommand):
    """A subcommand of `dlq`."""

    abstract: ClassVar[bool] = True
    group: ClassVar[Any] = dlq

    def tell(self, error: PeltonError) -> str:
        """Return what to say of an error."""
        if isinstance(error, FencedError):
            return (
                "another replay or discard of this application has begun, and took over\n"
                "hint: what was settled so far stays so; run this again when the other has ended"
            )
        return super().tell(error)

    def letters(self, query: LetterQuery, *, contents: bool = False) -> list[Letter]:
        """Return the letters that a query means; without their contents, for there may be many."""

        async def find(log: Log) -> list[Letter]:
            box = LetterBox(log, self.application.conf.id)
            return [letter if contents else letter.envelope() async for letter in box.find(query)]

        return self.with_log(find)


class ListLetters(_DlqCommand):
    """List dead letters, with counts by reason.

    The first column is the letter's number, which the other commands take. Times are those of the records, in UTC.
    """

    name = "list"
    options: Any = (*_FILTERS, _ALL, _JSON)

    def work(self, as_json: bool = False, **filters: Any) -> int:
        """Print the letters."""
        letters = self.letters(LetterQuery(**filters))
        if as_json or self.json:
            for letter in letters:
                click.echo(orjson.dumps(summary_json(letter)))
        elif not letters:
            click.echo("no dead letters")
        else:
            click.echo(table_text(letters))
            click.echo()
            click.echo(counts_text(Counter(map(reason_of, letters)), f"{len(letters):,} letter(s), by reason:"))
        return 0


class ShowLetters(_DlqCommand):
    """Show letters in full: reason, traceback, headers, key and value.

    The value is shown as its topic declares it, when it can be decoded, and as it is: text if it is UTF-8, and bytes.

    Example: faust -A app dlq show 0:17
    """

    name = "show"
    options: Any = (click.argument("numbers", nargs=-1, required=True), _JSON)

    def work(self, numbers: Sequence[str] = (), as_json: bool = False) -> int:
        """Print the letters; the status is 1 when one was not found."""
        wanted = frozenset(map(Number.parse, numbers))
        letters = self.letters(LetterQuery(wanted, settled=True), contents=True)
        for letter in letters:
            if as_json or self.json:
                click.echo(orjson.dumps(letter_json(letter, self._decoded)))
            else:
                click.echo(letter_text(letter, self._decoded) + "\n")
        return _report_missing(wanted - {letter.number for letter in letters})

    def _decoded(self, letter: Letter) -> Mapping[str, str]:
        """Return the key and the value as the letter's topic declares them; nothing when nobody declares it."""
        topic: Topic[Any, Any] | None = next(
            (topic for topic in self.application.declared_topics if letter.topic in topic.topics), None
        )
        if topic is None:
            return {}
        shown: dict[str, str] = {}
        for name, codec, data in zip(("key", "value"), topic.codecs(), (letter.key, letter.value), strict=True):
            if data is not None and codec.name != "pickle":  # it runs what it reads: not where one only looks
                try:
                    shown[name] = pretty(codec.decode(data))
                except codec.errors as error:
                    shown[name] = str(codec.explain(error, data))
        return shown


class _SettlingCommand(_DlqCommand):
    """What replay and discard have in common: they tell what they will do, ask, and tell what they did."""

    abstract: ClassVar[bool] = True
    verb: ClassVar[str]
    past: ClassVar[str]

    def settle(self, query: LetterQuery, yes: bool, job: Callable[[Log], Awaitable[Settled]]) -> int:
        """Settle the letters that a query means; the status is 1 when one that was named is not there."""
        letters = self.letters(query)
        if letters and not yes:
            topics = Counter(letter.topic for letter in letters)
            click.echo(counts_text(topics, f"{self.verb} {len(letters):,} letter(s), of records of the topics"))
            click.confirm("go on?", abort=True)
        settled = self.with_log(job)
        for number, mark in settled.before.items():
            click.echo(f"{number} was {mark.how} before", err=True)
        click.echo(f"{self.past} {settled.count:,} letter(s)")
        return _report_missing(settled.missing)

    def progress(self, count: int) -> None:
        """Tell how many letters are settled so far."""
        click.echo(f"{self.past} {count:,} so far", err=True)


class ReplayLetters(_SettlingCommand):
    """Put the records of dead letters back on their topics, each exactly once.

    NUMBERS name letters (0:17 0:18); without them, all letters that the filters mean, and without filters all. A record
    goes back as it was: key, value, headers, timestamp, and on its own topic also the partition. That and the letter's
    mark are one transaction: kill this command at any moment and run it again, and nothing is replayed twice.

    Every agent that reads the topic gets the record again, not only the one that failed. Where others must not see it
    twice, replay to a topic of its own with --to, and have the agent read that too, as in
    app.topic("orders", "orders-again").

    A record that fails again becomes a new letter.
    """

    name = "replay"
    verb, past = "replay", "replayed"
    options: Any = (
        click.argument("numbers", nargs=-1),
        *_FILTERS,
        click.option("--to", help="The topic they go to, instead of their own."),
        _YES,
    )

    def work(self, numbers: Sequence[str] = (), to: str | None = None, yes: bool = False, **filters: Any) -> int:
        """Replay the letters."""
        app = self.application
        query = LetterQuery(frozenset(map(Number.parse, numbers)), **filters)
        return self.settle(query, yes, lambda log: replay(log, app.conf.id, query, app.clock, self.progress, to=to))


class DiscardLetters(_SettlingCommand):
    """Mark dead letters as done with.

    NUMBERS name letters (0:17 0:18); without them, all letters that the filters mean, and without filters all. They
    stay in the topic, and `dlq list --all` shows them, but they are not replayed any more.
    """

    name = "discard"
    verb, past = "discard", "discarded"
    options: Any = (
        click.argument("numbers", nargs=-1),
        *_FILTERS,
        click.option("--reason", required=True, help="Why, for those who look later."),
        _YES,
    )

    def work(self, numbers: Sequence[str] = (), reason: str = "", yes: bool = False, **filters: Any) -> int:
        """Discard the letters."""
        app = self.application
        if not reason.strip():
            raise ConfigurationError("could not discard: no reason given", hint='--reason "what happened to them"')
        query = LetterQuery(frozenset(map(Number.parse, numbers)), **filters)
        job = lambda log: discard(log, app.conf.id, query, app.clock, self.progress, reason=reason)  # noqa: E731
        return self.settle(query, yes, job)


def _report_missing(numbers: Sequence[Number] | frozenset[Number]) -> int:
    """Tell which letters are not there; return the exit status."""
    for number in sorted(numbers):
        click.echo(f"error: there is no dead letter {number}", err=True)
    return 1 if numbers else 0
