"""A feed of prepared chunks, a lane over a table in memory, and what became of the lane's effects."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pelton.aggregate import Aggregate
from pelton.batch import Headers, RecordBatch
from pelton.state.cache import TableCache
from pelton.state.memory import MemoryStores
from pelton.stream.call_limits import RateLimit, TokenBucket
from pelton.stream.joining import JoinInput
from pelton.stream.joins import JoinSources
from pelton.stream.lane import Chunk, Lane, Send, TableSlot
from pelton.stream.stream import Stream, StreamEnded
from pelton.stream.window_plan import WindowPlan

TABLE = "table"


def chunk(values: Sequence[Any], offset: int = 0, headers: Sequence[Headers] | None = None) -> Chunk:
    """Return rows whose keys are k<offset>, whose timestamps are a second apart, and whose offsets are in a row."""
    offsets = range(offset, offset + len(values))
    batch = RecordBatch(
        topic="t",
        partition=0,
        offsets=offsets,
        timestamps_ms=[1_000 * number for number in offsets],
        keys=[f"k{number}".encode() for number in offsets],
        values=[repr(value).encode() for value in values],
        next_offset=offset + len(values),
        headers=headers,
    )
    return Chunk(batch, range(len(values)), list(values), bytes.decode, batch.next_offset)


class Feed:
    """Gives its chunks one after the other, then ends; a None among them is a wait that came to nothing.

    limits: what each call asked for.
    """

    def __init__(self, *chunks: Chunk | None) -> None:
        self.chunks = list(chunks)
        self.limits: list[int | None] = []
        self.timeouts: list[float | None] = []
        self.now = 0.0
        self.began_ms = 1_000_000
        self.paused = False

    async def next_chunk(self, lane: Lane, *, limit: int | None = None, timeout_s: float | None = None) -> Chunk | None:
        self.limits.append(limit)
        self.timeouts.append(timeout_s)
        if lane.dirty:
            lane.finish_event()
        lane.chunk = None
        if not self.chunks:
            raise StreamEnded
        following = self.chunks.pop(0)
        if following is None:
            self.now += timeout_s or 0.0
            return None
        if limit is not None and limit < len(following.rows):
            self.chunks.insert(0, following.split(limit))
            following = Chunk(
                following.batch,
                following.rows[:limit],
                following.values[:limit],
                following.decode_key,
                following.offset(limit),
                following.alone,
            )
        lane.chunk, lane.cursor = following, 0
        return following

    def monotonic(self) -> float:
        return self.now

    def time_ms(self) -> int:
        return self.began_ms + round(self.now * 1000)

    def waiting(self) -> set[str]:
        return set()

    def listening_since_s(self) -> float:
        return 0.0

    def turn(self, lane: Lane) -> None:
        """Go on."""

    async def breathe(self, lane: Lane) -> None:
        """There is nobody else."""


class Program:
    """What streams ask of the program around them: here a topic is its name, and messages are text."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any, Any, Any]] = []

    def forward(self, stream: Stream[Any], topic: object, key: Callable[[Any], Any] | None) -> Stream[Any]:
        forwarded = Stream[Any](stream.feed, stream.lane, self)
        forwarded.add_processor(lambda value: (str(topic), key(value) if key else None, value))
        return forwarded

    def grouping_topic(self, stream: Stream[Any], name: str, partitions: int | None) -> object:
        return f"by-{name}-{partitions}"

    def operator_table(self, stream: Stream[Any], name: str) -> str:
        return TABLE

    def note_windows(self, stream: Stream[Any], plan: WindowPlan, aggregates: Mapping[str, Aggregate[Any]]) -> None:
        self.windows = plan, aggregates

    def call_bucket(self, stream: Stream[Any], table: str, limit: RateLimit) -> TokenBucket:
        return TokenBucket(limit)

    def join_sources(self, stream: Stream[Any], other: Any, name: str, on: tuple[Any, Any] | None) -> JoinSources[Any]:
        left = JoinInput(frozenset("t"), _literal, _repr, processed=bool(stream.processors))
        return JoinSources(stream, left, JoinInput(frozenset(other.topics), _literal, _repr), TABLE)

    def outgoing(self, topic: object) -> Callable[[object, object], Send]:
        return lambda key, value: Send(str(topic), None, str(key).encode(), str(value).encode(), 0, ())

    async def send(self, channel: Any, key: Any = None, value: Any = None, **options: Any) -> Awaitable[Any]:
        self.sent.append((channel, key, value, options.get("headers")))
        return _done()


def _literal(data: bytes) -> Any:
    return literal_eval(data.decode())


def _repr(value: object) -> bytes:
    return repr(value).encode()


async def _done() -> None:
    """Be a receipt that is there already."""


class Effects(list[Send]):
    """The messages of complete events."""


def a_lane(cache: TableCache | None = None, stage: dict[bytes, bytes | None] | None = None) -> tuple[Lane, Effects]:
    """Return a lane, with a table when it gets a cache, and the place that its messages go to."""
    effects = Effects()
    lane = Lane("agent", 0, 0, effects)
    lane.key_decoder = bytes.decode
    if cache is not None:
        lane.tables[TABLE] = TableSlot(lane, cache, stage)
    return lane, effects


def a_cache(directory: Path) -> TableCache:
    """Return the cache of an empty table in memory."""
    return TableCache(TABLE, MemoryStores().open(directory, 0, [TABLE]))


def a_stream(*chunks: Chunk | None) -> tuple[Stream[Any], Feed, Lane, Effects]:
    """Return a stream over chunks, with all that is around it."""
    feed = Feed(*chunks)
    lane, effects = a_lane()
    return Stream(feed, lane, Program()), feed, lane, effects
