"""What is known of the calls of a stream: what was asked for, which are under way, and what the table holds of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from heapq import heappush
from struct import Struct
from typing import Any, Generic, Literal, TypeVar

from pelton.backoff import Backoff
from pelton.codec import Codec
from pelton.stream.call_cache import CallCache, ResultCache
from pelton.stream.call_limits import TokenBucket
from pelton.stream.lane import Chunk, Send

__all__ = [
    "BEHIND_EVENTS",
    "DONE",
    "EVENTS",
    "RESULT",
    "Call",
    "CallPlan",
    "Flight",
    "Order",
    "Room",
    "place_of",
    "row_of",
]

T = TypeVar("T")
Order = Literal["key", "log", "none"]

#: The keys of events in the table, and the first key behind them; the first byte of what lies there.
EVENTS, BEHIND_EVENTS = b"e", b"f"
RESULT, DONE = b"r", b"d"
_Offset = Struct(">Q")


@dataclass(frozen=True, slots=True)
class CallPlan(Generic[T]):
    """What `stream.map_async` was asked for.

    codec: of the results. timeout_s: of one attempt. backoff: that of the agent when None. bucket: says when a call
    may begin. table: where results are recorded.
    """

    function: Callable[[Any], Awaitable[T]]
    concurrency: int
    order: Order
    codec: Codec[T]
    timeout_s: float | None
    backoff: Backoff | None
    bucket: TokenBucket | None
    cache: CallCache | None
    table: str

    @property
    def called(self) -> str:
        """What people call the function."""
        return getattr(self.function, "__name__", type(self.function).__name__)


@dataclass(slots=True, eq=False)
class Flight:
    """A call under way, or landed: data, or the error of its last attempt. rows: the events that wait for it."""

    rows: list[bytes]
    data: bytes | None = None
    error: Exception | None = None
    attempts: int = 0

    @property
    def landed(self) -> bool:
        """Whether it has come to its end."""
        return self.data is not None or self.error is not None


@dataclass(slots=True, eq=False)
class Call:
    """An event that is open. row: its key in the table. sends: what the stream's processors sent."""

    row: bytes
    chunk: Chunk
    key: bytes | None
    value: Any
    sends: list[Send]
    nbytes: int


@dataclass(slots=True)
class Room:
    """What stays when the agent's code is called anew: calls under way, what has landed, and which rows there are.

    landed: rows whose flights have landed since somebody looked. marks: topic -> offsets of rows in the table, a heap.
    """

    flights: dict[bytes, Flight] = field(default_factory=dict[bytes, Flight])
    by_content: dict[bytes, Flight] = field(default_factory=dict[bytes, Flight])
    landed: list[bytes] = field(default_factory=list[bytes])
    marked: set[bytes] = field(default_factory=set[bytes])
    marks: dict[bytes, list[int]] = field(default_factory=dict[bytes, list[int]])
    flying: int = 0
    cache: ResultCache | None = None

    def mark(self, row: bytes) -> None:
        """Note that a row is in the table."""
        if row not in self.marked:
            self.marked.add(row)
            topic, offset = place_of(row)
            heappush(self.marks.setdefault(topic, []), offset)


def row_of(topic: bytes, offset: int) -> bytes:
    """Return the key of an event's row."""
    return EVENTS + topic + b"\0" + _Offset.pack(offset)


def place_of(row: bytes) -> tuple[bytes, int]:
    """Return (topic, offset) of a row."""
    return row[1 : -_Offset.size - 1], _Offset.unpack(row[-_Offset.size :])[0]
