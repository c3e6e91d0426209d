"""Partition number n of the whole application: its store, its caches, its tasks and their staged effects.

Partition n of every topic and of every table belongs together: one worker owns all of it, commits it in one
transaction, and hands it over as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.errors import RecordRefusedError
from pelton.log.contract import Position
from pelton.log.partitioner import partitions_for
from pelton.runtime.spec import TableSpec
from pelton.runtime.task import Task
from pelton.state.cache import CacheStatistics, TableCache
from pelton.state.contract import Store, TableWrites
from pelton.state.versions import VersionCache
from pelton.stream.lane import ENTRY_BYTES, Send

__all__ = [
    "Partition",
    "PartitionStatistics",
    "PartitionStorage",
    "StagedPartition",
    "decode_agent_positions",
    "encode_agent_positions",
    "ends_of",
    "names_agent",
    "route",
]

PartitionState = Literal["restoring", "running", "closed"]


@dataclass(frozen=True, slots=True)
class PartitionStatistics:
    """Where a partition number stands.

    staged_sends: messages that wait for the next commit. restored, restore_total: changelog offsets, replayed and in
    all, of the restore it began with; restore_s: the seconds that took, so far.
    """

    number: int
    state: PartitionState
    staged_sends: int
    restored: int
    restore_total: int
    restore_s: float = 0.0

    @property
    def restore_rate(self) -> float:
        """Offsets replayed a second."""
        return self.restored / self.restore_s if self.restore_s else 0.0

    @property
    def restore_left_s(self) -> float | None:
        """The seconds that the restore takes from here at this rate; None while nobody can tell."""
        left = self.restore_total - self.restored
        return left / self.restore_rate if self.restore_rate else None if left else 0.0


@dataclass(frozen=True, slots=True)
class PartitionStorage:
    """What a partition number holds: in each table's cache, and in its store, in the words of that kind of store."""

    number: int
    caches: Mapping[str, CacheStatistics]
    store: object


@dataclass(frozen=True, slots=True)
class StagedPartition:
    """What a commit takes from a partition number: complete events only.

    changelogs: table -> the batch for its changelog partition. sends: messages of the agents, in order.
    positions: the lowest of the agents' positions for each partition, with each agent's own in the metadata.
    events: how many events the partition's tasks had completed.
    then: called once it is durable.
    """

    partition: Partition
    changelogs: Mapping[str, OutgoingBatch]
    sends: Sequence[Send]
    positions: Mapping[TopicPartition, Position]
    events: int
    then: Sequence[Callable[[], None]] = ()


