"""Topics and their records: what the file is asked, in plain blocking calls.

Every function takes a database and runs within the transaction of its caller.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.errors import (
    ConfigurationError,
    OffsetOutOfRangeError,
    RecordRefusedError,
    RecordTooLargeError,
    TopicMismatch,
)
from pelton.killpoints import step
from pelton.log.contract import OffsetRange, Position, RecordRules, TopicSpec
from pelton.log.sqlite import blob
from pelton.log.sqlite.database import Database

__all__ = [
    "DEFAULT_PARTITIONS",
    "append",
    "committed",
    "declare",
    "delete",
    "find_offset",
    "joined",
    "offset_range",
    "offset_ranges",
    "read",
    "read_all",
    "record_bytes_max",
    "record_rules",
    "save_positions",
    "topics",
]

DEFAULT_PARTITIONS = 8
#: Kafka's defaults: a week, and for records more than its megabyte, so that large ones need no setting.
_RETENTION_MS = 7 * 24 * 60 * 60 * 1000
_RECORD_BYTES_MAX = 16 * 1024 * 1024
#: Kafka's rule for names, so that a program can move there.
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


class _Topic(NamedTuple):
    id: int
    partitions: int
    cleanup_policy: str
    record_bytes_max: int
    log_time: bool


def _find(db: Database, name: str) -> _Topic | None:
    row = db.execute(
        "SELECT id, partitions, cleanup_policy, record_bytes_max, id IN (SELECT topic FROM log_time)"
        " FROM topics WHERE name = ?",
        (name,),
    ).fetchone()
    return _Topic(*row) if row is not None else None


def _require(db: Database, partition: TopicPartition) -> _Topic:
    topic = _find(db, partition.topic)
    if topic is None or not 0 <= partition.partition < topic.partitions:
        raise ConfigurationError(
            f"{partition}: no such partition", hint="declare the topic first", topic=partition.topic
        )
    return topic


def topics(db: Database, names: Iterable[str] | None = None) -> dict[str, int]:
    """Return topic -> number of partitions, of these topics or of all; those that do not exist are missing."""
    found: dict[str, int] = dict(db.execute("SELECT name, partitions FROM topics").fetchall())
    return found if names is None else {name: found[name] for name in names if name in found}


def record_bytes_max(db: Database, names: Iterable[str]) -> dict[str, int]:
    """Return topic -> how large a record of it may be; topics that do not exist are missing."""
    found: dict[str, int] = dict(db.execute("SELECT name, record_bytes_max FROM topics").fetchall())
    return {name: found[name] for name in names if name in found}


def record_rules(db: Database, names: Iterable[str]) -> dict[str, RecordRules]:
    """Return topic -> what else it asks of its records; topics that do not exist are missing."""
    found = {name: _find(db, name) for name in names}
    return {name: RecordRules(keyed="compact" in topic.cleanup_policy) for name, topic in found.items() if topic}


def declare(db: Database, spec: TopicSpec) -> int:
    """Create a topic, or check the one that exists. Returns: its number of partitions."""
    topic = _find(db, spec.name)
    if topic is not None:
        _compare(spec, topic)
        return topic.partitions
    partitions = DEFAULT_PARTITIONS if spec.partitions is None else spec.partitions
    if partitions < 1 or not _NAME.fullmatch(spec.name):
        raise ConfigurationError(
            f'topic "{spec.name}" with {partitions} partitions cannot be made',
            hint="at least one partition; letters, digits, '.', '_' and '-' in the name",
            topic=spec.name,
        )
    cursor = db.execute(
        "INSERT INTO topics (name, partitions, cleanup_policy, retention_ms, record_bytes_max) VALUES (?, ?, ?, ?, ?)",
        (
            spec.name,
            partitions,
            spec.cleanup_policy,
            _RETENTION_MS if spec.retention_ms is None else spec.retention_ms,
            int(spec.config.get("max.message.bytes", _RECORD_BYTES_MAX)),
        ),
    )
    rows = [(cursor.lastrowid, number) for number in range(partitions)]
    db.executemany("INSERT INTO ranges (topic, partition) VALUES (?, ?)", rows)
    if spec.config.get("message.timestamp.type") == "LogAppendTime":
        db.execute("INSERT INTO log_time (topic) VALUES (?)", (cursor.lastrowid,))
    if "delete.retention.ms" in spec.config:
        kept_ms = int(spec.config["delete.retention.ms"])
        db.execute("INSERT INTO tombstones (topic, kept_ms) VALUES (?, ?)", (cursor.lastrowid, kept_ms))
    return partitions


def _compare(spec: TopicSpec, topic: _Topic) -> None:
    if spec.partitions not in (None, topic.partitions):
        raise TopicMismatch(
            f'topic "{spec.name}" has {topic.partitions} partitions, declared are {spec.partitions}',
            hint="declare as many as it has, or use another name",
            topic=spec.name,
        )
    if set(spec.cleanup_policy.split(",")) != set(topic.cleanup_policy.split(",")):
        raise TopicMismatch(
            f'topic "{spec.name}" has cleanup.policy {topic.cleanup_policy}, declared is {spec.cleanup_policy}',
            hint="declare the policy it has, or use another name",
            topic=spec.name,
        )


def delete(db: Database, name: str) -> None:
    """Delete a topic and its records."""
    topic = _find(db, name)
    if topic is not None:
        for table in ("batches", "ranges", "log_time", "tombstones", "cleaned"):
            db.execute(f"DELETE FROM {table} WHERE topic = ?", (topic.id,))  # noqa: S608 - names of our own
        db.execute("DELETE FROM positions WHERE topic = ?", (name,))
        db.execute("DELETE FROM topics WHERE id = ?", (topic.id,))


def trim(db: Database, ends: Mapping[TopicPartition, int]) -> None:
    """Delete the rows that lie before an offset as a whole, and let the partition begin behind them."""
    for partition, end in ends.items():
        place = (_require(db, partition).id, partition.partition)
        (first,) = db.execute(
            "SELECT max(next) FROM batches WHERE topic = ? AND partition = ? AND next <= ?", (*place, end)
        ).fetchone()
        if first is not None:
            db.execute("DELETE FROM batches WHERE topic = ? AND partition = ? AND next <= ?", (*place, first))
            db.execute(
                "UPDATE ranges SET first = max(first, ?) WHERE topic = ? AND partition = ?",
                (first, *place),
            )


def append(db: Database, batches: Sequence[OutgoingBatch], now_ms: int) -> list[int]:
    """Append batches. Returns: the offset of each one's first record.

    Raises: ConfigurationError when a topic is missing, or does not take a record (RecordRefusedError).
    """
    return [_append(db, batch, now_ms) for batch in batches]


@step("produce")
def _append(db: Database, batch: OutgoingBatch, now_ms: int) -> int:
    topic = _require(db, TopicPartition(batch.topic, batch.partition))
    nbytes = blob.batch_size(batch)
    _check(batch, nbytes, topic)
    if topic.log_time:
        batch = replace(batch, timestamps_ms=[now_ms] * len(batch))
    place = (topic.id, batch.partition)
    first, reached_ms = db.execute(
        "SELECT next, reached_ms FROM ranges WHERE topic = ? AND partition = ?", place
    ).fetchone()
    next_ = first
    for columns in blob.split(batch, nbytes):
        data = blob.encode(columns)
        base, next_ = next_, next_ + len(columns.keys)
        latest_ms = max(columns.timestamps_ms)
        reached_ms = max(reached_ms, latest_ms)
        db.execute(
            "INSERT INTO batches (topic, partition, base, next, reached_ms, appended_ms, nbytes, columns)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*place, base, next_, reached_ms, now_ms, len(data), data),
        )
    db.execute(
        "UPDATE ranges SET next = ?, reached_ms = ? WHERE topic = ? AND partition = ?", (next_, reached_ms, *place)
    )
    return int(first)


def _check(batch: OutgoingBatch, nbytes: int, topic: _Topic) -> None:
    """Refuse what Kafka refuses: a record that is too large, or one without a key in a compacted topic."""
    if "compact" in topic.cleanup_policy and None in batch.keys:
        raise RecordRefusedError(
            f'topic "{batch.topic}" is compacted, but record {batch.keys.index(None)} of the batch has no key',
            hint="give every record a key, or declare the topic with cleanup policy delete",
            topic=batch.topic,
            partition=batch.partition,
        )
    # Nearly no record is too large, so the columns are summed first.
    if nbytes <= topic.record_bytes_max:
        return
    largest = max(blob.record_size(batch, index) for index in range(len(batch)))
    if largest > topic.record_bytes_max:
        raise RecordTooLargeError(
            f'topic "{batch.topic}" takes records up to {topic.record_bytes_max} bytes, got {largest}',
            hint='declare it with config={"max.message.bytes": …}',
            topic=batch.topic,
            partition=batch.partition,
        )


def offset_range(db: Database, partition: TopicPartition) -> OffsetRange:
    """Return the offsets that a partition holds. Raises: ConfigurationError when it does not exist."""
    _require(db, partition)
    return offset_ranges(db, [partition])[partition]


def offset_ranges(db: Database, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, OffsetRange]:
    """Return the offsets that partitions hold; those that do not exist are missing."""
    wanted = set(partitions)
    found: dict[TopicPartition, OffsetRange] = {}
    for name in {partition.topic for partition in wanted}:
        rows = db.execute(
            "SELECT r.partition, r.first, r.next FROM ranges r JOIN topics t ON t.id = r.topic WHERE t.name = ?",
            (name,),
        )
        found |= {TopicPartition(name, number): OffsetRange(first, end) for number, first, end in rows}
    return {partition: found[partition] for partition in wanted if partition in found}


def read_all(db: Database, positions: Mapping[TopicPartition, int], bytes_max: int) -> list[RecordBatch]:
    """Return what there is from these positions on, a batch a partition, about bytes_max at most, in equal shares.

    positions: in the order in which they are served when there is not enough room for all.
    Raises: OffsetOutOfRangeError.
    """
    ends = offset_ranges(db, positions)
    ready = [partition for partition in positions if partition in ends and ends[partition].end != positions[partition]]
    batches: list[RecordBatch] = []
    left = bytes_max
    for index, partition in enumerate(ready):
        if left <= 0:
            break
        # One batch a partition: a backlog of many small appends is worked off as fast as one of few large ones.
        found = joined(read(db, partition, positions[partition], left // (len(ready) - index)))
        batches.append(found)
        left -= found.nbytes
    return batches


def read(db: Database, partition: TopicPartition, offset: int, bytes_max: int) -> list[RecordBatch]:
    """Return records from an offset, a batch a row, about bytes_max at most; one record at least when there is one.

    A last batch without records moves the position behind what was compacted away.
    Raises: OffsetOutOfRangeError.
    """
    topic = _require(db, partition)
    span = offset_ranges(db, [partition])[partition]
    if not span.start <= offset <= span.end:
        raise OffsetOutOfRangeError(
            f"{partition} holds offsets {span.start} to {span.end}, asked was {offset}",
            hint="the topic was trimmed, or the log was replaced",
            topic=partition.topic,
            partition=partition.partition,
            offset=offset,
        )
    batches: list[RecordBatch] = []
    left = bytes_max
    # The blobs are fetched one by one: a row that does not fit any more is not read at all.
    for row, base, next_, nbytes in _rows(db, topic, partition, offset):
        if batches and nbytes > left:
            return batches
        batch = _behind(_as_batch(db, partition, row, base, next_), offset)
        if len(batch):
            batches.append(batch)
            left -= nbytes
    if not batches and offset < span.end:
        batches.append(RecordBatch(*partition, [], [], [], [], span.end))
    return batches


def joined(batches: Sequence[RecordBatch]) -> RecordBatch:
    """Return consecutive batches of a partition as one."""
    first, last = batches[0], batches[-1]
    if len(batches) == 1:
        return first
    offsets: Sequence[int] = range(first.offsets[0], last.offsets[-1] + 1)
    if len(offsets) != sum(map(len, batches)):
        offsets = list(chain.from_iterable(batch.offsets for batch in batches))
    headers = None
    if any(batch.headers is not None for batch in batches):
        headers = list(chain.from_iterable(batch.headers or [()] * len(batch) for batch in batches))
    return RecordBatch(
        *first.source,
        offsets,
        list(chain.from_iterable(batch.timestamps_ms for batch in batches)),
        list(chain.from_iterable(batch.keys for batch in batches)),
        list(chain.from_iterable(batch.values for batch in batches)),
        last.next_offset,
        headers,
        sum(batch.nbytes for batch in batches),
    )


def _rows(db: Database, topic: _Topic, partition: TopicPartition, offset: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (id, base, next, bytes) of the rows from an offset on."""
    return db.execute(
        "SELECT id, base, next, nbytes FROM batches WHERE topic = ? AND partition = ? AND next > ? ORDER BY next",
        (topic.id, partition.partition, offset),
    )


