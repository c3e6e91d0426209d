"""The topics of a program: declared or checked, counted, and made sure to fit together."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from pelton.batch import TopicPartition
from pelton.clock import Clock
from pelton.config import EngineConfig
from pelton.errors import CopartitioningError, RecordRefusedError
from pelton.log.contract import Log, TopicSpec
from pelton.runtime.acceptance import Acceptance
from pelton.runtime.deadletter import dead_letter_topic
from pelton.runtime.spec import DELETE_RETENTION, AgentSpec, Program, TableSpec

__all__ = ["TOPIC_NAME", "Layout", "Topics"]

logger = logging.getLogger(__name__)

#: What Kafka allows.
TOPIC_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")

#: A dead letter is its record and some headers more: whatever a topic takes, the letters' topic must.
_LETTERS_CONFIG = {"max.message.bytes": str(128 * 1024 * 1024)}


@dataclass(frozen=True, slots=True)
class Layout:
    """How topics are named and made.

    own: how the names of the application's own topics begin. dead_letters: the dead-letter topic. partitions: how many
    a topic gets that does not say and does not exist. changelog_config: what changelogs are made with that do not say.
    """

    own: str
    dead_letters: str
    partitions: int
    changelog_config: Mapping[str, str]

    @classmethod
    def of(cls, app_id: str, partitions: int, config: EngineConfig) -> Self:
        """Return the layout of an application's topics."""
        changelogs = {DELETE_RETENTION: str(config.changelog_delete_retention_ms)}
        return cls(f"{app_id}-", dead_letter_topic(app_id), partitions, changelogs)


