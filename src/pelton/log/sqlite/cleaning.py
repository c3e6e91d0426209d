"""Retention and compaction: what keeps the file from growing for ever. Blocking calls, a little work each.

Retention goes by when a batch was appended, not by its records' timestamps: old data that is replayed into the log
stays for as long as new data does.

Compaction works as Kafka's log cleaner does: the last offset of each key is learnt from the part that was never
cleaned, then all rows up to there are rewritten, several small ones as one, without the records that a later one
supersedes. A record goes only when a later one of its key is known, so two cleaners of one file, or a crash between two
steps, lose nothing. What is freed inside the file is used again; the file itself does not shrink.

A tombstone stays for `delete.retention.ms` after what it deletes has gone: who has read that, and takes no longer to
come as far, finds it. So a cleaning that takes tombstones away takes those that one before had found, so long ago.

Source: Kafka's KIP-534, which notes a time for each batch; here one stands for all of a partition, so a tombstone may
stay for twice as long, and goes with the first cleaning after that.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from pelton.batch import Headers
from pelton.log.sqlite import blob
from pelton.log.sqlite.database import Database, explaining

__all__ = ["TOMBSTONE_MS", "Cleaner"]

#: A compacted partition is cleaned when what is new outnumbers what the last cleaning left, and so many records; or
#: outweighs it, and so many bytes: a table of few large rows would take gigabytes before it had as many records.
_COMPACT_RECORDS_MIN = 20_000
_COMPACT_BYTES_MIN = 64 * 1024
#: So many keys are kept in memory while a partition is compacted (about 150 MB); more are left for the next time.
_KEYS_MAX = 1_000_000
#: How long a deletion stays readable after its key is gone, unless the topic says otherwise (delete.retention.ms);
#: Kafka's default.
TOMBSTONE_MS = 24 * 60 * 60 * 1000
#: One step deletes so many rows, or so many bytes, at most.
_STEP_ROWS = 512
_STEP_BYTES = 4 * 1024 * 1024


class _Partition(NamedTuple):
    topic: int
    number: int


class _Row(NamedTuple):
    id: int
    base: int
    next: int
    columns: blob.Columns


class _Due(NamedTuple):
    """A cleaning that is due. end: how far. gone_below: the offset that tombstones have been told long enough below.

    again: whether the next time for tombstones is counted from this cleaning.
    """

    compacted: int
    end: int
    gone_below: int
    again: bool


class _New(NamedTuple):
    """What came behind the part that was cleaned, as far as an offset."""

    compacted: int
    seen: int
    nbytes: int


class Cleaner:
    """Cleans a file in small steps, so that writers never wait long.

    It remembers how much is new in each partition, so that every look reads only what came since the one before.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._new: dict[_Partition, _New] = {}
        self._began_s = 0.0

    def steps(self, now_ms: int) -> Iterator[None]:
        """Delete what retention lets go, and compact what is due; pauses after each step."""
        self._began_s = time.monotonic()
        with explaining(self._db.path):
            yield from self._trim(now_ms)
            yield from self._compact(now_ms)
        self._db.checkpoint_if_large()

    # -- retention ---------------------------------------------------------------------------------

    def _trim(self, now_ms: int) -> Iterator[None]:
        rows = self._db.execute(
            "SELECT r.topic, r.partition, t.retention_ms FROM ranges r JOIN topics t ON t.id = r.topic"
            " WHERE t.retention_ms >= 0 AND t.cleanup_policy LIKE '%delete%'"
        )
        for topic, number, retention_ms in rows.fetchall():
            while self._trim_some(_Partition(topic, number), now_ms - retention_ms):
                yield

    def _trim_some(self, partition: _Partition, before_ms: int) -> bool:
        """Delete rows from the front. Returns: whether there may be more to delete."""
        db, size = self._db, 0
        old: list[tuple[int, int]] = []
        for row, next_, appended_ms, nbytes in db.execute(
            "SELECT id, next, appended_ms, nbytes FROM batches WHERE topic = ? AND partition = ? ORDER BY next LIMIT ?",
            (*partition, _STEP_ROWS),
        ):
            if appended_ms >= before_ms or size >= _STEP_BYTES:
                break
            old.append((row, next_))
            size += nbytes
        if old:
            with db.writing():
                db.executemany("DELETE FROM batches WHERE id = ?", [(row,) for row, _ in old])
                db.execute(
                    "UPDATE ranges SET first = max(first, ?) WHERE topic = ? AND partition = ?",
                    (old[-1][1], *partition),
                )
        return bool(old)

    # -- compaction --------------------------------------------------------------------------------

    def _compact(self, now_ms: int) -> Iterator[None]:
        rows = self._db.execute(
            "SELECT r.topic, r.partition, r.compacted, r.next, r.live,"
            " coalesce(c.below, 0), coalesce(c.at_ms + coalesce(d.kept_ms, ?), 0) FROM ranges r"
            " JOIN topics t ON t.id = r.topic LEFT JOIN tombstones d ON d.topic = r.topic"
            " LEFT JOIN cleaned c ON c.topic = r.topic AND c.partition = r.partition"
            " WHERE t.cleanup_policy LIKE '%compact%' AND r.next > r.compacted",
            (TOMBSTONE_MS,),
        )
        for topic, number, compacted, end, live, found_below, from_ms in rows.fetchall():
            partition = _Partition(topic, number)
            if end - compacted > max(live, _COMPACT_RECORDS_MIN) or self._outweighs(partition, compacted):
                told = now_ms >= from_ms
                due = _Due(compacted, end, found_below if told else 0, told)
                yield from self._compact_partition(partition, due, now_ms)

    def _outweighs(self, partition: _Partition, compacted: int) -> bool:
        """Return whether what is new in a partition has more bytes than what was cleaned."""
        new = self._new.get(partition)
        if new is None or new.compacted != compacted:
            new = _New(compacted, compacted, 0)
        size = "SELECT coalesce(sum(nbytes), 0), max(next) FROM batches WHERE topic = ? AND partition = ?"
        nbytes, seen = self._db.execute(f"{size} AND next > ?", (*partition, new.seen)).fetchone()
        self._new[partition] = new = _New(compacted, seen or new.seen, new.nbytes + nbytes)
        if new.nbytes <= _COMPACT_BYTES_MIN:
            return False
        old, _ = self._db.execute(f"{size} AND next <= ?", (*partition, compacted)).fetchone()
        return new.nbytes > int(old)

    def _compact_partition(self, partition: _Partition, due: _Due, now_ms: int) -> Iterator[None]:
        last: dict[bytes | None, int] = {}
        known = due.compacted
        while len(last) < _KEYS_MAX and (rows := self._rows(partition, known, due.end)):
            for row in rows:
                last.update(zip(row.columns.keys, _offsets(row), strict=True))
            known = rows[-1].next
            yield
        live = position = 0
        while rows := self._rows(partition, position, known):
            with self._db.writing():
                # Read again, under the lock: another process may clean the same file.
                live += self._rewrite(self._rows(partition, position, rows[-1].next), last, due.gone_below)
            position = rows[-1].next
            yield
        with self._db.writing():
            self._db.execute(
                "UPDATE ranges SET compacted = max(compacted, ?), live = ? WHERE topic = ? AND partition = ?",
                (known, live, *partition),
            )
            if due.again:
                at_ms = now_ms + round(1000 * (time.monotonic() - self._began_s))
                self._db.execute(
                    "INSERT INTO cleaned VALUES (?, ?, ?, ?) ON CONFLICT (topic, partition)"
                    " DO UPDATE SET below = max(below, excluded.below), at_ms = max(at_ms, excluded.at_ms)",
                    (*partition, known, at_ms),
                )

    def _rows(self, partition: _Partition, offset: int, end: int) -> list[_Row]:
        """Return the rows from an offset on that together are about as large as one may be, one at least."""
        found: list[_Row] = []
        records = size = 0
        for row_id, base, next_, nbytes, data in self._db.execute(
            "SELECT id, base, next, nbytes, columns FROM batches"
            " WHERE topic = ? AND partition = ? AND next > ? AND next <= ? ORDER BY next LIMIT ?",
            (*partition, offset, end, _STEP_ROWS),
        ):
            row = _Row(row_id, base, next_, blob.decode(data))
            records += len(row.columns.keys)
            size += nbytes
            if found and (records > blob.ROW_RECORDS_MAX or size > blob.ROW_BYTES_MAX):
                break
            found.append(row)
        return found

    def _rewrite(self, rows: list[_Row], last: dict[bytes | None, int], gone_below: int) -> int:
        """Write rows as one that holds what nothing later supersedes. Returns: the number of records it holds."""
        db = self._db
        before = sum(len(row.columns.keys) for row in rows)
        base, kept = _merge(rows, last, gone_below)
        if len(rows) <= 1 and len(kept.keys) == before:
            return before
        db.executemany("DELETE FROM batches WHERE id = ?", [(row.id,) for row in rows[:-1]])
        # The last row keeps its place, and with it the end of what they held together.
        if kept.keys:
            data = blob.encode(kept)
            db.execute(
                "UPDATE batches SET base = ?, nbytes = ?, columns = ? WHERE id = ?",
                (base, len(data), data, rows[-1].id),
            )
        else:
            db.execute("DELETE FROM batches WHERE id = ?", (rows[-1].id,))
        return len(kept.keys)


def _offsets(row: _Row) -> list[int]:
    if row.columns.offsets is None:
        return list(range(row.base, row.base + len(row.columns.keys)))
    return [row.base + relative for relative in row.columns.offsets]


def _merge(rows: list[_Row], last: dict[bytes | None, int], gone_below: int) -> tuple[int, blob.Columns]:
    """Return what is left of rows, and its first offset: the last record of each key, and no tombstone below one."""
    merged = blob.Columns([], [], [])
    headers: list[Headers] = []
    offsets: list[int] = []
    for row in rows:
        columns = row.columns
        for index, (key, offset) in enumerate(zip(columns.keys, _offsets(row), strict=True)):
            value = columns.values[index]
            if last.get(key, offset) > offset or (value is None and offset < gone_below):
                continue
            merged.keys.append(key)
            merged.values.append(value)
            merged.timestamps_ms.append(columns.timestamps_ms[index])
            headers.append(columns.headers[index] if columns.headers is not None else ())
            offsets.append(offset)
    base = offsets[0] if offsets else 0
    if any(headers):
        merged.headers = headers
    if offsets != list(range(base, base + len(offsets))):
        merged.offsets = [offset - base for offset in offsets]
    return base, merged
