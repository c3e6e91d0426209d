"""Retention and compaction: what keeps the file from growing for ever. Blocking calls, a little work each.

Retention goes by when a batch was appended, not by its records' timestamps: old data that is replayed into the log
stays for as long as new data does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pelton.log.sqlite import blob
from pelton.log.sqlite.database import Database

__all__ = ["Cleaner"]

#: A compacted partition is cleaned when its new records outnumber those that the last cleaning left, and this.
_COMPACT_RECORDS_MIN = 20_000
#: How long a deletion stays readable after its key is gone, for stores that come back late; Kafka's default.
_TOMBSTONE_MS = 24 * 60 * 60 * 1000


class _Due(NamedTuple):
    topic: int
    partition: int
    next: int


class Cleaner:
    """Cleans a file, a transaction at a time, so that writers never wait long."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def trim(self, now_ms: int) -> int:
        """Delete what retention allows to go. Returns: the number of rows deleted."""
        db = self._db
        deleted = 0
        with db.writing():
            due = db.execute(
                "SELECT b.topic, b.partition, max(b.next) FROM batches b JOIN topics t ON t.id = b.topic"
                " WHERE t.retention_ms >= 0 AND t.cleanup_policy LIKE '%delete%' AND b.appended_ms < ? - t.retention_ms"
                " GROUP BY b.topic, b.partition",
                (now_ms,),
            ).fetchall()
            for topic, partition, next_ in due:
                deleted += db.execute(
                    "DELETE FROM batches WHERE topic = ? AND partition = ? AND next <= ?", (topic, partition, next_)
                ).rowcount
                db.execute(
                    "UPDATE ranges SET first = max(first, ?) WHERE topic = ? AND partition = ?",
                    (next_, topic, partition),
                )
        return deleted

    def compact(self, now_ms: int) -> Iterator[int]:
        """Compact what is due; yields after each row it rewrote, with the records that it dropped."""
        for due in self._due():
            yield from self._compact_partition(due, now_ms)

    def _due(self) -> list[_Due]:
        rows = self._db.execute(
            "SELECT r.topic, r.partition, r.next FROM ranges r JOIN topics t ON t.id = r.topic"
            " WHERE t.cleanup_policy LIKE 'compact%' AND r.next - r.compacted > max(r.live, ?)",
            (_COMPACT_RECORDS_MIN,),
        )
        return [_Due(*row) for row in rows.fetchall()]

    def _compact_partition(self, due: _Due, now_ms: int) -> Iterator[int]:
        db = self._db
        bases = [
            base
            for (base,) in db.execute(
                "SELECT base FROM batches WHERE topic = ? AND partition = ? AND next <= ? ORDER BY base", due
            ).fetchall()
        ]
        last: dict[bytes | None, int] = {}
        for base in bases:
            columns = self._columns(due, base)
            if columns is not None:
                last.update(zip(columns.keys, _offsets(base, columns), strict=True))
        live = 0
        for base in bases:
            dropped, kept = self._rewrite(due, base, last, now_ms)
            live += kept
            yield dropped
        with db.writing():
            db.execute(
                "UPDATE ranges SET compacted = ?, live = ? WHERE topic = ? AND partition = ?",
                (due.next, live, due.topic, due.partition),
            )

    def _columns(self, due: _Due, base: int) -> blob.Columns | None:
        row = self._db.execute(
            "SELECT columns FROM batches WHERE topic = ? AND partition = ? AND base = ?",
            (due.topic, due.partition, base),
        ).fetchone()
        return None if row is None else blob.decode(row[0])

    def _rewrite(self, due: _Due, base: int, last: dict[bytes | None, int], now_ms: int) -> tuple[int, int]:
        """Keep the records of a row that are the last of their key. Returns: (dropped, kept)."""
        db = self._db
        place = (due.topic, due.partition, base)
        with db.writing():
            row = db.execute(
                "SELECT columns, appended_ms FROM batches WHERE topic = ? AND partition = ? AND base = ?", place
            ).fetchone()
            if row is None:
                return 0, 0
            columns = blob.decode(row[0])
            offsets = _offsets(base, columns)
            old = row[1] < now_ms - _TOMBSTONE_MS
            keep = [
                index
                for index, (key, offset) in enumerate(zip(columns.keys, offsets, strict=True))
                if last[key] == offset and not (old and columns.values[index] is None)
            ]
            dropped = len(offsets) - len(keep)
            if dropped and keep:
                data = blob.encode(_kept(columns, keep, [offsets[index] - base for index in keep]))
                db.execute(
                    "UPDATE batches SET columns = ?, nbytes = ? WHERE topic = ? AND partition = ? AND base = ?",
                    (data, len(data), *place),
                )
            elif dropped:
                db.execute("DELETE FROM batches WHERE topic = ? AND partition = ? AND base = ?", place)
        return dropped, len(keep)


def _offsets(base: int, columns: blob.Columns) -> list[int]:
    if columns.offsets is None:
        return list(range(base, base + len(columns.keys)))
    return [base + relative for relative in columns.offsets]


def _kept(columns: blob.Columns, keep: list[int], offsets: list[int]) -> blob.Columns:
    headers = [columns.headers[index] for index in keep] if columns.headers is not None else None
    return blob.Columns(
        [columns.keys[index] for index in keep],
        [columns.values[index] for index in keep],
        [columns.timestamps_ms[index] for index in keep],
        headers,
        offsets,
    )
