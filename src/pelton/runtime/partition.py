"""Partition number n of the whole application: its store, its caches, its tasks and their staged effects.

Partition n of every topic and of every table belongs together: one worker owns all of it, commits it in one
transaction, and hands it over as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.log.contract import Position
from pelton.log.partitioner import partitions_for
from pelton.runtime.spec import TableSpec
from pelton.runtime.task import Task
from pelton.state.cache import TableCache
from pelton.state.contract import Store, TableWrites
from pelton.stream.lane import Send

__all__ = [
    "Partition",
    "PartitionStatistics",
    "StagedPartition",
    "decode_agent_positions",
    "encode_agent_positions",
    "route",
]

PartitionState = Literal["restoring", "running", "closed"]


@dataclass(frozen=True, slots=True)
class PartitionStatistics:
    """Where a partition number stands. staged_sends: messages that wait for the next commit."""

    number: int
    state: PartitionState
    staged_sends: int
    restored: int
    restore_total: int


@dataclass(frozen=True, slots=True)
class StagedPartition:
    """What a commit takes from a partition number: complete events only.

    changelogs: table -> the batch for its changelog partition. sends: messages of the agents, in order.
    positions: the lowest of the agents' positions for each partition, with each agent's own in the metadata.
    events: how many events the partition's tasks had completed.
    """

    partition: Partition
    changelogs: Mapping[str, OutgoingBatch]
    sends: Sequence[Send]
    positions: Mapping[TopicPartition, Position]
    events: int


class Partition:
    """Partition number n: from its opening to its end, restoring first, then running."""

    def __init__(self, number: int, store: Store, tables: Mapping[str, TableSpec]) -> None:
        self.number = number
        self.store = store
        self.tables = tables
        self.caches: dict[str, TableCache] = {}
        self.tasks: list[Task] = []
        self.state: PartitionState = "restoring"
        self.restored = 0
        self.restore_total = 0
        self.committed_events = 0
        self.sends: list[Send] = []
        self._committed: dict[TopicPartition, Position] = {}

    @property
    def idle(self) -> bool:
        """Whether its tasks have done all that was fetched."""
        return all(task.idle for task in self.tasks)

    @property
    def events(self) -> int:
        """How many events its tasks have completed."""
        return sum(task.events for task in self.tasks)

    @property
    def uncommitted(self) -> int:
        """How many events were completed since the last commit."""
        return self.events - self.committed_events

    @property
    def staged(self) -> bool:
        """Whether a commit would have something to take, other than positions that moved over gaps."""
        return (
            bool(self.sends)
            or self.uncommitted > 0
            or any(cache.dirty for cache in self.caches.values())
            or any(task.has_letters for task in self.tasks)
        )

    @property
    def queued_bytes(self) -> int:
        """The bytes that wait for the slowest of its tasks."""
        return max((task.queued_bytes for task in self.tasks), default=0)

    def extend(self, sends: Sequence[Send]) -> None:
        """Stage the messages of a complete event (this is the outbox of the partition's tasks)."""
        self.sends.extend(sends)

    def open_caches(self, positions: Mapping[TopicPartition, Position]) -> None:
        """Begin anew from what the store holds and the group has committed; whatever was staged is forgotten."""
        self.sends = []
        self._committed = dict(positions)
        self.caches = {
            spec.name: TableCache(
                spec.name, self.store, window_size_ms=spec.window_size_ms, retention_ms=spec.retention_ms
            )
            for spec in self.tables.values()
        }

    def stage(self, now_ms: int) -> StagedPartition | None:
        """Take the effects of all complete events since the last commit; None when there are none.

        now_ms: the wall clock, for the changelog records' timestamps; nothing reads them back.
        """
        positions = self._positions()
        changelogs = {
            name: self._changelog(name, writes, now_ms)
            for name, cache in self.caches.items()
            if (writes := cache.take())
        }
        letters = [letter for task in self.tasks for letter in task.take_letters()]
        sends, self.sends = self.sends + letters, []
        if not changelogs and not sends and positions == self._committed:
            return None
        return StagedPartition(self, changelogs, sends, positions, self.events)

    def _changelog(self, table: str, writes: Mapping[bytes, bytes | None], now_ms: int) -> OutgoingBatch:
        topic = self.tables[table].changelog.name
        return OutgoingBatch(topic, self.number, list(writes), list(writes.values()), [now_ms] * len(writes))

    def _positions(self) -> dict[TopicPartition, Position]:
        """Return the lowest position of all agents for each partition, and how far ahead each of them is."""
        agents: dict[TopicPartition, dict[str, int]] = {}
        for task in self.tasks:
            for source, offset in task.positions().items():
                agents.setdefault(source, {})[task.spec.name] = offset
        return {source: encode_agent_positions(offsets) for source, offsets in agents.items()}

    def committed(self, staged: StagedPartition, next_offsets: Mapping[str, int]) -> dict[str, TableWrites]:
        """Say that what `stage` took is durable.

        next_offsets: table -> the changelog offset behind the batch.
        Returns: what to write to the store.
        """
        self._committed = dict(staged.positions)
        self.committed_events = staged.events
        return {name: self.caches[name].committed(next_offsets.get(name)) for name in staged.changelogs}

    def stored(self, cache_bytes_max: int) -> None:
        """Say that the store has been written."""
        for cache in self.caches.values():
            cache.stored(cache_bytes_max)

    def statistics(self) -> PartitionStatistics:
        """Return where the partition stands."""
        return PartitionStatistics(self.number, self.state, len(self.sends), self.restored, self.restore_total)


def encode_agent_positions(offsets: Mapping[str, int]) -> Position:
    """Return the group's position for several agents: the lowest offset, and how far ahead the others are."""
    lowest = min(offsets.values())
    ahead = {agent: offset - lowest for agent, offset in sorted(offsets.items()) if offset > lowest}
    return Position(lowest, json.dumps(ahead, separators=(",", ":")) if ahead else "")


def decode_agent_positions(position: Position, agents: Sequence[str]) -> dict[str, int]:
    """Return each agent's own offset; an agent that the metadata does not name stands at the position itself."""
    ahead: dict[str, int] = json.loads(position.metadata) if position.metadata.startswith("{") else {}
    return {agent: position.offset + int(ahead.get(agent, 0)) for agent in agents}


def route(staged: Iterable[tuple[int, Sequence[Send]]], counts: Mapping[str, int]) -> list[OutgoingBatch]:
    """Group messages by the partition they go to, keeping their order within it.

    staged: (partition number they come from, messages). A message without a key goes to the same number (modulo the
        topic's count), so that the same input gives the same output (invariant I9).
    counts: topic -> number of partitions.
    """
    by_topic: dict[str, list[tuple[int, Send]]] = {}
    for own, sends in staged:
        for message in sends:
            by_topic.setdefault(message.topic, []).append((own, message))
    batches: dict[TopicPartition, OutgoingBatch] = {}
    for topic, messages in by_topic.items():
        count = counts[topic]
        keyed = partitions_for([message.key or b"" for _, message in messages], count)
        for (own, message), by_key in zip(messages, keyed, strict=True):
            number = message.partition
            if number is None:
                number = own % count if message.key is None else int(by_key)
            target = TopicPartition(topic, number)
            batch = batches.get(target)
            if batch is None:
                batch = batches[target] = OutgoingBatch(topic, number)
            batch.append(message.key, message.value, message.timestamp_ms, message.headers)
    return list(batches.values())
