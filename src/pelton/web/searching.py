"""Searching a topic without an index: some work a request, newest or oldest first, and a place from where to go on.

A log can be read forwards only. To go backwards, a partition is read in spans of offsets, each from its start to where
the one before it began; a span that turns out too large is read again by halves, so what one step reads, and keeps, is
bounded whatever the size of the records. Partitions are merged by the records' timestamps. Where the timestamps of a
partition are out of order its records stay in the order of their offsets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from pelton.batch import RecordBatch, TopicPartition
from pelton.clock import Clock
from pelton.errors import OffsetOutOfRangeError
from pelton.log.contract import Log
from pelton.web.records import read_from

__all__ = ["Found", "Hit", "Place", "Search", "Work", "places_of"]

T = TypeVar("T")

#: What one read of the log brings, and what a span may hold before it is halved.
_READ_BYTES = 256 * 1024
_SPAN_BYTES_MAX = 4 * 1024 * 1024
#: How many offsets the first span has.
_WIDTH = 512


class Place(NamedTuple):
    """How far a partition was searched: offsets low <= … < high are meant, and those left are on one side of `at`.

    Newest first, what is left are the offsets before `at`; oldest first, those from it on.
    """

    low: int
    high: int
    at: int


@dataclass(frozen=True, slots=True)
class Work:
    """What one request may cost: results, bytes read, and seconds. It ends behind the step in which one is reached."""

    results: int
    bytes_max: int = 64 * 1024 * 1024
    seconds: float = 1.0


class Hit(NamedTuple, Generic[T]):
    """What was found, by the timestamp (milliseconds) and offset of its record."""

    timestamp_ms: int
    offset: int
    what: T


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What one request found, in order.

    next: partition -> where to go on; None when all was searched. records, nbytes: how much was looked at.
    progress: what part of all offsets has been searched since the beginning, 0 to 1.
    """

    hits: Sequence[T]
    next: Mapping[int, Place] | None
    records: int
    nbytes: int
    progress: float


#: Returns the rows of a batch that are wanted, in order, and what to keep of each.
Pick = Callable[[RecordBatch], Sequence[tuple[int, T]]]


@dataclass(slots=True)
class _Lane(Generic[T]):
    """A partition on its way. edge: what was read is on one side of it. heard_ms: the timestamp last read there."""

    source: TopicPartition
    low: int
    high: int
    edge: int
    newest_first: bool
    width: int = _WIDTH
    heard_ms: int | None = None
    hits: deque[Hit[T]] = field(default_factory=deque[Hit[T]])

    @property
    def exhausted(self) -> bool:
        return self.edge <= self.low if self.newest_first else self.edge >= self.high

    @property
    def rank(self) -> float:
        """How soon this lane is due; the smallest first."""
        if self.heard_ms is None:
            return float("-inf")
        return -self.heard_ms if self.newest_first else self.heard_ms

    def place(self) -> Place:
        """Return where to go on: what was found and not handed out is found again."""
        if not self.hits:
            return Place(self.low, self.high, self.edge)
        return Place(self.low, self.high, self.hits[0].offset + (1 if self.newest_first else 0))

    @property
    def left(self) -> int:
        at = self.place().at
        return max(0, at - self.low) if self.newest_first else max(0, self.high - at)


async def places_of(
    log: Log, topic: str, partitions: Sequence[int], *, newest_first: bool, since_ms: int | None, until_ms: int | None
) -> dict[int, Place]:
    """Return where a search begins and ends, for each partition.

    since_ms, until_ms: bounded by the first record of that time or a later one. Those that come late, with an older
    timestamp behind a newer one, are left out before `until_ms`.
    """
    sources = [TopicPartition(topic, number) for number in partitions]
    places: dict[int, Place] = {}
    for source, span in (await log.offsets(sources)).items():
        low, high = span
        if since_ms is not None:
            first = await log.offset_at(source, since_ms)
            low = high if first is None else max(low, first)
        if until_ms is not None:
            first = await log.offset_at(source, until_ms)
            high = high if first is None else min(high, first)
        high = max(low, high)
        places[source.partition] = Place(low, high, high if newest_first else low)
    return places


