"""Topics and their records: what the file is asked, in plain blocking calls.

Every function takes a database and runs within the transaction of its caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.errors import ConfigurationError, OffsetOutOfRangeError, TopicMismatch
from pelton.log.contract import OffsetRange, Position, TopicSpec
from pelton.log.sqlite import blob
from pelton.log.sqlite.database import Database

__all__ = [
    "DEFAULT_PARTITIONS",
    "append",
    "committed",
    "declare",
    "delete",
    "find_offset",
    "offset_range",
    "read",
    "save_positions",
    "topics",
]

DEFAULT_PARTITIONS = 8
#: Kafka's defaults: a week, and for records more than its megabyte, so that large ones need no setting.
_RETENTION_MS = 7 * 24 * 60 * 60 * 1000
_RECORD_BYTES_MAX = 16 * 1024 * 1024


class _Topic(NamedTuple):
    id: int
    partitions: int
    cleanup_policy: str
    record_bytes_max: int


def _find(db: Database, name: str) -> _Topic | None:
    row = db.execute(
        "SELECT id, partitions, cleanup_policy, record_bytes_max FROM topics WHERE name = ?", (name,)
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


def declare(db: Database, spec: TopicSpec) -> int:
    """Create a topic, or check the one that exists. Returns: its number of partitions."""
    topic = _find(db, spec.name)
    if topic is not None:
        _check(spec, topic)
        return topic.partitions
    partitions = spec.partitions or DEFAULT_PARTITIONS
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
    return partitions


def _check(spec: TopicSpec, topic: _Topic) -> None:
    if spec.partitions not in (None, topic.partitions):
        raise TopicMismatch(
            f'topic "{spec.name}" has {topic.partitions} partitions, declared are {spec.partitions}',
            hint="declare as many as it has, or use another name",
            topic=spec.name,
        )
    if spec.partitions is not None and spec.cleanup_policy != topic.cleanup_policy:
        raise TopicMismatch(
            f'topic "{spec.name}" has cleanup.policy {topic.cleanup_policy}, declared is {spec.cleanup_policy}',
            hint="declare the policy it has, or use another name",
            topic=spec.name,
        )


def delete(db: Database, name: str) -> None:
    """Delete a topic and its records."""
    topic = _find(db, name)
    if topic is not None:
        for table in ("batches", "ranges"):
            db.execute(f"DELETE FROM {table} WHERE topic = ?", (topic.id,))  # noqa: S608 - our own two names
        db.execute("DELETE FROM positions WHERE topic = ?", (name,))
        db.execute("DELETE FROM topics WHERE id = ?", (topic.id,))


def append(db: Database, batches: Sequence[OutgoingBatch], now_ms: int) -> list[int]:
    """Append batches. Returns: the offset of each one's first record."""
    return [_append(db, batch, now_ms) for batch in batches]


def _append(db: Database, batch: OutgoingBatch, now_ms: int) -> int:
    topic = _require(db, TopicPartition(batch.topic, batch.partition))
    _check_sizes(batch, topic.record_bytes_max)
    place = (topic.id, batch.partition)
    first = next_ = db.execute("SELECT next FROM ranges WHERE topic = ? AND partition = ?", place).fetchone()[0]
    for columns in blob.split(batch) if len(batch) else ():
        data = blob.encode(columns)
        end = next_ + len(columns.keys)
        db.execute(
            "INSERT INTO batches (topic, partition, base, next, last_timestamp_ms, appended_ms, nbytes, columns)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*place, next_, end, max(columns.timestamps_ms), now_ms, len(data), data),
        )
        next_ = end
    db.execute("UPDATE ranges SET next = ? WHERE topic = ? AND partition = ?", (next_, *place))
    return int(first)


def _check_sizes(batch: OutgoingBatch, bytes_max: int) -> None:
    """Refuse a record that is too large; the columns are summed first, for nearly none is."""
    if sum(map(len, filter(None, batch.values))) + sum(map(len, filter(None, batch.keys))) <= bytes_max:
        return
    for index in range(len(batch)):
        headers = batch.headers[index] if batch.headers is not None else ()
        size = blob.size_of(batch.keys[index], batch.values[index], headers)
        if size > bytes_max:
            raise ConfigurationError(
                f'topic "{batch.topic}" takes records up to {bytes_max} bytes, got {size}',
                hint='declare it with config={"max.message.bytes": …}',
                topic=batch.topic,
                partition=batch.partition,
            )