class Partition:
    """Partition number n: from its opening to its end, restoring first, then running."""

    def __init__(self, number: int, store: Store, tables: Mapping[str, TableSpec]) -> None:
        self.number = number
        self.store = store
        self.tables = tables
        self.caches: dict[str, TableCache] = {}
        self.tasks: list[Task] = []
        #: Agent -> where its topics ended as it began, for those that replay them.
        self.replay_to: dict[str, Mapping[TopicPartition, int]] = {}
        self.state: PartitionState = "restoring"
        self.restored = 0
        self.restore_total = 0
        self.restore_s = 0.0
        self.committed_events = 0
        #: How many commits took something of it.
        self.commits = 0
        self.sends: list[Send] = []
        self._committed: dict[TopicPartition, Position] = {}
        self._answers_taken = 0

    @property
    def answering(self) -> bool:
        """Whether there are answers that no commit has taken: somebody waits for each."""
        return self._answers != self._answers_taken

    @property
    def _answers(self) -> int:
        return sum(task.answers for task in self.tasks)

    @property
    def idle(self) -> bool:
        """Whether its tasks have done all that was fetched."""
        return all(task.idle for task in self.tasks)

    @property
    def urgent(self) -> bool:
        """Whether something is staged that a commit soon is worth, though there is more to do."""
        return any(task.urgent for task in self.tasks) and self.staged

    def replayed(self, agent: str) -> tuple[int, int]:
        """Return how many offsets an agent that replays its topics has done of those that were there as it began.

        Both are equal once it has caught up.
        """
        ends = self.replay_to.get(agent, {})
        nowhere: dict[TopicPartition, int] = {}
        positions = next((task.positions() for task in self.tasks if task.spec.name == agent), nowhere)
        return sum(min(positions[source], end) for source, end in ends.items()), sum(ends.values())

    def drained(self) -> dict[TopicPartition, int]:
        """Return where each of its sources goes on, once the tasks have done all that was fetched; else nothing.

        A source that only paused agents read does not go on.
        """
        if not self.idle:
            return {}
        offsets: dict[TopicPartition, int] = {}
        for task in self.tasks:
            for source, offset in task.handed_out().items() if not task.paused else ():
                offsets[source] = min(offset, offsets.get(source, offset))
        return offsets

    def behind(self, lag: Mapping[TopicPartition, int]) -> bool:
        """Return whether the log has more of what its agents read. lag: see `Group.lag`."""
        return any(lag.get(source, 0) for task in self.tasks if not task.paused for source in task.handed_out())

    def wanted(self) -> dict[TopicPartition, int]:
        """Return from where on each source is to be fetched; one that only paused agents read is missing."""
        offsets: dict[TopicPartition, int] = {}
        for task in self.tasks:
            for source in task.handed_out() if not task.paused else ():
                offsets[source] = min(task.wanted(source), offsets.get(source, task.wanted(source)))
        return offsets

    @property
    def events(self) -> int:
        """How many events its tasks have completed."""
        return sum(task.events for task in self.tasks)

    @property
    def uncommitted(self) -> int:
        """How many events were completed since the last commit."""
        return self.events - self.committed_events

    @property
    def committed_positions(self) -> Mapping[TopicPartition, Position]:
        """The positions as they were committed last; none before the first commit of all."""
        return self._committed

    def standing(self) -> Mapping[TopicPartition, int]:
        """Return where each of its sources is committed, or began when it never was."""
        return {
            source: (self._committed.get(source) or position).offset for source, position in self._positions().items()
        }

    def gathers_s(self, source: TopicPartition) -> float:
        """Return for how long an agent that reads a source gathers its events at most, before it handles them."""
        return max((task.gathers_s for task in self.tasks if source.topic in task.spec.sources), default=0.0)

    @property
    def staged(self) -> bool:
        """Whether a commit would have something to take, other than positions that moved over gaps."""
        return (
            bool(self.sends)
            or self.uncommitted > 0
            or any(cache.dirty for cache in self.caches.values())
            or any(task.has_letters or task.when_durable for task in self.tasks)
        )

    @property
    def staged_bytes(self) -> int:
        """About the memory that complete events hold until a commit takes it; looks at every write and message."""
        sends = sum(ENTRY_BYTES + len(message.value or b"") for message in self.sends)
        letters = sum(task.letter_bytes for task in self.tasks)
        return sends + letters + sum(cache.dirty_bytes() for cache in self.caches.values())

    @property
    def queued_bytes(self) -> int:
        """The bytes that wait for the slowest of its tasks."""
        return max((task.queued_bytes for task in self.tasks), default=0)

    def queued_of(self, source: TopicPartition) -> int:
        """Return the bytes of one source that wait for the slowest of its tasks."""
        return max((task.inbox.bytes_of(source) for task in self.tasks), default=0)

    def extend(self, sends: Sequence[Send]) -> None:
        """Stage the messages of a complete event (this is the outbox of the partition's tasks)."""
        self.sends.extend(sends)

    def open_caches(self, positions: Mapping[TopicPartition, Position], bytes_max: int = 256 * 1024 * 1024) -> None:
        """Begin anew from what the store holds and the group has committed; whatever was staged is forgotten.

        bytes_max: what each cache may hold.
        """
        self.sends = []
        self._committed = dict(positions)
        self.caches = {
            spec.name: TableCache(
                spec.name,
                self.store,
                window_size_ms=spec.window_size_ms,
                retention_ms=spec.retention_ms,
                bytes_max=bytes_max,
            )
            for spec in self.tables.values()
            if spec.versions_of is None
        }
        for spec in self.tables.values():
            if spec.versions_of is not None and spec.history is not None:
                of = self.caches[spec.versions_of]
                of.versions = VersionCache(spec.name, self.store, spec.history, of, bytes_max=bytes_max)
                self.caches[spec.name] = of.versions

    def stage(self, now_ms: int) -> StagedPartition | None:
        """Take the effects of all complete events since the last commit; None when there are none.

        now_ms: the wall clock, for the changelog records' timestamps; nothing reads them back.
        """
        for task in self.tasks:
            task.urgent = False
        positions, self._answers_taken = self._positions(), self._answers
        changelogs = {
            name: self._changelog(name, writes, now_ms)
            for name, cache in self.caches.items()
            if (writes := cache.take())
        }
        letters = [letter for task in self.tasks for letter in task.take_letters()]
        sends, self.sends = self.sends + letters, []
        then = self._take_callbacks()
        if not changelogs and not sends and positions == self._committed:
            self.committed_events = self.events  # those that an earlier one holds back, and have no effects
            _call(then)  # there is nothing that they would wait for
            return None
        return StagedPartition(self, changelogs, sends, positions, self.events, then)

    def _take_callbacks(self) -> list[Callable[[], None]]:
        taken: list[Callable[[], None]] = []
        for task in self.tasks:
            if task.when_durable:
                taken += task.when_durable
                task.when_durable = []
        return taken

    def _changelog(self, table: str, writes: Mapping[bytes, bytes | None], now_ms: int) -> OutgoingBatch:
        spec = self.tables[table]
        topic = spec.changelog.name
        if spec.format is not None:
            batch = spec.format.records(TopicPartition(topic, self.number), writes, now_ms)
        else:
            batch = OutgoingBatch(topic, self.number, list(writes), list(writes.values()), [now_ms] * len(writes))
        batch.rank = spec.rank
        return batch

    def _positions(self) -> dict[TopicPartition, Position]:
        """Return the lowest position of all agents for each partition, and how far ahead each of them is."""
        agents: dict[TopicPartition, dict[str, int]] = {}
        for task in self.tasks:
            for source, offset in task.positions().items():
                agents.setdefault(source, {})[task.spec.name] = offset
        replaying = frozenset(task.spec.name for task in self.tasks if task.spec.replays)
        return {source: encode_agent_positions(offsets, replaying) for source, offsets in agents.items()}

    def committed(self, staged: StagedPartition, next_offsets: Mapping[str, int]) -> dict[str, TableWrites]:
        """Say that what `stage` took is durable.

        next_offsets: table -> the changelog offset behind the batch.
        Returns: what to write to the store.
        """
        self._committed = dict(staged.positions)
        self.committed_events = staged.events
        self.commits += 1
        _call(staged.then)
        return {name: self.caches[name].committed(next_offsets.get(name)) for name in staged.changelogs}

    def stored(self, cache_bytes_max: int) -> None:
        """Say that the store has been written."""
        for cache in self.caches.values():
            cache.stored(cache_bytes_max)

    def statistics(self) -> PartitionStatistics:
        """Return where the partition stands."""
        done, total = self.restored, self.restore_total
        return PartitionStatistics(self.number, self.state, len(self.sends), done, total, self.restore_s)

    def storage(self) -> PartitionStorage:
        """Return what it holds; asks the store."""
        caches = {name: cache.statistics() for name, cache in self.caches.items()}
        return PartitionStorage(self.number, caches, self.store.statistics())