class Topics:
    """What the log has for a program.

    counts: topic -> number of partitions; acceptance: what records they take. Known after `declare`.
    tables_declared: the program's tables, with their changelogs as they are declared, but for how long the log really
        says which keys are gone.
    lasting: the topics that are there for as long as the application is. Others, where somebody wants answers for
        instance, may be gone by the next commit.
    """

    def __init__(self, program: Program, log: Log, clock: Clock, layout: Layout) -> None:
        self.counts: dict[str, int] = {}
        self.acceptance = Acceptance(log, clock, self.counts)
        self.tables_declared = dict(program.tables)
        self.lasting: set[str] = set()
        self._program = program
        self._log = log
        self._layout = layout

    async def declare(self) -> None:
        """Create or check all topics, and check that what belongs together has the same number of partitions."""
        topics = self._beside_changelogs()
        existing = await self._log.partitions(topics)
        default = self._layout.partitions
        specs = [spec if name in existing else _with_partitions(spec, default) for name, spec in topics.items()]
        self.counts |= await self._log.declare(specs)
        tables = {name: replace(spec, changelog=self._changelog(spec)) for name, spec in self._program.tables.items()}
        self.counts |= await self._log.declare([spec.changelog for spec in tables.values()])
        self.tables_declared |= await self._as_told(tables)
        await self.acceptance.learn_sizes(self.counts)
        self.lasting |= set(self.counts)
        self.check_copartitioning()

    async def _as_told(self, tables: Mapping[str, TableSpec]) -> dict[str, TableSpec]:
        """Return tables with what the log really does: a changelog that exists keeps the settings that it has."""
        compacted = {name: spec for name, spec in tables.items() if spec.deletions_ms is not None}
        told = await self._log.deletions_ms(spec.changelog.name for spec in compacted.values())
        found, others = dict(tables), list[str]()
        for name, spec in compacted.items():
            topic, declared_ms = spec.changelog.name, spec.deletions_ms
            told_ms = told.get(topic, declared_ms)
            if told_ms != declared_ms:
                others.append(f"{topic} ({told_ms} ms, not {declared_ms})")
            config = {**spec.changelog.config, DELETE_RETENTION: str(told_ms)}
            found[name] = replace(spec, changelog=replace(spec.changelog, config=config))
        if others:
            logger.warning(
                "changelogs say for another time than declared which keys are gone: %s; `faust -A ... topics apply` "
                "changes them",
                ", ".join(others),
            )
        if unknown := sorted({spec.changelog.name for spec in compacted.values()} - told.keys()):
            logger.warning(
                "the log does not say for how long these tell which keys are gone, as declared is assumed: %s",
                ", ".join(unknown),
            )
        return found

    async def wanted(self) -> list[TopicSpec]:
        """Return all topics as `declare` would have them, and make none; `counts` is then what they would have.

        A topic that exists, and for which no number of partitions is declared, keeps its number.
        """
        topics = self._beside_changelogs()
        existing = await self._log.partitions(topics)
        specs = [_with_partitions(spec, existing.get(name, self._layout.partitions)) for name, spec in topics.items()]
        self.counts |= {spec.name: spec.partitions or 0 for spec in specs}
        changelogs = [self._changelog(spec) for spec in self._program.tables.values()]
        self.counts |= {spec.name: spec.partitions or 0 for spec in changelogs}
        return [*specs, *changelogs]

    def _beside_changelogs(self) -> dict[str, TopicSpec]:
        # Letters have the timestamps of their records: by any retention, those of old records would be gone at once.
        dead_letters = TopicSpec(self._layout.dead_letters, retention_ms=-1, config=_LETTERS_CONFIG)
        topics = {**self._program.outputs, **self._program.sources(), dead_letters.name: dead_letters}
        changelogs = {spec.changelog.name for spec in self._program.tables.values()}
        return {name: spec for name, spec in topics.items() if name not in changelogs}

    async def learn(self, topics: set[str]) -> None:
        """Find out about topics that messages go to and nobody declared; one that is missing is made.

        Raises: RecordRefusedError for what cannot be a topic.
        """
        for name in sorted(topics):
            if TOPIC_NAME.fullmatch(name) is None:
                raise RecordRefusedError(f"could not send to {name[:250]!r}: that cannot be a topic", topic=name)
        found = await self._log.partitions(topics)
        missing = [TopicSpec(name, self._layout.partitions) for name in sorted(topics - set(found))]
        self.counts |= {**found, **(await self._log.declare(missing))}
        self.lasting |= {name for name in topics if name.startswith(self._layout.own)}

    def _changelog(self, table: TableSpec, asked: frozenset[str] = frozenset()) -> TopicSpec:
        """Return a table's changelog, with as many partitions as the topics of the agents that use it.

        Where those are changelogs too (a join of tables), with as many as these get. asked: the tables that ask.
        """
        spec = table.changelog
        if "compact" in spec.cleanup_policy:
            spec = replace(spec, config={**self._layout.changelog_config, **spec.config})
        if spec.partitions is not None:
            return spec
        asked |= {table.name}
        users = [agent for agent in self._program.agents.values() if table.name in agent.tables]
        sources = {topic for agent in users or self._program.agents.values() for topic in agent.sources}
        counts = [self.counts[topic] for topic in sources if topic in self.counts]
        for one in self._program.tables.values():
            if one.changelog.name in sources and one.name not in asked:
                counts.append(self._changelog(one, asked).partitions or 0)
        return _with_partitions(spec, max(counts, default=self._layout.partitions))

    def check_copartitioning(self) -> None:
        """Check that an agent's topics and tables have the same number of partitions. Raises: CopartitioningError."""
        for agent in self._program.agents.values():
            self._check_joined(agent)
            for name in sorted(agent.tables & self._local().keys()):
                table = self.counts[self._program.tables[name].changelog.name]
                for topic in agent.sources:
                    if self.counts[topic] != table:
                        raise CopartitioningError(
                            f'agent {agent.name} uses table "{name}" with {table} partitions, '
                            f'but reads topic "{topic}" with {self.counts[topic]}',
                            hint="give both the same number of partitions, or repartition the stream with group_by",
                            topic=topic,
                        )

    def _check_joined(self, agent: AgentSpec) -> None:
        first, *others = agent.sources
        for topic in others:
            if agent.joins and self.counts[topic] != self.counts[first]:
                raise CopartitioningError(
                    f'agent {agent.name} joins topic "{first}" with {self.counts[first]} partitions '
                    f'and topic "{topic}" with {self.counts[topic]}',
                    hint="give both the same number of partitions, or have the join repartition them: "
                    "join(..., on=(Order.id, Payment.order_id))",
                    topic=topic,
                )

    def sources(self, number: int) -> list[TopicPartition]:
        """Return what agents read of a partition number."""
        return [TopicPartition(topic, number) for topic in self._program.sources() if number < self.counts[topic]]

    def tables(self, number: int) -> dict[str, TableSpec]:
        """Return the tables that have a partition of this number."""
        return {name: spec for name, spec in self._local().items() if number < self.counts[spec.changelog.name]}

    def _local(self) -> dict[str, TableSpec]:
        return {name: spec for name, spec in self.tables_declared.items() if not spec.replicated}


def _with_partitions(spec: TopicSpec, partitions: int) -> TopicSpec:
    if spec.partitions is not None:
        return spec
    return replace(spec, partitions=partitions)
