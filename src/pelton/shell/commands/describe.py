"""`faust -A app describe`: what an application consists of, and how evenly its records lie in its topics."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import click
import orjson
from faust.cli.base import cli

from pelton.shell.commands.columns import columns_text, period_text
from pelton.shell.commands.on_log import LogCommand
from pelton.shell.description import SAMPLE_RECORDS, Description, TopicDescription, describe

__all__ = ["Describe"]

#: From so many times the mean on, a partition is worth a word, and a key from such a part of the records on.
_SKEW = 1.5
_HOT = 0.1
_KEY_WIDTH = 40


class Describe(LogCommand):
    """Describe the application: settings, agents, tables, topics, and how evenly records lie in partitions.

    It starts no worker and changes nothing; topics that do not exist yet are shown as declared. Secrets are not shown.

    SKEW is how many times the mean the fullest partition holds: 1 is even, 4 with four partitions means that all is in
    one. HOTTEST KEY is the key that most of a topic's newest records have, and what part of them: no number of workers
    makes one key faster, for one worker handles it, in order.
    """

    group: ClassVar[Any] = cli
    name = "describe"
    options: Any = (
        click.option(
            "--sample",
            type=click.IntRange(min=0),
            default=SAMPLE_RECORDS,
            show_default=True,
            help="Of each partition, so many of the newest records are read for their keys.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    )

    def work(self, sample: int = SAMPLE_RECORDS, as_json: bool = False) -> int:
        """Print the description."""
        told = self.with_log(lambda log: describe(self.application, log, sample=sample))
        if as_json or self.json:
            click.echo(orjson.dumps(told.as_json()))
        else:
            click.echo("\n\n".join(_sections(told)))
        return 0


def _sections(told: Description) -> Iterator[str]:
    yield f"application {told.application}"
    yield "settings\n" + _indented([(name, _text(value)) for name, value in told.settings.items()])
    agents = [
        (
            agent.name,
            *(", ".join(one) or "-" for one in (agent.reads, agent.tables, agent.sends)),
            str(agent.concurrency),
        )
        for agent in told.agents
    ]
    yield "agents\n" + _indented([("AGENT", "READS", "TABLES", "SENDS TO", "CONCURRENCY"), *agents])
    if told.tables:
        tables = [
            (
                table.name,
                period_text(table.window_size_ms),
                period_text(table.retention_ms),
                period_text(table.history_ms),
            )
            for table in told.tables
        ]
        yield "tables\n" + _indented([("TABLE", "WINDOW", "KEPT", "HISTORY"), *tables])
    headings = ("TOPIC", "ROLE", "PARTITIONS", "CLEAN-UP", "RETENTION", "OFFSETS", "SKEW", "HOTTEST KEY")
    yield "topics\n" + _indented([headings, *map(_topic, told.topics)])
    if hints := [hint for topic in told.topics for hint in _hints(topic)]:
        yield "\n".join(hints)


def _topic(topic: TopicDescription) -> tuple[str, ...]:
    partitions = str(len(topic.records)) if topic.records else f"{topic.declared or 'default'}, not created yet"
    skew, keys = topic.skew, topic.keys
    return (
        topic.name,
        ", ".join(topic.roles),
        partitions,
        topic.cleanup_policy,
        "for ever" if topic.retention_ms == -1 else period_text(topic.retention_ms, "default"),
        f"{sum(topic.records):,}",
        "-" if skew is None else f"{skew:.2f}",
        "-" if keys is None else f"{_short(keys.hottest)} {keys.share:.1%}",
    )


def _hints(topic: TopicDescription) -> Iterator[str]:
    """Say what a figure means for whoever wants it to scale."""
    keys = topic.keys
    if "source" in topic.roles and topic.skew is not None and topic.skew >= _SKEW:
        fullest = max(range(len(topic.records)), key=topic.records.__getitem__)
        yield (
            f"{topic.name}: partition {fullest} holds {topic.skew:.1f} times the mean\n"
            "hint: choose a key with more values, or more partitions while the topic is new"
        )
    if keys is not None and keys.distinct > 1 and keys.share >= _HOT:
        yield (
            f"{topic.name}: {keys.share:.0%} of the newest records have the key {_short(keys.hottest)}\n"
            "hint: one worker handles one key in order; split it (account and day, say) where the order allows that"
        )


def _indented(rows: list[tuple[str, ...]]) -> str:
    return "\n".join(f"  {line}" for line in columns_text(rows).splitlines())


def _text(value: object) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _short(key: str) -> str:
    return key if len(key) <= _KEY_WIDTH else key[: _KEY_WIDTH - 1] + "…"
