"""The tables over HTTP: what `/api/tables` and the addresses below it answer, whichever worker is asked.

    GET /api/openapi.json                    this, for programs
    GET /api/tables                          the tables, and how they are asked
    GET /api/tables/{name}                   rows: all, a range, a prefix, windows of a time; in pages; as of a time,
                                             and how they differ from those of now
    GET /api/tables/{name}/{key}             a key's value, or its windows; as of a time
    GET /api/tables/{name}/{key}/versions    what a key held, for a table with history
    GET /api/tables/{name}/{key}/changelog   what was written to a key, as far as the changelog still has it
    GET /api/tables/{name}/{key}/places      the workers that have a key
    GET /api/sizes                           about how much each table holds, where, and how far its history reaches
    GET /api/exports/{name}                  rows, all of a range, as a file
    GET /api/sql                             what a statement makes of the tables

Every answer says which worker it comes from and whether it is an owner's or a standby's. 400: the request is wrong.
404: there is no such table, or key. 410: the time is further back than the history. 503 with Retry-After: nobody can
answer now for what it takes; `partial=allow` takes what there is, and says what is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec

from pelton.batch import TopicPartition
from pelton.clock import Clock
from pelton.errors import ConfigurationError, HistoryExpiredError, PeltonError, UnavailableError
from pelton.log.contract import Log
from pelton.web import openapi
from pelton.web.addresses import address_of, asked_key, shown_key
from pelton.web.asking import Gathered
from pelton.web.changelog import Change, changes_of
from pelton.web.difference import compared
from pelton.web.exporting import CONTENT_TYPES, Export, Exports, format_of, pages_of, row_as_json
from pelton.web.openapi import (
    CHANGELOG_PARAMETERS,
    EXPORT_PARAMETERS,
    KEY_PARAMETERS,
    OFFSET_MAX,
    PLACES_PARAMETERS,
    SCAN_PARAMETERS,
    SIZES_PARAMETERS,
    SQL_PARAMETERS,
    VERSIONS_PARAMETERS,
)
from pelton.web.parameters import (
    KeyedTable,
    ScanParameters,
    absence_of,
    cursor_text,
    known,
    limit_of,
    reach_of,
    scan_parameters,
    time_of,
    whole_of,
)
from pelton.web.queries import Answer, Found, PastValue, Queries, Source, WindowValue, source_of
from pelton.web.statements import SQL_ROWS, SQL_ROWS_MAX, Statements
from pelton.web.wire import PartitionRows, Size
from pelton.window import WINDOW_PREFIX_BYTES, window_key_suffix, window_start_of

__all__ = ["File", "Reply", "TableApi", "as_json", "refusal"]

_RETRY_AFTER_S = 1


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, a document that JSON can hold, and headers."""

    document: Any
    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class File:
    """An answer that is a file."""

    name: str
    content_type: str
    content: Export


