"""Questions about tables, answered by whichever workers have the rows: keys, windows, versions, and whole ranges.

An answer says where it comes from, and how far a standby was behind. What cannot be answered for all partitions that it
takes is an error, unless the caller says that a part will do; then the answer names what is missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge as merge_sorted
from itertools import zip_longest
from typing import Any, Literal, Protocol

import msgspec

from pelton.errors import ConfigurationError, HistoryExpiredError, PartitionsUnavailableError
from pelton.log.partitioner import partition_for
from pelton.web.asking import Asking, Gathered
from pelton.web.wire import PartitionRows, Row, RowsRequest
from pelton.window import window_key_prefix, window_key_suffix, window_start_of

__all__ = [
    "ROWS_MAX",
    "Answer",
    "Found",
    "Page",
    "PastValue",
    "Place",
    "QueriedTable",
    "Queries",
    "Reach",
    "Source",
    "StoredKey",
    "WindowValue",
    "source_of",
    "window_range",
]

#: How many rows a page may have, and how many versions and windows of a key are told at once.
ROWS_MAX = 1_000
_PAGE_BYTES_MAX = 8 * 1024 * 1024


class QueriedTable(Protocol):
    """A table as queries see it: its name, and how its keys and values are written.

    size_ms: the length of its windows; None for a plain table.
    """

    name: str
    changelog: str
    replicated: bool
    history: bool
    size_ms: int | None

    def encode_key(self, key: Any, /) -> bytes:
        """Return a key as it is stored."""
        ...

    def decode_key(self, data: bytes, /) -> Any:
        """Return a stored key."""
        ...

    def decode(self, data: bytes, /) -> Any:
        """Return a stored value."""
        ...

    def route_key(self, key: Any, /) -> bytes:
        """Return the bytes by which a key is partitioned."""
        ...


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is stored, and the partition that it is looked for in, whichever keys like it should be in."""

    stored: bytes
    partition: int


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a partition's part of an answer comes from.

    role: owner, or standby, whose copy was `records_behind` the changelog's end `heard_s` ago; or replica, of a global
    table.
    """

    partition: int
    worker: str
    role: Literal["owner", "standby", "replica"]
    records_behind: int = 0
    heard_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Reach:
    """How far an answer may go.

    standby: whether copies may answer for partitions whose owner cannot. partial: whether an answer may leave out
    partitions that nobody can answer for.
    """

    standby: bool = False
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A row of an answer.

    stored: its key as it is stored, by which rows are in order. start_ms: of its window, in a windowed table.
    """

    key: Any
    value: Any
    partition: int
    stored: bytes
    start_ms: int | None = None


@dataclass(frozen=True, slots=True)
class WindowValue:
    """A window of a key."""

    start_ms: int
    end_ms: int
    value: Any


@dataclass(frozen=True, slots=True)
class PastValue:
    """A version of a key: see `pelton.Version`."""

    value: Any
    since_ms: int | None
    until_ms: int | None
    deleted: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of one key.

    found: whether it has a value. value: it; its windows, or versions, in a list where these were asked for.
    more: whether there are more of those than are told.
    """

    found: bool
    value: Any
    source: Source
    more: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a table, in the order of their keys' bytes.

    next: where the next page begins; None when this is the last. missing: the partitions that nobody could answer for.
    """

    rows: Sequence[Found]
    next: Mapping[int, bytes] | None
    sources: Sequence[Source]
    missing: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Place:
    """A worker that should have a partition, as its owner or as a copy, and what it says of it.

    rows: with the partition's size; None where it cannot answer, and why.
    """

    worker: str
    rows: PartitionRows | None
    reason: str = ""


