"""Restoring: bringing a store up to the end of its changelogs before its tasks run.

The store is never ahead of the changelog (invariant I3), so after any crash only the tail behind its position is
replayed; a store that was lost, or that the changelog has been trimmed past, is filled from the start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from pelton.batch import RecordBatch, TopicPartition
from pelton.clock import Clock
from pelton.log.contract import Log
from pelton.runtime.spec import TableSpec
from pelton.runtime.threads import in_thread
from pelton.state.contract import Store, TableWrites

__all__ = ["changelog_writes", "restore"]

logger = logging.getLogger(__name__)

#: How often the log tells of a restore that takes long, in seconds.
_REPORT_EVERY_S = 5.0


async def restore(
    log: Log,
    store: Store,
    tables: Iterable[TableSpec],
    number: int,
    *,
    bytes_max: int,
    clock: Clock,
    progress: Callable[[int, int], None],
) -> None:
    """Replay the changelogs of partition number n from each table's position to its end.

    progress: called with (records replayed, records to replay in all).
    Raises: UnavailableError; OffsetOutOfRangeError when the changelog is trimmed meanwhile.
    """
    done = total = 0
    for table in tables:
        source = TopicPartition(table.changelog.name, number)
        span = (await log.offsets([source]))[source]
        position = await _starting_position(store, table.name, span.start, span.end, source)
        total += span.end - position
        progress(done, total)
        started = reported = clock.monotonic()
        while position < span.end:
            batch = await log.read(source, position, bytes_max=bytes_max, timeout_s=1.0)
            if batch.next_offset <= position:
                continue  # nothing came in time; the end is known to be there
            await in_thread(store.write, {table.name: changelog_writes(batch)})
            done += batch.next_offset - position
            position = batch.next_offset
            progress(done, total)
            if clock.monotonic() - reported > _REPORT_EVERY_S:
                reported = clock.monotonic()
                rate = done / (reported - started)
                logger.info("restoring %s: %d of %d records, %.0f s left", source, done, total, (total - done) / rate)


async def _starting_position(store: Store, table: str, start: int, end: int, source: TopicPartition) -> int:
    position = store.position(table)
    if position is None:
        return start
    if start <= position <= end:
        return position
    logger.warning(
        "%s: the changelog holds offsets %d to %d, the store stands at %d: it is wiped and restored",
        source,
        start,
        end,
        position,
    )
    await in_thread(store.wipe, table)
    return start


def changelog_writes(batch: RecordBatch) -> TableWrites:
    """Return what a changelog batch does to a table; a tombstone deletes its key."""
    puts = [(key, value) for key, value in zip(batch.keys, batch.values, strict=True) if key is not None]
    return TableWrites(puts=puts, position=batch.next_offset)