class TableApi:
    """Answers requests for table rows.

    tables: name -> the table. queries: asks the workers. log: has the changelogs. version: pelton's, for the document.
    """

    def __init__(
        self,
        tables: Callable[[], Mapping[str, KeyedTable]],
        queries: Callable[[], Queries],
        log: Callable[[], Log],
        clock: Clock,
        version: str = "",
    ) -> None:
        self._tables = tables
        self._version = version
        self._queries = queries
        self._log = log
        self._clock = clock
        self._exports = Exports()
        self._statements = Statements(clock)

    async def openapi(self) -> Reply:
        """Return the document that describes all this."""
        return Reply(openapi.document(self._tables(), self._version))

    async def list(self) -> Reply:
        """Return the tables."""
        return Reply({"tables": [describe(table) for _, table in sorted(self._tables().items())]})

    async def sizes(self, query: Mapping[str, str]) -> Reply:
        """Return about how much each table holds, or one; partitions that nobody can tell of are said to be missing."""
        wanted = known(query, SIZES_PARAMETERS).get("table")
        tables = sorted(self._tables().items()) if wanted is None else [(wanted, self._table(wanted))]
        gathered = await asyncio.gather(*(self._queries().sizes(table) for _, table in tables))
        return Reply({"tables": [_sizes(name, found) for (name, _), found in zip(tables, gathered, strict=True)]})

    async def scan(self, name: str, query: Mapping[str, str]) -> Reply:
        """Return a page of a table's rows."""
        table = self._table(name)
        wanted = scan_parameters(table, known(query, SCAN_PARAMETERS))
        queries = self._queries()
        if wanted.compare:
            return await self._compared(table, wanted)
        page = await queries.scan(
            table,
            wanted.range.start,
            wanted.range.end,
            at_ms=wanted.at_ms,
            limit=wanted.limit,
            after=wanted.after,
            reach=wanted.reach,
        )
        count = await queries.count(table)
        document = {
            "table": name,
            "rows": [_row(table, row, count) for row in page.rows],
            "next": cursor_text(page.next),
            "complete": not page.missing,
            "partitions": page.sources,
            "missing": _missing(page.missing),
        }
        return Reply(document)

    async def _compared(self, table: KeyedTable, wanted: ScanParameters) -> Reply:
        """Return a page of a table's rows then and now."""
        queries, (start, end) = self._queries(), (wanted.range.start, wanted.range.end)
        assert wanted.at_ms is not None
        page = await compared(queries, table, start, end, at_ms=wanted.at_ms, limit=wanted.limit, after=wanted.after)
        count = await queries.count(table)
        document = {
            "table": table.name,
            "rows": [_pair(table, then, now, count) for then, now in page.rows],
            "next": cursor_text(page.next),
            "complete": True,
            "partitions": page.sources,
            "missing": [],
        }
        return Reply(document)

    async def export(self, name: str, query: Mapping[str, str]) -> File:
        """Return the rows of a range as a file, all of them; from owners only, unless copies are allowed."""
        table = self._table(name)
        format_ = format_of(known(query, EXPORT_PARAMETERS))
        wanted = scan_parameters(table, {"standby": "never"} | {k: v for k, v in query.items() if k != "format"})
        pages = pages_of(
            self._queries(), table, wanted.range.start, wanted.range.end, at_ms=wanted.at_ms, reach=wanted.reach
        )
        return File(f"{name}.{format_}", CONTENT_TYPES[format_], await self._exports.begin(table, pages, format_))

    async def key(self, name: str, key: str, query: Mapping[str, str]) -> Reply:
        """Return what a key of a table holds."""
        table, query = self._table(name), known(query, KEY_PARAMETERS)
        wanted, reach, at_ms = asked_key(table, key, query), reach_of(query), time_of(query, "at")
        absent = absence_of(query)
        since_ms, until_ms, limit = time_of(query, "since"), time_of(query, "until"), limit_of(query)
        if table.size_ms is None and (since_ms, until_ms) != (None, None):
            raise ConfigurationError(f'table "{name}" has no windows', hint="leave since= and until= out")
        if table.size_ms is None:
            answer = await self._queries().value(table, wanted, at_ms=at_ms, standby=reach.standby)
            return _told(table, wanted, answer, {"value": answer.value} if answer.found else {}, always=absent)
        if at_ms is not None:
            raise ConfigurationError(
                f'table "{name}" has no history: its windows are', hint="ask for since= and until="
            )
        answer = await self._queries().windows(
            table, wanted, since_ms=since_ms, until_ms=until_ms, limit=limit, standby=reach.standby
        )
        content = {"windows": _windows(answer.value), "more": answer.more}
        # That nothing lies in a part of time does not tell that there is no such key.
        return _told(table, wanted, answer, content, always=absent or (since_ms, until_ms) != (None, None))

    async def versions(self, name: str, key: str, query: Mapping[str, str]) -> Reply:
        """Return what a key of a table held within its history."""
        table, query = self._table(name), known(query, VERSIONS_PARAMETERS)
        wanted = asked_key(table, key, query)
        answer = await self._queries().versions(table, wanted, limit=limit_of(query))
        content = {"versions": _versions(answer.value), "more": answer.more}
        return _told(table, wanted, answer, content, always=absence_of(query))

    async def changelog(self, name: str, key: str, query: Mapping[str, str]) -> Reply:
        """Return what was written to a key, newest first; so much of the changelog is read, and no more."""
        table, query = self._table(name), known(query, CHANGELOG_PARAMETERS)
        wanted = asked_key(table, key, query)
        before = whole_of(query, "before", None, 0, OFFSET_MAX)
        number, stored = await self._queries().home(table, wanted)
        source = TopicPartition(table.changelog, number)
        changes = await changes_of(
            self._log(), source, _matching(table, stored), before=before, limit=limit_of(query), clock=self._clock
        )
        document = {
            "table": name,
            "key": shown_key(table, wanted, found=bool(changes.found)),
            "topic": source.topic,
            "partition": number,
            "changes": [_change(table, one) for one in changes.found],
            "searched": {"from": changes.first, "to": changes.end},
            "next": changes.next,
        }
        return Reply(document)

    async def places(self, name: str, key: str, query: Mapping[str, str]) -> Reply:
        """Return the workers that should have a key's partition, and how far each is."""
        table, query = self._table(name), known(query, PLACES_PARAMETERS)
        wanted = asked_key(table, key, query)
        number, _ = await self._queries().home(table, wanted)
        places = await self._queries().places(table, number)
        document = {
            "table": name,
            "key": shown_key(table, wanted, found=False),
            "partition": number,
            "places": [_size(one.rows) for one in places if one.rows is not None],
            "silent": [{"worker": one.worker, "reason": one.reason} for one in places if one.rows is None],
        }
        return Reply(document)

    async def sql(self, query: Mapping[str, str]) -> Reply | File:
        """Return what a statement makes of the tables: rows, or all of them as a file."""
        query = known(query, SQL_PARAMETERS)
        at_ms, limit = time_of(query, "at"), whole_of(query, "limit", SQL_ROWS, 1, SQL_ROWS_MAX)
        format_ = None if query.get("format", "json") == "json" else format_of(query)
        told = await self._statements.run(
            query.get("query", ""), self._tables(), self._queries(), at_ms=at_ms,
            rows_max=limit + 1 if format_ is None else SQL_ROWS_MAX + 1,
        )  # fmt: skip
        if format_ is None:
            return Reply(told.document(limit))
        if told.frame.height > SQL_ROWS_MAX:
            raise ConfigurationError(
                f"the answer has more than {SQL_ROWS_MAX:,} rows", hint="ask for fewer, with LIMIT"
            )
        return File(f"answer.{format_}", CONTENT_TYPES[format_], await told.file(format_))

    def _table(self, name: str) -> KeyedTable:
        table = self._tables().get(name)
        if table is None:
            raise _Unknown(f'there is no table "{name}"', hint="/api/tables names them")
        return table