class Queries:
    """Answers questions about the tables of an application.

    counts: changelog topic -> how many partitions it has.
    """

    def __init__(self, app_id: str, asking: Asking, counts: Callable[[str], Awaitable[int]]) -> None:
        self._app_id = app_id
        self._asking = asking
        self._counts = counts

    async def value(self, table: QueriedTable, key: Any, *, at_ms: int | None = None, standby: bool = False) -> Answer:
        """Return what a key holds, or held. Raises: PartitionsUnavailableError, HistoryExpiredError."""
        if at_ms is not None:
            _check_history(table)
        rows = await self._of_key(table, key, "value", at_ms=at_ms, standby=standby)
        value = table.decode(rows.rows[0].value or b"") if rows.rows else None
        return Answer(bool(rows.rows), value, source_of(rows))

    async def windows(
        self,
        table: QueriedTable,
        key: Any,
        *,
        since_ms: int | None = None,
        until_ms: int | None = None,
        limit: int = ROWS_MAX,
        standby: bool = False,
    ) -> Answer:
        """Return the windows of a key, earliest first: those of which any moment lies in since_ms <= t < until_ms."""
        size_ms, first, behind = window_range(table, since_ms, until_ms)
        rows = await self._of_key(table, key, "windows", start=first, end=behind, limit=limit, standby=standby)
        starts = [(window_start_of(row.key), row.value or b"") for row in rows.rows]
        values = [WindowValue(start, start + size_ms, table.decode(data)) for start, data in starts]
        return Answer(bool(values), values, source_of(rows), rows.next is not None)

    async def versions(self, table: QueriedTable, key: Any, *, limit: int = ROWS_MAX) -> Answer:
        """Return what a key held within the table's history, oldest first."""
        _check_history(table)
        rows = await self._of_key(table, key, "versions", limit=limit)
        values = [
            PastValue(
                None if row.value is None else table.decode(row.value), row.since_ms, row.until_ms, row.value is None
            )
            for row in rows.rows
        ]
        return Answer(bool(values), values, source_of(rows), rows.next is not None)

    async def _of_key(
        self,
        table: QueriedTable,
        key: Any,
        what: Literal["value", "windows", "versions"],
        *,
        start: bytes = b"",
        end: bytes | None = None,
        at_ms: int | None = None,
        limit: int = 1,
        standby: bool = False,
    ) -> PartitionRows:
        """Return the rows of one key; windows take several requests where many of other keys lie between."""
        number, stored = await self.home(table, key)
        rows: list[Row] = []
        while True:
            request = RowsRequest(
                app=self._app_id, table=table.name, what=what, key=stored, starts={number: start},
                end=end, at_ms=at_ms, limit=limit - len(rows), standby=standby, bytes_max=_PAGE_BYTES_MAX,
            )  # fmt: skip
            found = (await self._gather(table, request, Reach(standby)))[0][number]
            rows += found.rows
            if found.next is None or len(rows) >= limit or sum(map(_size, rows)) > _PAGE_BYTES_MAX:
                return msgspec.structs.replace(found, rows=rows)
            start = found.next

    async def home(self, table: QueriedTable, key: Any) -> tuple[int, bytes]:
        """Return the partition number that a key is looked for in, and the key as it is stored.

        key: or a `StoredKey`. Raises: ConfigurationError for a partition that the table does not have.
        """
        count = await self.count(table)
        if not isinstance(key, StoredKey):
            return 0 if count == 1 else partition_for(table.route_key(key), count), table.encode_key(key)
        if key.partition >= count:
            raise ConfigurationError(
                f'table "{table.name}" has no partition {key.partition}', hint=f"it has {count}, from 0 on"
            )
        return key.partition, key.stored

    async def count(self, table: QueriedTable) -> int:
        """Return how many partitions a table has; a global one counts as one."""
        return 1 if table.replicated else await self._counts(table.changelog)

    async def sizes(self, table: QueriedTable) -> Gathered:
        """Return about how much each partition of a table holds, those left out that nobody can answer for."""
        starts = dict.fromkeys(range(await self.count(table)), b"")
        request = RowsRequest(app=self._app_id, table=table.name, what="size", starts=starts, standby=True)
        return await self._asking.gather(request, anyone=table.replicated)

    async def places(self, table: QueriedTable, number: int) -> Sequence[Place]:
        """Return the workers that should have a partition, with what they say of it. Raises: UnavailableError."""
        request = RowsRequest(app=self._app_id, table=table.name, what="size", starts={number: b""})
        answers = await self._asking.everywhere(request, anyone=table.replicated)
        return [
            Place(worker, answer.partitions[0] if answer.partitions else None, answer.missing.get(number, ""))
            for worker, answer in sorted(answers.items())
        ]

    async def scan(
        self,
        table: QueriedTable,
        start: bytes = b"",
        end: bytes | None = None,
        *,
        at_ms: int | None = None,
        limit: int = ROWS_MAX,
        after: Mapping[int, bytes] | None = None,
        reach: Reach = Reach(),
    ) -> Page:
        """Return a page of the rows whose stored keys are in start <= key < end, of all partitions, in order.

        after: `next` of the page before. Each page is of its own moment; a key that stays is on one page.
        Raises: PartitionsUnavailableError, HistoryExpiredError, ConfigurationError.
        """
        if at_ms is not None:
            _check_history(table)
        numbers = range(await self.count(table))
        starts = dict.fromkeys(numbers, start) if after is None else dict(after)
        if not starts.keys() <= set(numbers):
            raise ConfigurationError("the cursor is of a table with other partitions", hint="begin again without it")
        request = RowsRequest(
            app=self._app_id, table=table.name, what="scan", starts=starts, end=end, at_ms=at_ms, limit=limit,
            standby=reach.standby, bytes_max=_PAGE_BYTES_MAX // max(1, len(starts)),
        )  # fmt: skip
        found, missing = await self._gather(table, request, reach)
        rows, behind = _merged(found, limit)
        behind |= {number: starts[number] for number in missing} if behind else {}
        sources = [source_of(found[number]) for number in sorted(found)]
        return Page([_found(table, number, row) for number, row in rows], behind or None, sources, missing)

    async def rows(
        self,
        table: QueriedTable,
        start: bytes = b"",
        end: bytes | None = None,
        *,
        at_ms: int | None = None,
        reach: Reach = Reach(),
    ) -> AsyncIterator[Found]:
        """Yield the rows of all pages. Raises: as `scan`."""
        after: Mapping[int, bytes] | None = None
        while True:
            page = await self.scan(table, start, end, at_ms=at_ms, after=after, reach=reach)
            for row in page.rows:
                yield row
            after = page.next
            if after is None:
                return

    async def _gather(
        self, table: QueriedTable, request: RowsRequest, reach: Reach
    ) -> tuple[Mapping[int, PartitionRows], Mapping[int, str]]:
        gathered = await self._asking.gather(request, anyone=table.replicated)
        if (trouble := gathered.trouble) is not None:
            raise HistoryExpiredError(trouble.error, hint=trouble.hint)
        if gathered.missing and not reach.partial:
            first = min(gathered.missing)
            raise PartitionsUnavailableError(
                f'table "{table.name}": nobody can answer for partitions {sorted(gathered.missing)} now;'
                f" of partition {first}: {gathered.missing[first]}",
                missing=gathered.missing,
                hint="try again in a moment",
            )
        return gathered.partitions, gathered.missing


