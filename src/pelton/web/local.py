"""The rows that this worker has: what it answers when another worker, or itself, asks for partitions of a table."""

from __future__ import annotations

from collections.abc import Iterator

from pelton.errors import HistoryExpiredError, StateCorruptedError, UnavailableError
from pelton.runtime.holdings import Holding
from pelton.runtime.runtime import Runtime
from pelton.state.cache import TableCache
from pelton.state.versions import BEFORE_HISTORY, VersionCache
from pelton.web.wire import PartitionRows, Past, Row, RowsRequest, Size, Trouble, WorkerRows
from pelton.window import window_key_prefix, window_start_of

__all__ = ["rows_in", "rows_of"]

#: Steps of a read: where the next one begins, and the row that it came upon, if any.
_Steps = Iterator[tuple[bytes, Row | None]]

#: How many steps one read takes before others on the event loop have their turn: 20 ms of leaps, less of rows.
_STEPS_MAX = 2_000


def rows_of(runtime: Runtime, request: RowsRequest, worker: str) -> WorkerRows:
    """Return the rows that this worker has of those that are wanted; all of it in one go, within a few milliseconds.

    worker: this worker's address.
    """
    if request.app != runtime.options.app_id:
        return WorkerRows(missing=dict.fromkeys(request.starts, f"{worker} is a worker of {runtime.options.app_id!r}"))
    if request.table not in runtime.program.tables:
        return WorkerRows(missing=dict.fromkeys(request.starts, f"{worker} knows no such table"))
    found: list[PartitionRows] = []
    missing: dict[int, str] = {}
    for number in sorted(request.starts):
        try:
            holding = _holding(runtime, request, number)
            if isinstance(holding, str):
                missing[number] = holding
            else:
                found.append(rows_in(holding, request, worker))
        except HistoryExpiredError as error:
            return WorkerRows(trouble=Trouble(410, error.message, error.hint))
        except (UnavailableError, StateCorruptedError) as error:
            missing[number] = error.message
    return WorkerRows(partitions=found, missing=missing)


def _holding(runtime: Runtime, request: RowsRequest, number: int) -> Holding | str:
    spec = runtime.program.tables[request.table]
    if not request.standby:
        return runtime.holdings.owned(number, spec)
    if request.at_ms is not None or request.what == "versions":
        # A copy's tables move one by one: what a key holds may be newer than what is known of its past.
        return "a copy cannot tell the past"
    return runtime.holdings.standby(number, spec)


def rows_in(holding: Holding, request: RowsRequest, worker: str) -> PartitionRows:
    """Return the rows of one partition that are wanted. Raises: HistoryExpiredError, UnavailableError."""
    start = request.starts[holding.number]
    if request.what == "size":
        return PartitionRows(
            number=holding.number, role=holding.role, rows=[], behind=holding.behind, heard_s=holding.heard_s,
            worker=worker, size=_size(holding),
        )  # fmt: skip
    if request.what == "scan" and request.at_ms is None:
        rows, behind = _within(_scan(holding.cache(), start, request.end), request, start)  # from one snapshot
    else:
        rows, behind = holding.stable(lambda cache: _within(_rows(cache, request, start), request, start))
    return PartitionRows(
        number=holding.number, role=holding.role, rows=rows, next=behind,
        behind=holding.behind, heard_s=holding.heard_s, worker=worker,
    )  # fmt: skip


def _size(holding: Holding) -> Size:
    table = holding.table
    last = holding.store.last_key(table.name) if table.window_size_ms is not None else None
    return Size(*holding.store.size(table.name), window_start_of(last) if last else None, _past(holding))


def _past(holding: Holding) -> Past | None:
    versions = holding.cache().versions
    if versions is None or versions.stream_ms == BEFORE_HISTORY:
        return None
    return Past(versions.oldest_ms, versions.first_ms, versions.stream_ms)


def _within(steps: _Steps, request: RowsRequest, start: bytes) -> tuple[list[Row], bytes | None]:
    """Return as many rows as the request, and the event loop, can take, and where it goes on; None at the end."""
    taken: list[Row] = []
    size = 0
    for count, (behind, row) in enumerate(steps):
        if len(taken) == request.limit or size > request.bytes_max or count == _STEPS_MAX:
            return taken, start
        if row is not None:
            taken.append(row)
            size += len(row.key) + len(row.value or b"")
        start = behind
    return taken, None


def _rows(cache: TableCache, request: RowsRequest, start: bytes) -> _Steps:
    if request.what == "windows":
        return _windows(cache, request.key, start, request.end)
    if request.what == "versions":
        return _versions(cache, request.key, start)
    if request.what == "scan":
        return _scan_past(cache, request, start)
    value = cache.get(request.key) if request.at_ms is None else _of_versions(cache).at(request.key, request.at_ms)
    return iter([] if value is None else [(b"", Row(request.key, value))])


def _scan(cache: TableCache, start: bytes, end: bytes | None) -> _Steps:
    """Yield the rows of a range; a windowed table's own note, under the empty key, is none of them."""
    return ((key + b"\0", Row(key, value)) for key, value in cache.scan(start, end) if key or not cache.expires)


def _scan_past(cache: TableCache, request: RowsRequest, start: bytes) -> _Steps:
    assert request.at_ms is not None
    found = _of_versions(cache).items(request.at_ms, start, request.end)
    return ((key + b"\0", Row(key, value)) for key, value in found)


def _windows(cache: TableCache, key: bytes, start: bytes, end: bytes | None) -> _Steps:
    """Yield the windows of one key, by leaps: from one start of any key's window to the next."""
    while (entry := next(cache.scan(start, end), None)) is not None:
        if not entry[0]:  # the table's own note of how far stream time has come
            start = b"\0"
            continue
        start_ms = window_start_of(entry[0])
        stored, start = window_key_prefix(start_ms) + key, window_key_prefix(start_ms + 1)
        value = cache.get(stored)
        yield start, None if value is None else Row(stored, value)


def _versions(cache: TableCache, key: bytes, start: bytes) -> _Steps:
    """Yield the versions of a key, oldest first. start: how many of them to pass over, as eight bytes."""
    passed = int.from_bytes(start)
    for number, one in enumerate(_of_versions(cache).of(key)[passed:], start=passed + 1):
        since_ms = None if one.since_ms == BEFORE_HISTORY else one.since_ms
        yield number.to_bytes(8), Row(key, one.value, since_ms, one.until_ms)


def _of_versions(cache: TableCache) -> VersionCache:
    assert cache.versions is not None
    return cache.versions