class _Unknown(PeltonError):
    """There is no such table."""


def refusal(error: PeltonError) -> Reply:
    """Return what a request is answered that ended in an error."""
    document: dict[str, Any] = {"error": error.message, "hint": error.hint}
    headers: dict[str, str] = {}
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    if isinstance(error, _Unknown):
        status = HTTPStatus.NOT_FOUND
    elif isinstance(error, HistoryExpiredError):
        status = HTTPStatus.GONE
    elif isinstance(error, ConfigurationError):
        status = HTTPStatus.BAD_REQUEST
    elif isinstance(error, UnavailableError):
        status, headers = HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": str(_RETRY_AFTER_S)}
        missing: Mapping[int, str] = getattr(error, "missing", {})
        document["missing"] = _missing(missing)
    return Reply(document, status, headers)


def describe(table: KeyedTable) -> dict[str, Any]:
    """Return what there is to know of a table before it is asked."""
    return {
        "name": table.name,
        "help": table.help,
        "keys": table.keys,
        "key_type": table.key_type,
        "value_type": table.value_type,
        "columns": table.columns,
        "global": table.replicated,
        "history": table.history,
        "window_ms": table.size_ms,
    }


def _told(table: KeyedTable, key: object, answer: Answer, content: Mapping[str, Any], *, always: bool = False) -> Reply:
    """Return what is known of a key; that there is nothing is 404, unless always, and says so from the same source."""
    shown = shown_key(table, key, found=answer.found)
    about = {"table": table.name, "key": shown, "source": answer.source, "stale": _stale(answer.source)}
    if answer.found or always:
        return Reply({**about, **content})
    return Reply({"error": f'table "{table.name}" has no such key', "hint": None, **about}, HTTPStatus.NOT_FOUND)