def _as_batch(db: Database, partition: TopicPartition, row: int, base: int, next_: int) -> RecordBatch:
    data: bytes = db.execute("SELECT columns FROM batches WHERE id = ?", (row,)).fetchone()[0]
    columns = blob.decode(data)
    offsets: Sequence[int] = range(base, base + len(columns.keys))
    if columns.offsets is not None:
        offsets = [base + relative for relative in columns.offsets]
    return RecordBatch(
        *partition,
        offsets,
        columns.timestamps_ms,
        columns.keys,
        columns.values,
        next_,
        columns.headers,
        len(data),
    )


def _behind(batch: RecordBatch, offset: int) -> RecordBatch:
    """Return the records of a batch from an offset on."""
    start = bisect_left(batch.offsets, offset)
    if start == 0:
        return batch
    return RecordBatch(
        *batch.source,
        batch.offsets[start:],
        batch.timestamps_ms[start:],
        batch.keys[start:],
        batch.values[start:],
        batch.next_offset,
        batch.headers[start:] if batch.headers is not None else None,
        batch.nbytes,
    )


def find_offset(db: Database, partition: TopicPartition, timestamp_ms: int) -> int | None:
    """Return the first offset whose timestamp is this one or later; None when there is none."""
    topic = _require(db, partition)
    start, end = offset_ranges(db, [partition])[partition]
    for row, base, next_, _ in _rows(db, topic, partition, _reaching(db, topic, partition, start, end, timestamp_ms)):
        batch = _as_batch(db, partition, row, base, next_)
        for offset, found in zip(batch.offsets, batch.timestamps_ms, strict=True):
            if found >= timestamp_ms:
                return offset
    return None


def _reaching(db: Database, topic: _Topic, partition: TopicPartition, start: int, end: int, timestamp_ms: int) -> int:
    """Return an offset of the first row up to whose end this time was reached, by bisection."""
    while start < end:
        middle = (start + end) // 2
        row = db.execute(
            "SELECT next, reached_ms FROM batches WHERE topic = ? AND partition = ? AND next > ? ORDER BY next LIMIT 1",
            (topic.id, partition.partition, middle),
        ).fetchone()
        if row is not None and row[1] < timestamp_ms:
            start = row[0]
        else:
            end = middle
    return start


def committed(db: Database, group_id: str, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Position]:
    """Return a group's positions; partitions without one are missing."""
    rows = db.execute(
        "SELECT topic, partition, offset, metadata FROM positions WHERE group_id = ?", (group_id,)
    ).fetchall()
    found = {TopicPartition(topic, number): Position(offset, metadata) for topic, number, offset, metadata in rows}
    return {partition: found[partition] for partition in partitions if partition in found}


@step("offsets")
def save_positions(db: Database, group_id: str, positions: Mapping[TopicPartition, Position]) -> None:
    """Write a group's positions."""
    rows = [(group_id, *partition, *position) for partition, position in positions.items()]
    db.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?, ?)", rows)
