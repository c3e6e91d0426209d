"""The log in memory: topics, their records, and what groups have committed. It outlives the workers of a test.

There is one thread and no other process, so what is written is whole and visible at once. Nothing is ever deleted, by
retention or compaction: a test may look at all of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from pelton.batch import Headers, OutgoingBatch, RecordBatch, TopicPartition, record_bytes
from pelton.errors import (
    ConfigurationError,
    OffsetOutOfRangeError,
    RecordRefusedError,
    RecordTooLargeError,
    TopicMismatch,
)
from pelton.log.contract import OffsetRange, Position, TopicSpec

__all__ = ["DEFAULT_PARTITIONS", "Records"]

DEFAULT_PARTITIONS = 8
#: The embedded log's: how large a record may be, and for how long a topic says that a key is gone.
_RECORD_BYTES_MAX = 16 * 1024 * 1024
_DELETIONS_MS = 24 * 60 * 60 * 1000
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(slots=True)
class _Partition:
    """Columns; a record's offset is its row. order: when each was written, counted over the whole log.

    start: the first offset that the application may read; a test may still look at what is before it.
    """

    timestamps_ms: list[int] = field(default_factory=list[int])
    keys: list[bytes | None] = field(default_factory=list["bytes | None"])
    values: list[bytes | None] = field(default_factory=list["bytes | None"])
    headers: list[Headers] = field(default_factory=list[Headers])
    sizes: list[int] = field(default_factory=list[int])
    order: list[int] = field(default_factory=list[int])
    start: int = 0


@dataclass(slots=True)
class _Topic:
    spec: TopicSpec
    partitions: list[_Partition]
    record_bytes_max: int


class Records:
    """All topics. positions: what each group has committed. news: called when something was written."""

    def __init__(self) -> None:
        self.positions: dict[tuple[str, TopicPartition], Position] = {}
        self.news: list[Callable[[], None]] = []
        #: How many members each group has had; the last one is its member.
        self.generations: dict[str, int] = {}
        #: Changes with the topics that there are.
        self.topics_version = 0
        self._topics: dict[str, _Topic] = {}
        self._written = 0

    # -- topics ------------------------------------------------------------------------------------

    def declare(self, spec: TopicSpec) -> int:
        """Create a topic, or check the one that exists. Returns: its partitions. Raises: TopicMismatch."""
        topic = self._topics.get(spec.name)
        if topic is not None:
            _compare(spec, topic.spec)
            return len(topic.partitions)
        count = DEFAULT_PARTITIONS if spec.partitions is None else spec.partitions
        if count < 1 or not _NAME.fullmatch(spec.name):
            raise ConfigurationError(
                f'topic "{spec.name}" with {count} partitions cannot be made',
                hint="at least one partition; letters, digits, '.', '_' and '-' in the name",
                topic=spec.name,
            )
        limit = int(spec.config.get("max.message.bytes", _RECORD_BYTES_MAX))
        self.topics_version += 1
        self._topics[spec.name] = _Topic(spec, [_Partition() for _ in range(count)], limit)
        return count

    def counts(self) -> dict[str, int]:
        """Return the number of partitions of each topic."""
        return {name: len(topic.partitions) for name, topic in self._topics.items()}

    def limits(self) -> dict[str, int]:
        """Return how large a record of each topic may be."""
        return {name: topic.record_bytes_max for name, topic in self._topics.items()}

    def keyed(self) -> dict[str, bool]:
        """Return of each topic whether it takes records with a key only."""
        return {name: topic.spec.cleanup_policy == "compact" for name, topic in self._topics.items()}

    def deletions_ms(self) -> dict[str, int]:
        """Return topic -> for how long it would say that a key is gone."""
        return {
            name: int(topic.spec.config.get("delete.retention.ms", _DELETIONS_MS))
            for name, topic in self._topics.items()
        }

    def delete(self, name: str) -> None:
        """Delete a topic and its records."""
        if self._topics.pop(name, None) is not None:
            self.topics_version += 1
            self.positions = {where: at for where, at in self.positions.items() if where[1].topic != name}

    def span(self, source: TopicPartition) -> OffsetRange:
        """Return the offsets that a partition holds. Raises: ConfigurationError when there is none such."""
        partition = self._partition(source)
        return OffsetRange(partition.start, len(partition.values))

    def trim(self, source: TopicPartition, end: int) -> None:
        """Delete the records before an offset, as far as the application is concerned."""
        partition = self._partition(source)
        partition.start = max(partition.start, min(end, len(partition.values)))

    def end(self, source: TopicPartition) -> int:
        """Return one past the last offset of a partition; 0 when there is none such."""
        topic = self._topics.get(source.topic)
        return len(topic.partitions[source.partition].values) if topic is not None else 0

    def _partition(self, source: TopicPartition) -> _Partition:
        topic = self._topics.get(source.topic)
        if topic is None or not 0 <= source.partition < len(topic.partitions):
            raise ConfigurationError(f"{source}: no such partition", hint="declare the topic first", topic=source.topic)
        return topic.partitions[source.partition]

    # -- records -----------------------------------------------------------------------------------

    def append(self, batches: Sequence[OutgoingBatch], now_ms: int) -> list[int]:
        """Append all batches, or none. Returns: the offset of each one's first record. Raises: ConfigurationError."""
        for batch in batches:
            self._check(batch)
        bases = [self._append(batch, now_ms) for batch in batches]
        self.tell()
        return bases

    def tell(self) -> None:
        """Wake up those who wait for something new."""
        for tell in list(self.news):
            tell()

    def _check(self, batch: OutgoingBatch) -> None:
        self._partition(TopicPartition(batch.topic, batch.partition))
        topic = self._topics[batch.topic]
        if topic.spec.cleanup_policy == "compact" and None in batch.keys:
            raise RecordRefusedError(
                f'topic "{batch.topic}" is compacted, and takes no record without a key', topic=batch.topic
            )
        largest = max(_sizes(batch), default=0)
        if largest > topic.record_bytes_max:
            raise RecordTooLargeError(
                f'topic "{batch.topic}" takes records of {topic.record_bytes_max:,} bytes at most, got {largest:,}',
                hint="send smaller messages, or raise max.message.bytes of the topic",
                topic=batch.topic,
            )

    def _append(self, batch: OutgoingBatch, now_ms: int) -> int:
        topic = self._topics[batch.topic]
        partition = topic.partitions[batch.partition]
        log_time = topic.spec.config.get("message.timestamp.type") == "LogAppendTime"
        base = len(partition.values)
        partition.timestamps_ms += [now_ms] * len(batch) if log_time else batch.timestamps_ms
        partition.keys += batch.keys
        partition.values += batch.values
        partition.headers += batch.headers if batch.headers is not None else [()] * len(batch)
        partition.sizes += _sizes(batch)
        partition.order += range(self._written, self._written + len(batch))
        self._written += len(batch)
        return base

    def read(self, source: TopicPartition, offset: int, bytes_max: int) -> RecordBatch:
        """Return records from an offset on: one at least where there is one. Raises: OffsetOutOfRangeError."""
        start, end = self.span(source)
        if not start <= offset <= end:
            raise OffsetOutOfRangeError(
                f"{source} holds offsets {start} to {end}, not {offset}",
                topic=source.topic,
                partition=source.partition,
                offset=offset,
            )
        return self.look(source, offset, bytes_max)

    def look(self, source: TopicPartition, offset: int, bytes_max: int) -> RecordBatch:
        """Return records from an offset on, also those that were deleted."""
        partition = self._partition(source)
        behind, nbytes, end = offset, 0, len(partition.values)
        while behind < end and (behind == offset or nbytes + partition.sizes[behind] <= bytes_max):
            nbytes += partition.sizes[behind]
            behind += 1
        headers = partition.headers[offset:behind]
        return RecordBatch(
            *source,
            range(offset, behind),
            partition.timestamps_ms[offset:behind],
            partition.keys[offset:behind],
            partition.values[offset:behind],
            behind,
            headers if any(headers) else None,
            nbytes,
        )

    def order(self, source: TopicPartition, offset: int) -> int:
        """Return when a record was written, counted over the whole log."""
        return self._partition(source).order[offset]

    def offset_at(self, source: TopicPartition, timestamp_ms: int) -> int | None:
        """Return the offset of the first record with this timestamp or a later one."""
        times = self._partition(source).timestamps_ms
        return next((offset for offset, time in enumerate(times) if time >= timestamp_ms), None)

    # -- groups ------------------------------------------------------------------------------------

    def committed(self, group_id: str, sources: Iterable[TopicPartition]) -> dict[TopicPartition, Position]:
        """Return a group's positions; partitions that have none are missing."""
        found = ((source, self.positions.get((group_id, source))) for source in sources)
        return {source: position for source, position in found if position is not None}


def _compare(spec: TopicSpec, known: TopicSpec) -> None:
    for what, declared, found in (
        ("partitions", spec.partitions, known.partitions or DEFAULT_PARTITIONS),
        ("cleanup.policy", spec.cleanup_policy, known.cleanup_policy),
    ):
        if declared not in (None, found):
            raise TopicMismatch(
                f'topic "{spec.name}" has {what} {found}, declared is {declared}',
                hint="declare it as it is, or use another name",
                topic=spec.name,
            )


def _sizes(batch: OutgoingBatch) -> list[int]:
    if batch.headers is None:
        return [len(key or b"") + len(value or b"") for key, value in zip(batch.keys, batch.values, strict=True)]
    rows = zip(batch.keys, batch.values, batch.headers, strict=True)
    return [record_bytes(*row) for row in rows]