def _stale(source: Source) -> bool:
    return source.role == "standby"


def _row(table: KeyedTable, row: Found, count: int) -> dict[str, Any]:
    return {**row_as_json(table, row), "href": address_of(table, row.stored, row.partition, count)}


def _pair(table: KeyedTable, then: Found | None, now: Found | None, count: int) -> dict[str, Any]:
    row = then or now
    assert row is not None
    told = _row(table, row, count)
    if now is None:
        return {**told, "change": "removed"}
    if then is None:
        del told["value"]
        return {**told, "now": now.value, "change": "added"}
    return {**told, "now": now.value, "change": "same" if then.value == now.value else "changed"}


def _missing(missing: Mapping[int, str]) -> list[dict[str, Any]]:
    return [{"partition": number, "reason": why} for number, why in sorted(missing.items())]


def _sizes(name: str, found: Gathered) -> dict[str, Any]:
    return {
        "name": name,
        "partitions": [_size(rows) for _, rows in sorted(found.partitions.items())],
        "missing": _missing(found.missing),
    }


def _size(rows: PartitionRows) -> dict[str, Any]:
    size = rows.size or Size(0, 0)
    source: dict[str, Any] = msgspec.to_builtins(source_of(rows))
    return {**source, "keys": size.keys, "bytes": size.bytes, "latest_ms": size.latest_ms, "past": _past(size)}


def _past(size: Size) -> dict[str, int] | None:
    past = size.past
    if past is None:
        return None
    return {"oldest_ms": past.oldest_ms, "first_ms": past.first_ms, "latest_ms": past.latest_ms}


def _matching(table: KeyedTable, stored: bytes) -> Callable[[bytes], bool]:
    """Return what tells whether a record of the changelog is of a key, or of one of its windows."""
    if table.size_ms is None:
        return stored.__eq__
    return lambda key: len(key) >= WINDOW_PREFIX_BYTES and window_key_suffix(key) == stored


def _change(table: KeyedTable, change: Change) -> dict[str, Any]:
    told = {
        "offset": change.offset,
        "time_ms": change.time_ms,
        "value": None if change.value is None else table.decode(change.value),
        "deleted": change.value is None,
    }
    if table.size_ms is not None:
        start_ms = window_start_of(change.key)
        told |= {"start_ms": start_ms, "end_ms": start_ms + table.size_ms}
    return told


def _windows(windows: Sequence[WindowValue]) -> list[dict[str, Any]]:
    return [{"start_ms": one.start_ms, "end_ms": one.end_ms, "value": one.value} for one in windows]


def _versions(versions: Sequence[PastValue]) -> list[dict[str, Any]]:
    return [
        {"value": one.value, "since_ms": one.since_ms, "until_ms": one.until_ms, "deleted": one.deleted}
        for one in versions
    ]


def as_json(document: Any) -> bytes:
    """Return a reply's document as JSON."""
    return msgspec.json.encode(document)