def _call(callbacks: Iterable[Callable[[], None]]) -> None:
    for callback in callbacks:
        callback()


def encode_agent_positions(offsets: Mapping[str, int], named: Collection[str] = ()) -> Position:
    """Return the group's position for several agents: the lowest offset, and how far ahead the others are.

    named: agents that the metadata names in any case, so that one that is new can be told from them.
    """
    lowest = min(offsets.values())
    ahead = {a: offset - lowest for a, offset in sorted(offsets.items()) if offset > lowest or a in named}
    return Position(lowest, json.dumps(ahead, separators=(",", ":")) if ahead else "")


def decode_agent_positions(position: Position, agents: Sequence[str]) -> dict[str, int]:
    """Return each agent's own offset; an agent that the metadata does not name stands at the position itself."""
    ahead = _ahead(position)
    return {agent: position.offset + int(ahead.get(agent, 0)) for agent in agents}


def names_agent(position: Position, agent: str) -> bool:
    """Return whether a position says where an agent stands."""
    return agent in _ahead(position)


def _ahead(position: Position) -> dict[str, int]:
    found: dict[str, int] = json.loads(position.metadata) if position.metadata.startswith("{") else {}
    return found


def route(staged: Iterable[tuple[int, Sequence[Send]]], counts: Mapping[str, int]) -> list[OutgoingBatch]:
    """Group messages by the partition they go to, keeping their order within it.

    staged: (partition number they come from, messages). A message without a key goes to the same number (modulo the
        topic's count), so that the same input gives the same output (invariant I9).
    counts: topic -> number of partitions.
    Raises: RecordRefusedError for a partition that does not exist.
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
            elif not 0 <= number < count:
                raise RecordRefusedError(f"could not send to {topic}[{number}]: there are {count}", topic=topic)
            target = TopicPartition(topic, number)
            batch = batches.get(target)
            if batch is None:
                batch = batches[target] = OutgoingBatch(topic, number)
            batch.append(message.key, message.value, message.timestamp_ms, message.headers)
    return list(batches.values())


def ends_of(writes: Iterable[OutgoingBatch], bases: Iterable[int]) -> dict[TopicPartition, int]:
    """Return the offset behind each batch."""
    return {
        TopicPartition(batch.topic, batch.partition): base + len(batch)
        for batch, base in zip(writes, bases, strict=True)
    }
