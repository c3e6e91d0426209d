"""Restoring: bringing a store up to the end of its changelogs before its tasks run.

The store is never ahead of the changelog (invariant I3), so after any crash only the tail behind its position is
replayed; a store that was lost, or that the changelog cannot continue any more, is filled from the start.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from pelton.batch import RecordBatch, TopicPartition
from pelton.clock import Clock
from pelton.killpoints import step
from pelton.log.contract import Log, OffsetRange
from pelton.runtime.facts import note_current, outdated
from pelton.runtime.spec import ChangelogFormat, TableSpec
from pelton.runtime.threads import in_thread
from pelton.state.contract import Store, TableWrites

__all__ = ["begin_anew", "changelog_writes", "forgotten", "restore", "starting_position", "tell_too_slow"]

logger = logging.getLogger(__name__)

#: Why a table is wiped that has been away for too long.
_FORGOTTEN = "the changelog may have forgotten deletions since the store was last up to date"
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
    specs = {table.name: table for table in tables}
    sources = {name: TopicPartition(spec.changelog.name, number) for name, spec in specs.items()}
    asked_ms = clock.time_ms()
    # A commit that is decided and not to be seen yet belongs to the positions that the tasks begin from.
    spans: Mapping[TopicPartition, OffsetRange] = await log.offsets(sources.values(), decided=True) if sources else {}
    positions = {
        name: await starting_position(store, specs[name], spans[one], one, asked_ms) for name, one in sources.items()
    }
    at_end = {name: specs[name] for name, one in sources.items() if positions[name] == spans[one].end}
    await in_thread(note_current, store, at_end, asked_ms)
    anew: Counter[str] = Counter()
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
            if forgotten(store, name, specs[name], batch, position, clock.time_ms()):
                anew[name] += 1
                if anew[name] == 1:
                    total += position - spans[source].start
                    position = await begin_anew(store, specs[name], spans[source], source, clock.time_ms())
                    continue
                if anew[name] == 2:
                    tell_too_slow(source)
            await _replay(store, name, batch, specs[name].format)
            done += batch.next_offset - position
            position = batch.next_offset
            records += len(batch)
            progress(done, total)
            now = clock.monotonic()
            if now - reported > _REPORT_EVERY_S:
                reported, rate = now, done / (now - started)
                message = "restoring partition %d: %d of %d records, %.0f/s, %.0f s left"
                logger.info(message, number, done, total, rate, (total - done) / rate)
    await in_thread(note_current, store, {name: specs[name] for name in specs.keys() - anew}, asked_ms)
    logger.info("restored partition %d: %d records in %.3f s", number, records, clock.monotonic() - started)
    return records


@step("restore-write")
async def _replay(store: Store, table: str, batch: RecordBatch, format_: ChangelogFormat | None) -> None:
    await in_thread(store.write, {table: changelog_writes(batch, format_)})


async def starting_position(
    store: Store, spec: TableSpec, span: OffsetRange, source: TopicPartition, asked_ms: int
) -> int:
    """Return the offset to replay a table from; where what it holds cannot be brought up from there, it is wiped.

    asked_ms: when the log was asked for the span, by the wall clock.
    """
    position = store.position(spec.name)
    if position is None and store.last_key(spec.name) is None:
        if span.start < span.end:
            await in_thread(note_current, store, {spec.name: spec}, asked_ms)
        return span.start
    if position is None:
        # Without it nobody knows what the values stand for; keys deleted since would stay (invariant I3).
        return await begin_anew(store, spec, span, source, asked_ms, "the store has values, but no position")
    if span.start <= position <= span.end:
        return position
    why = f"the changelog holds offsets {span.start} to {span.end}, the store stands at {position}"
    return await begin_anew(store, spec, span, source, asked_ms, why)


def forgotten(store: Store, name: str, spec: TableSpec, batch: RecordBatch, position: int, now_ms: int) -> bool:
    """Return whether deletions may be missing between a position and the end of a batch that was read from there.

    name: of the table in the store. Where every offset has its record, nothing is missing, however old the store is.
    """
    return len(batch) < batch.next_offset - position and outdated(store, name, spec, now_ms)


async def begin_anew(
    store: Store, spec: TableSpec, span: OffsetRange, source: TopicPartition, now_ms: int, why: str = _FORGOTTEN
) -> int:
    """Wipe a table that cannot be brought up from where it stands; return the offset to fill it from."""
    logger.warning("%s: %s: it is wiped and restored", source, why)
    await in_thread(store.wipe, spec.name)
    # What is filled from the start lacks nothing that came before.
    await in_thread(note_current, store, {spec.name: spec}, now_ms)
    return span.start


def tell_too_slow(source: TopicPartition) -> None:
    """Tell that a table was begun anew, and is too slow all the same: it goes on, or it would never come to its end."""
    logger.error(
        "%s: filling the table takes longer than its changelog says which keys are gone: some that were deleted "
        "meanwhile may stay. Raise changelog_delete_retention_ms, and let `faust -A ... topics apply` change the topic",
        source,
    )


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