def offset_range(db: Database, partition: TopicPartition) -> OffsetRange:
    """Return the offsets that a partition holds."""
    topic = _require(db, partition)
    row = db.execute(
        "SELECT first, next FROM ranges WHERE topic = ? AND partition = ?", (topic.id, partition.partition)
    ).fetchone()
    return OffsetRange(*row)


def read(db: Database, partition: TopicPartition, offset: int, bytes_max: int) -> list[RecordBatch]:
    """Return records from an offset, a batch a row, about bytes_max at most; one row at least when there is one.

    Raises: OffsetOutOfRangeError.
    """
    span = offset_range(db, partition)
    if not span.start <= offset <= span.end:
        raise OffsetOutOfRangeError(
            f"{partition} holds offsets {span.start} to {span.end}, asked was {offset}",
            hint="the topic was trimmed, or the log was replaced",
            topic=partition.topic,
            partition=partition.partition,
            offset=offset,
        )
    if offset == span.end:
        return []
    topic = _require(db, partition)
    rows = db.execute(
        "SELECT base, next, nbytes, columns FROM batches"
        " WHERE topic = ? AND partition = ? AND base >= coalesce((SELECT max(base) FROM batches"
        " WHERE topic = ? AND partition = ? AND base <= ?), 0) ORDER BY base",
        (topic.id, partition.partition, topic.id, partition.partition, offset),
    )
    batches: list[RecordBatch] = []
    left = bytes_max
    for base, next_, nbytes, data in rows:
        if next_ <= offset:
            continue
        if batches and nbytes > left:
            break
        batches.append(_behind(_as_batch(partition, base, next_, data), offset))
        left -= nbytes
    if not batches:
        # Everything from here to the end was compacted away: nothing to read, but the position moves on.
        batches.append(RecordBatch(*partition, [], [], [], [], span.end))
    return batches


def _as_batch(partition: TopicPartition, base: int, next_: int, data: bytes) -> RecordBatch:
    columns = blob.decode(data)
    offsets: Sequence[int] = range(base, base + len(columns.keys))
    if columns.offsets is not None:
        offsets = [base + relative for relative in columns.offsets]
    return RecordBatch(
        partition.topic,
        partition.partition,
        offsets,
        columns.timestamps_ms,
        columns.keys,
        columns.values,
        next_,
        columns.headers,
        len(data),
    )


def _behind(batch: RecordBatch, offset: int) -> RecordBatch:
    """Return the rows of a batch from an offset on."""
    if not len(batch) or offset <= batch.offsets[0]:
        return batch
    start = sum(one < offset for one in batch.offsets)
    headers = batch.headers[start:] if batch.headers is not None else None
    return RecordBatch(
        batch.topic,
        batch.partition,
        batch.offsets[start:],
        batch.timestamps_ms[start:],
        batch.keys[start:],
        batch.values[start:],
        batch.next_offset,
        headers,
        batch.nbytes,
    )


def find_offset(db: Database, partition: TopicPartition, timestamp_ms: int) -> int | None:
    """Return the first offset whose timestamp is this one or later."""
    topic = _require(db, partition)
    rows = db.execute(
        "SELECT base, next, columns FROM batches"
        " WHERE topic = ? AND partition = ? AND last_timestamp_ms >= ? ORDER BY base LIMIT 1",
        (topic.id, partition.partition, timestamp_ms),
    )
    for row in rows:
        batch = _as_batch(partition, *row)
        for offset, found in zip(batch.offsets, batch.timestamps_ms, strict=True):
            if found >= timestamp_ms:
                return offset
    return None


def committed(db: Database, group_id: str, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Position]:
    """Return a group's positions; partitions without one are missing."""
    rows = db.execute(
        "SELECT topic, partition, offset, metadata FROM positions WHERE group_id = ?", (group_id,)
    ).fetchall()
    found = {TopicPartition(topic, number): Position(offset, metadata) for topic, number, offset, metadata in rows}
    return {partition: found[partition] for partition in partitions if partition in found}


def save_positions(db: Database, group_id: str, positions: Mapping[TopicPartition, Position]) -> None:
    """Write a group's positions."""
    rows = [(group_id, *partition, *position) for partition, position in positions.items()]
    db.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?, ?)", rows)