class Search(Generic[T]):
    """One request's part of a search.

    places: partition -> where it goes on, see `places_of`. pick: chooses among records, and keeps what is wanted of
    them.
    """

    def __init__(
        self,
        log: Log,
        topic: str,
        places: Mapping[int, Place],
        pick: Pick[T],
        clock: Clock,
        *,
        newest_first: bool = True,
    ) -> None:
        self._log = log
        self._pick = pick
        self._clock = clock
        self._newest_first = newest_first
        self._lanes: list[_Lane[T]] = [
            _Lane(TopicPartition(topic, number), place.low, place.high, place.at, newest_first)
            for number, place in sorted(places.items())
        ]
        self._total = sum(place.high - place.low for place in places.values())
        self._records = 0
        self._nbytes = 0

    async def run(self, work: Work) -> Found[T]:
        """Search on. Raises: UnavailableError."""
        deadline = self._clock.monotonic() + work.seconds
        hits: list[T] = []
        while len(hits) < work.results:
            best = min((lane for lane in self._lanes if lane.hits), key=self._due, default=None)
            behind = self._behind(best)
            if behind is not None and self._nbytes < work.bytes_max and self._clock.monotonic() < deadline:
                await self._step(behind, work.results)
            elif best is not None:
                hits.append(best.hits.popleft().what)
            else:
                break
        left = sum(lane.left for lane in self._lanes)
        # Partitions that are done go along: without them what is done would be a part of less.
        places = {lane.source.partition: lane.place() for lane in self._lanes} if left else None
        progress = 1.0 - left / self._total if self._total else 1.0
        return Found(hits, places, self._records, self._nbytes, progress)

    def _due(self, lane: _Lane[T]) -> float:
        first = lane.hits[0].timestamp_ms
        return -first if self._newest_first else first

    def _behind(self, best: _Lane[T] | None) -> _Lane[T] | None:
        """Return the lane that is to be read before the best hit is handed out: it may hold one that is due first."""
        waiting = [lane for lane in self._lanes if not lane.hits and not lane.exhausted]
        first = min(waiting, key=lambda lane: lane.rank, default=None)
        if first is None or (best is not None and first.rank > self._due(best)):
            return None
        return first

    async def _step(self, lane: _Lane[T], keep: int) -> None:
        try:
            if self._newest_first:
                await self._step_back(lane, keep)
            else:
                await self._step_on(lane, keep)
        except OffsetOutOfRangeError:  # retention came between, or the topic was made anew
            span = (await self._log.offsets([lane.source]))[lane.source]
            lane.low = max(lane.low, span.start)
            lane.high = max(lane.low, min(lane.high, span.end))
            lane.edge = min(max(lane.edge, lane.low), lane.high)

    async def _step_on(self, lane: _Lane[T], keep: int) -> None:
        batch = await read_from(self._log, lane.source, lane.edge, bytes_max=_READ_BYTES)
        self._count(batch)
        found = [hit for hit in self._hits(batch) if hit.offset < lane.high]
        lane.hits.extend(found[:keep])
        # What is not kept is read again, by who goes on.
        lane.edge = found[keep].offset if len(found) > keep else batch.next_offset
        if len(batch):
            lane.heard_ms = batch.timestamps_ms[-1]

    async def _step_back(self, lane: _Lane[T], keep: int) -> None:
        """Read the span before the edge, or as much of it as is not too large."""
        while True:
            start = max(lane.low, lane.edge - lane.width)
            nbytes, position = 0, start
            hits: deque[Hit[T]] = deque(maxlen=keep)
            dropped = False
            first_ms: int | None = None
            while position < lane.edge and (nbytes <= _SPAN_BYTES_MAX or lane.width == 1):
                batch = await read_from(self._log, lane.source, position, bytes_max=_READ_BYTES)
                self._count(batch)
                nbytes += batch.nbytes
                position = batch.next_offset
                if first_ms is None and len(batch) and batch.offsets[0] < lane.edge:
                    first_ms = batch.timestamps_ms[0]
                found = [hit for hit in self._hits(batch) if hit.offset < lane.edge]
                dropped = dropped or len(hits) + len(found) > keep
                hits.extend(found)
            if position < lane.edge:
                lane.width = max(1, (position - start) // 2, lane.width // 8)
                continue
            lane.hits.extend(reversed(hits))
            lane.edge = hits[0].offset if dropped else start
            lane.heard_ms = first_ms if first_ms is not None else lane.heard_ms
            if nbytes < _SPAN_BYTES_MAX // 2:
                lane.width *= 2
            return

    def _hits(self, batch: RecordBatch) -> list[Hit[T]]:
        return [Hit(batch.timestamps_ms[row], batch.offsets[row], what) for row, what in self._pick(batch)]

    def _count(self, batch: RecordBatch) -> None:
        self._records += len(batch)
        self._nbytes += batch.nbytes