def _merged(found: Mapping[int, PartitionRows], limit: int) -> tuple[list[tuple[int, Row]], dict[int, bytes]]:
    """Return up to limit rows of all partitions in order, and where each partition goes on that is not at its end."""
    streams = [_marked(rows) for rows in found.values()]
    taken: list[tuple[int, Row]] = []
    behind = {number: rows.rows[0].key if rows.rows else rows.next for number, rows in found.items()}
    for _, number, row, place in merge_sorted(*streams):
        if row is None or len(taken) == limit:
            break
        taken.append((number, row))
        behind[number] = place
    return taken, {number: place for number, place in behind.items() if place is not None}


def _marked(rows: PartitionRows) -> Iterator[tuple[bytes, int, Row | None, bytes | None]]:
    """Yield (key, number, row, where the partition goes on behind it); no row where the partition was cut off.

    There the merge must end: what lies behind comes before the rows of others.
    """
    for row, following in zip_longest(rows.rows, rows.rows[1:]):
        yield row.key, rows.number, row, rows.next if following is None else following.key
    if rows.next is not None:
        yield rows.next, rows.number, None, rows.next


def _found(table: QueriedTable, number: int, row: Row) -> Found:
    start_ms = None if table.size_ms is None else window_start_of(row.key)
    key = row.key if start_ms is None else window_key_suffix(row.key)
    return Found(table.decode_key(key), table.decode(row.value or b""), number, row.key, start_ms)


def source_of(rows: PartitionRows) -> Source:
    """Return where a partition's rows come from."""
    return Source(
        partition=rows.number,
        worker=rows.worker,
        role=rows.role,
        records_behind=rows.behind,
        heard_s=round(rows.heard_s, 3),
    )


def _size(row: Row) -> int:
    return len(row.key) + len(row.value or b"")


def window_range(table: QueriedTable, since_ms: int | None, until_ms: int | None) -> tuple[int, bytes, bytes | None]:
    """Return the size of a table's windows, and the stored keys between which those of a time lie."""
    if table.size_ms is None:
        raise ConfigurationError(f'table "{table.name}" has no windows', hint="ask for the key's value")
    first = b"" if since_ms is None else window_key_prefix(since_ms - table.size_ms + 1)
    return table.size_ms, first, None if until_ms is None else window_key_prefix(until_ms)


def _check_history(table: QueriedTable) -> None:
    if not table.history:
        raise ConfigurationError(
            f'table "{table.name}" has no history', hint="declare it with app.Table(..., history=timedelta(days=7))"
        )
