"""Searching the lines of all services: the topic `logs` itself is read, backwards, so any worker finds everything.

A record's own time is when its line was shipped, and no line bears a time far ahead of that; so the log's index by
time tells from which record on lines of a time can be found.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec

from app.bank import app, logs
from app.logformats import AHEAD_MAX_S
from app.models import Level, LogLine
from pelton import TopicPartition, read_kept

__all__ = ["LEVELS", "Found", "Query", "search"]

LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error", "critical")
CHUNK = 2_000
READ_BYTES_MAX = 1024 * 1024
#: Records of a partition that one search looks at.
SCANNED_MAX = 100_000

_decode = msgspec.json.Decoder(LogLine).decode


class Query(NamedTuple):
    """What is looked for. level: at least; start, end: start <= time < end, event time in seconds; text: anywhere."""

    service: str = ""
    level: Level = "debug"
    start: float = 0.0
    end: float = float("inf")
    text: str = ""
    limit: int = 100

    def matches(self, line: LogLine) -> bool:
        """Return whether a line is what is looked for."""
        return (
            self.start <= line.ts < self.end
            and (not self.service or line.service == self.service)
            and LEVELS.index(line.level) >= LEVELS.index(self.level)
            and (not self.text or self._holds_text(line))
        )

    def _holds_text(self, line: LogLine) -> bool:
        wanted = self.text.casefold()
        return wanted in line.message.casefold() or any(wanted in value.casefold() for value in line.fields.values())


class Found(NamedTuple):
    """Lines, latest first; how many records were looked at; and whether these are all that were to be looked at."""

    lines: list[LogLine]
    scanned: int
    complete: bool


async def search(query: Query) -> Found:
    """Return the latest lines that a query matches. Raises: UnavailableError."""
    await app.open_log()
    topic = logs.get_topic_name()
    lines: list[LogLine] = []
    scanned, complete = 0, True
    for number in range((await app.log_connection.partitions([topic])).get(topic, 0)):
        looked_at = matched = 0
        async for chunk in _backwards(TopicPartition(topic, number), query.start - AHEAD_MAX_S):
            found = [line for line in chunk if query.matches(line)]
            lines += found
            looked_at, matched = looked_at + len(chunk), matched + len(found)
            if matched >= query.limit or looked_at >= SCANNED_MAX:
                complete = False
                break
        scanned += looked_at
    lines.sort(key=lambda line: line.ts, reverse=True)
    return Found(lines[: query.limit], scanned, complete and len(lines) <= query.limit)


async def _backwards(source: TopicPartition, since: float) -> AsyncIterator[list[LogLine]]:
    """Yield the lines of a partition that were shipped since a time, the latest chunk first."""
    log: Any = app.log_connection
    first, end = (await log.offsets([source]))[source]
    if since > 0:
        first = await log.offset_at(source, int(since * 1000))
    while first is not None and end > first:
        start, lines = max(first, end - CHUNK), list[LogLine]()
        offset = start
        while offset < end:
            batch = await read_kept(log, source, offset, bytes_max=READ_BYTES_MAX, timeout_s=1.0)
            pairs = zip(batch.offsets, batch.values, strict=True)
            lines += [_decode(value) for at, value in pairs if value is not None and at < end]
            if batch.next_offset <= offset:
                break
            offset = batch.next_offset
        yield lines
        end = start
