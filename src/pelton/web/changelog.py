"""What was written to a key, from the table's changelog, newest first: a bounded piece of the log for each question.

A changelog has no index by key, so it is searched backwards, until enough was found or enough was read; whoever asks
goes on from where that ended. A commit writes a key's last value only, and the log compacts what is older, so what is
found is what is still there, and no history (`history=` keeps one).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pelton.batch import RecordBatch, TopicPartition
from pelton.clock import Clock
from pelton.log.contract import Log
from pelton.web.searching import Place, Search, Work

__all__ = ["Change", "Changes", "changes_of"]


@dataclass(frozen=True, slots=True)
class Change:
    """One record of a changelog.

    time_ms: when it was committed, by its worker's clock. value: None where it deletes.
    """

    offset: int
    time_ms: int
    key: bytes
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What was found, newest first.

    first, end: the offsets first <= offset < end were searched. next: older ones are before this; None when there are
    none.
    """

    found: Sequence[Change]
    first: int
    end: int
    next: int | None


async def changes_of(
    log: Log, source: TopicPartition, matches: Callable[[bytes], bool], *, before: int | None, limit: int, clock: Clock
) -> Changes:
    """Return the newest changes of the keys that match, before an offset, or before the end; see `Work` for how many.

    Raises: UnavailableError.
    """
    low, high = (await log.offsets([source]))[source]
    end = high if before is None else max(low, min(before, high))

    def chosen(batch: RecordBatch) -> Sequence[tuple[int, Change]]:
        rows = zip(batch.offsets, batch.timestamps_ms, batch.keys, batch.values, strict=True)
        return [
            (row, Change(offset, time_ms, key, value))
            for row, (offset, time_ms, key, value) in enumerate(rows)
            if key is not None and matches(key)
        ]

    search = Search(log, source.topic, {source.partition: Place(low, end, end)}, chosen, clock)
    found = await search.run(Work(limit))
    left = None if found.next is None else found.next[source.partition].at
    return Changes(found.hits, low if left is None else left, end, left)
