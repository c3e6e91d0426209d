"""Runs a query as a real worker in this process, on a log of either kind, and judges what it published.

The events lie in the log before the worker starts. When it has committed all that there is to read, the closing events
follow, a day's after the other's, and end the windows that are still open; then the results are read back.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from bench.nexmark.catalogue import Query
from bench.nexmark.events import Auction, Bid, Person
from bench.nexmark.expected import Frames, Rows, frames
from bench.nexmark.generator import Event, Workload, closing, events
from bench.nexmark.judging import differences, per_bidder, rows_of_files
from pelton import App, TopicPartition
from pelton.batch import OutgoingBatch
from pelton.log.contract import Log, TopicSpec
from pelton.log.partitioner import partition_for

__all__ = ["Inputs", "Outcome", "run"]

#: A query that does nothing for so long has failed.
STALL_S = 60.0
POLL_S = 0.01
READ_BYTES_MAX = 16 * 1024 * 1024
BATCH_RECORDS = 1_000
SIDE_INPUT_ROWS = 10_000
#: Records reach the log later than their events happen, so that a query that goes by the wrong time is found out.
ARRIVE_AFTER_MS = 3_601_234

_TOPICS: Mapping[type[Event], str] = {Person: "persons", Auction: "auctions", Bid: "bids"}

_Record = tuple[bytes, bytes, int]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What all queries read: (key, value, timestamp in ms) by topic, and the same as frames for the oracle."""

    day: Mapping[str, Sequence[_Record]]
    closing: Sequence[Mapping[str, Sequence[_Record]]]
    frames: Frames

    @classmethod
    def of(cls, workload: Workload) -> Inputs:
        """Return the events of a workload, the closing ones, and the list that query 13 looks up."""
        day, ends = list(events(workload)), closing(workload)
        rows = [(b"%d" % key, msgspec.json.encode(f"row {key}"), 0) for key in range(SIDE_INPUT_ROWS)]
        everything = frames(chain(day, *ends), ends[-1][0].date_time)
        return cls({**_records(day), "side-inputs": rows}, [_records(end) for end in ends], everything)


def _records(every: Iterable[Event]) -> dict[str, list[_Record]]:
    found: dict[str, list[_Record]] = {topic: [] for topic in _TOPICS.values()}
    for event in every:
        key = event.auction if isinstance(event, Bid) else event.id
        timestamp_ms = round(event.date_time.timestamp() * 1000) + ARRIVE_AFTER_MS
        found[_TOPICS[type(event)]].append((b"%d" % key, msgspec.json.encode(event), timestamp_ms))
    return found


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of a query came to.

    rows: that its results amount to. records: events read. seconds: from the start of the work to its last commit,
    without the closing events. faults: what is wrong; nothing when it passed.
    """

    query: Query
    log: str
    rows: int
    records: int
    seconds: float
    faults: Sequence[str]

    @property
    def records_per_s(self) -> float:
        """The speed; 0 of a run that broke off."""
        return self.records / self.seconds if self.seconds else 0.0


async def run(
    query: Query, inputs: Inputs, broker_url: str, directory: Path, *, name: str, partitions: int, restarts: int = 0
) -> Outcome:
    """Run a query on a log.

    directory: takes state and files. name: what its topics begin with, unique on that log.
    restarts: how often the worker stops and another one goes on; the events are dealt out over the workers.
    """
    variables = {
        "NEXMARK_RUN": name,
        "NEXMARK_FILES": str(directory / "files"),
        "BROKER_URL": broker_url,
        "APP_DATADIR": str(directory / "data"),
        "APP_WEB_ENABLED": "no",
        "TOPIC_PARTITIONS": str(partitions),
    }
    with _environment(variables):
        trial = _Trial(query, inputs, directory, name, partitions)
        try:
            for worker in range(restarts + 1):
                await trial.work(worker, of=restarts + 1)
        finally:
            await trial.clean_up()
    records = sum(len(inputs.day[topic]) for topic in query.reads)
    return Outcome(query, broker_url.partition(":")[0], trial.rows, records, trial.seconds, trial.faults)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Trial:
    """One run of one query, by one worker after the other."""

    def __init__(self, query: Query, inputs: Inputs, directory: Path, name: str, partitions: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.query = query
        self.inputs = inputs
        self.directory = directory
        self.name = name
        self.partitions = partitions
        self.rows = 0
        self.seconds = 0.0
        self.faults: list[str] = []
        self._app: App | None = None

    async def work(self, worker: int, *, of: int) -> None:
        """Let one worker do its part of the day; the last one sees the closing events too, and is judged."""
        query, day = self.query, self.inputs.day
        program = _program(query)
        self._app = app = program.app
        part = {topic: rows[len(rows) * worker // of : len(rows) * (worker + 1) // of] for topic, rows in day.items()}
        await app.open_log()
        if worker == 0:
            await self._declare(app)
        if query.loads is None:
            await self._append(part, query.reads)
        elif worker == 0:
            await self._append(day, [query.loads])
        async with _working(app):
            if query.loads is not None:
                await _settled(app)
                await _loaded(program.side_input)
                await self._append(part, query.reads)
            started = time.monotonic()
            await _settled(app)
            self.seconds += time.monotonic() - started
            if worker == of - 1:
                for closing_day in self.inputs.closing:
                    await self._append(closing_day, query.reads)
                    await _settled(app)
                found, faults = await _found(query, program, self.directory)
                self.rows = len(found)
                self.faults += faults + differences(query.expected(self.inputs.frames), found)
            else:
                assert app.runtime is not None
                await app.runtime.purging.purge()  # as it does by itself every half minute
            self.faults += _unhandled(app)

    async def clean_up(self) -> None:
        """Delete the topics."""
        if self._app is None:
            return
        await self._app.open_log()
        log = self._app.log_connection
        await log.delete_topics([topic for topic in await log.topics() if topic.startswith(f"{self.name}-")])
        await self._app.close_log()

    async def _declare(self, app: App) -> None:
        """Make the topics so that they keep all: event time is long past, and a log's retention may go by it."""
        reads = (*self.query.reads, *([self.query.loads] if self.query.loads else []))
        topics = {f"{self.name}-{topic}" for topic in reads}
        topics |= {topic for declared in app.declared_topics for topic in declared.topics}
        await app.log_connection.declare([TopicSpec(topic, self.partitions, retention_ms=-1) for topic in topics])

    async def _append(self, records: Mapping[str, Sequence[_Record]], topics: Iterable[str]) -> None:
        assert self._app is not None
        count = self.partitions
        for topic in topics:
            for start in range(0, len(records[topic]), BATCH_RECORDS * count):
                batches = [OutgoingBatch(f"{self.name}-{topic}", number) for number in range(count)]
                for key, value, timestamp_ms in records[topic][start : start + BATCH_RECORDS * count]:
                    batches[partition_for(key, count)].append(key, value, timestamp_ms)
                await self._app.log_connection.append([batch for batch in batches if len(batch)])


