"""Restoring: bringing a store up to the end of its changelogs before its tasks run.

The store is never ahead of the changelog (invariant I3), so after any crash only the tail behind its position is
replayed; a store that was lost, or that the changelog has been trimmed past, is filled from the start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from pelton.batch import RecordBatch, TopicPartition
from pelton.clock import Clock
from pelton.killpoints import step
from pelton.log.contract import Log, OffsetRange
from pelton.runtime.spec import ChangelogFormat, TableSpec
from pelton.runtime.threads import in_thread
from pelton.state.contract import Store, TableWrites

__all__ = ["changelog_writes", "restore", "starting_position"]

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
) -> int:
    """Replay the changelogs of partition number n from each table's position to its end.

    The store notes how far it came with each batch, so that a restore that is cut off goes on from there.
    progress: called with (offsets replayed, offsets to replay in all).
    Returns: the records that were replayed.
    Raises: UnavailableError; OffsetOutOfRangeError when the changelog is trimmed meanwhile.
    """
    tables = list(tables)
    sources = {table.name: TopicPartition(table.changelog.name, number) for table in tables}
    formats = {table.name: table.format for table in tables}
    # A commit that is decided and not to be seen yet belongs to the positions that the tasks begin from.
    spans: Mapping[TopicPartition, OffsetRange] = await log.offsets(sources.values(), decided=True) if sources else {}
    positions = {name: await starting_position(store, name, spans[one], one) for name, one in sources.items()}
    done, total = 0, sum(spans[one].end - positions[name] for name, one in sources.items())
    progress(done, total)
    records, started = 0, clock.monotonic()
    reported = started
    for name, source in sources.items():
        position = positions[name]
        while position < spans[source].end:
            batch = await log.read(source, position, bytes_max=bytes_max, timeout_s=1.0)
            if batch.next_offset <= position:
                continue  # nothing came in time; the end is known to be there
            await _replay(store, name, batch, formats[name])
            done += batch.next_offset - position
            position = batch.next_offset
            records += len(batch)
            progress(done, total)
            now = clock.monotonic()
            if now - reported > _REPORT_EVERY_S:
                reported, rate = now, done / (now - started)
                message = "restoring partition %d: %d of %d records, %.0f/s, %.0f s left"
                logger.info(message, number, done, total, rate, (total - done) / rate)
    logger.info("restored partition %d: %d records in %.3f s", number, records, clock.monotonic() - started)
    return records


@step("restore-write")
async def _replay(store: Store, table: str, batch: RecordBatch, format_: ChangelogFormat | None) -> None:
    await in_thread(store.write, {table: changelog_writes(batch, format_)})


async def starting_position(store: Store, table: str, span: OffsetRange, source: TopicPartition) -> int:
    """Return the offset to replay a table from; where what it holds cannot be brought up from there, it is wiped."""
    position = store.position(table)
    if position is None:
        if store.last_key(table) is not None:
            # Without it nobody knows what the values stand for; keys deleted since would stay (invariant I3).
            logger.warning("%s: the store has values, but no position: it is wiped and restored", source)
            await in_thread(store.wipe, table)
        return span.start
    if span.start <= position <= span.end:
        return position
    logger.warning(
        "%s: the changelog holds offsets %d to %d, the store stands at %d: it is wiped and restored",
        source,
        *span,
        position,
    )
    await in_thread(store.wipe, table)
    return span.start


def changelog_writes(batch: RecordBatch, format_: ChangelogFormat | None = None) -> TableWrites:
    """Return what a changelog batch does to a table: a key's last value counts, and a tombstone deletes it.

    format_: the table's own way to write its changelog, if it has one.
    """
    if format_ is not None:
        return format_.writes(batch)
    latest = dict(zip(batch.keys, batch.values, strict=True))
    latest.pop(None, None)
    puts = cast("list[tuple[bytes, bytes | None]]", list(latest.items()))
    return TableWrites(puts=puts, position=batch.next_offset)