def _program(query: Query) -> ModuleType:
    """Return the query's module, made anew: what it decides from the environment is decided at import."""
    sys.modules.pop(query.module, None)
    return import_module(query.module)


@asynccontextmanager
async def _working(app: App) -> AsyncIterator[None]:
    """Run the application as `faust worker` does."""
    await app.start()
    try:
        await app.engine.wait_until_ready()
        yield
    finally:
        await app.stop()


async def _settled(app: App) -> None:
    """Wait until the application has committed all that its topics hold, those that it writes for itself too.

    An agent's output is committed with its position. So if everything was read twice over and nothing was added in
    between, nothing is under way.
    """
    before: Mapping[TopicPartition, int] | None = None
    changed, progress = time.monotonic(), 0
    while True:
        statistics = app.statistics()
        if app.crashed or statistics is None:
            raise RuntimeError(f"{app.conf.id} ended by itself: {app.crash_reason}")
        if statistics.committed_records > progress:
            changed, progress = time.monotonic(), statistics.committed_records
        elif time.monotonic() - changed > STALL_S:
            raise TimeoutError(f"{app.conf.id} committed nothing for {STALL_S:g} s; it is behind by {statistics.lag}")
        ends = await _ends_if_done(app)
        if ends is not None and ends == before:
            return
        before = ends
        await asyncio.sleep(POLL_S)


async def _ends_if_done(app: App) -> Mapping[TopicPartition, int] | None:
    """Return the ends of all that the application reads, if it has done and committed all before them; else None."""
    runtime = app.runtime
    assert runtime is not None
    counts = await app.log_connection.partitions(runtime.program.sources())
    sources = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
    ranges = await app.log_connection.offsets(sources)
    pulse = runtime.pulse()
    behind = any(start < end and pulse.drained.get(source, 0) < end for source, (start, end) in ranges.items())
    return None if behind or pulse.committing else {source: span.end for source, span in ranges.items()}


async def _loaded(table: Any) -> None:
    """Wait until this worker has all rows of the global table: they come to it through the changelog."""
    deadline = time.monotonic() + STALL_S
    while len(table) < SIDE_INPUT_ROWS:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{table!r} has {len(table)} rows, expected {SIDE_INPUT_ROWS}")
        await asyncio.sleep(POLL_S)


async def _found(query: Query, program: ModuleType, directory: Path) -> tuple[Rows, list[str]]:
    """Return the rows that the results amount to, and what is wrong with them in themselves."""
    if query.number == 10:
        return rows_of_files(directory / "files"), []
    records = await _results(program.app.log_connection, str(program.results))
    values = list(dict(records).values()) if query.changes else [value for _, value in records]
    decoder = msgspec.json.Decoder(program.results.value_type)
    rows: Rows = []
    for value in map(decoder.decode, values):
        for row in value if isinstance(value, list) else [value]:
            rows.append(msgspec.to_builtins(row, builtin_types=(datetime, Decimal)))
    return per_bidder(rows) if query.number == 12 else (rows, [])


async def _results(log: Log, topic: str) -> list[tuple[bytes, bytes]]:
    """Return (key, value) of all committed records of a topic, partition after partition."""
    count = (await log.partitions([topic])).get(topic, 0)
    found: list[tuple[bytes, bytes]] = []
    for source, (start, end) in (await log.offsets(TopicPartition(topic, n) for n in range(count))).items():
        offset = start
        while offset < end:
            batch = await log.read(source, offset, bytes_max=READ_BYTES_MAX, timeout_s=STALL_S)
            if batch.next_offset == offset:
                raise TimeoutError(f"{source} gave nothing at offset {offset} of {end}")
            found += zip(batch.keys, batch.values, strict=True)  # type: ignore[arg-type]
            offset = batch.next_offset
    return found


def _unhandled(app: App) -> list[str]:
    """Return what was left out of the results: there must be nothing late, and nothing that failed."""
    statistics = app.statistics()
    assert statistics is not None
    late = sum(task.late_events for task in statistics.tasks)
    faults = [f"{late} late events"] if late else []
    return [*faults, f"{statistics.dead_lettered} dead letters"] if statistics.dead_lettered else faults
