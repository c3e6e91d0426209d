"""How far the topics of a lane have come in event time, as an operator knows it and keeps it in its table.

Each topic has a time of its own: the greatest that its partition has shown. An event is judged by that of its own
topic, and what is closed hangs on the least of them. So neither depends on how the runtime interleaves the topics
(invariants I8, I9); and a topic that shows nothing holds everything back.

Who cannot live with that declares how long a topic may be silent (`idle=`). Then a silent topic goes with the foremost
one, and where all are silent their time goes on with the wall clock. That is no longer a thing of the records alone, so
it is kept like a record: what was closed stays closed after a restart.

Keys of the table: `t` topic -> the greatest time it has shown, or was taken to have come to.
Source: Akidau et al., The Dataflow Model, VLDB 2015, section 2.3; Flink's `withIdleness`, which leaves a silent input
out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from pelton.stream.lane import TableSlot
from pelton.window import window_key_prefix, window_start_of

__all__ = ["ProcessingTime", "StreamTime", "WallTime"]

_TIME = b"t"
#: A wait of less would be none.
_LEAST_WAIT_S = 0.001


class WallTime(Protocol):
    """What an operator is told of the world around it; the runtime's task."""

    def monotonic(self) -> float:
        """Return the engine's elapsed time in seconds."""
        ...

    def time_ms(self) -> int:
        """Return the wall clock, in milliseconds since the epoch."""
        ...

    def waiting(self) -> Collection[str]:
        """Return the topics that have more: records that are here, or in the log, and were not handed out."""
        ...

    def listening_since_s(self) -> float:
        """Return since when records come as they are written, in elapsed seconds: before, nobody looked for them."""
        ...


class Readable(Protocol):
    """A place where keys lie in order."""

    def scan(self, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) for start <= key < end in order."""
        ...


class StreamTime:
    """The event time of each of some topics of a partition.

    topics: which ones hold the time of all back until they have shown something; those that have, when empty.
    idle_s: how long one may be silent before its time goes on with the wall clock; None to wait for ever.
    moves: how often any of them went on.
    """

    def __init__(self, slot: TableSlot, topics: Iterable[str], idle_s: float | None = None) -> None:
        self.topics = frozenset(topics)
        self.idle_s = idle_s
        self.moves = 0
        self._slot = slot
        self._reached_ms = {
            key[len(_TIME) :].decode(): window_start_of(data) for key, data in slot.scan(_TIME, bytes([_TIME[0] + 1]))
        }
        #: The greatest time that a record has shown; what silence adds to it is never added twice.
        self._foremost_ms = max(self._reached_ms.values(), default=None)
        self._seen_s: dict[str, float] = {}
        self._silent: set[str] = set()
        self._began_s: float | None = None
        self._since_s = self._last_s = 0.0

    @staticmethod
    def read(place: Readable) -> int | None:
        """Return how far the topics have come that have shown anything, as a table has it; None when none has."""
        kept = place.scan(_TIME, bytes([_TIME[0] + 1]))
        return min((window_start_of(data) for _, data in kept), default=None)

    def observe(self, topic: str, time_ms: int) -> int:
        """Note the time of an event. Returns: how far its topic has come."""
        reached_ms = self._reached_ms.get(topic)
        if reached_ms is not None and time_ms <= reached_ms:
            return reached_ms
        self._reach(topic, time_ms)
        if self._foremost_ms is None or time_ms > self._foremost_ms:
            self._foremost_ms = time_ms
            for silent in self._silent:
                if time_ms > self._reached_ms.get(silent, time_ms - 1):
                    self._reach(silent, time_ms)
        return time_ms

    def of(self, topic: str) -> int | None:
        """Return how far a topic has come; None while it has shown nothing."""
        return self._reached_ms.get(topic)

    def passed_ms(self, topics: Collection[str] = ()) -> int | None:
        """Return how far all of these topics have come, all there are by default; None while one has shown nothing."""
        wanted = topics or self._all()
        known = [reached_ms for topic in wanted if (reached_ms := self._reached_ms.get(topic)) is not None]
        return min(known) if known and len(known) == len(wanted) else None

    def passed_with(self, topic: str, time_ms: int) -> int | None:
        """Return how far all topics will have come with an event of one, before it is observed."""
        others = [self._reached_ms.get(other) for other in self._all() if other != topic]
        own_ms = max(time_ms, self._reached_ms.get(topic, time_ms))
        known = [reached_ms for reached_ms in others if reached_ms is not None]
        return min([own_ms, *known]) if len(known) == len(others) else None

    def _all(self) -> Collection[str]:
        return self.topics or self._reached_ms

    def _reach(self, topic: str, time_ms: int) -> None:
        self._reached_ms[topic] = time_ms
        self.moves += 1
        self._slot.put(_TIME + topic.encode(), window_key_prefix(time_ms))

    # -- silence -------------------------------------------------------------------------------------

    def heard(self, topic: str, world: WallTime) -> None:
        """Note that records of a topic are there."""
        now_s = self._last_s = self._seen_s[topic] = self._look(world)
        if self._silent:
            self._silent = {silent for silent in self._silent if self._left_s(silent, now_s) <= 0}

    def advance(self, world: WallTime) -> None:
        """Let the time of topics that have been silent for too long go on with the wall clock."""
        if self.idle_s is None or self._foremost_ms is None:
            return
        now_s = self._look(world)
        silent = [topic for topic in self._all() if self._left_s(topic, now_s) <= 0]
        waiting = world.waiting() if silent else ()
        for topic in waiting:
            self._last_s = self._seen_s[topic] = now_s  # it is not silent: its turn has not come
        self._silent = {topic for topic in silent if topic not in waiting}
        target_ms = self._foremost_ms + int(self._all_silent_s(now_s) * 1000)
        for topic in self._silent:
            if target_ms > self._reached_ms.get(topic, target_ms - 1):
                self._reach(topic, target_ms)

    def wait_s(self, due_ms: int | None, world: WallTime) -> float | None:
        """Return how long to wait for a record before `advance` may close something; None for ever.

        due_ms: the time at which the next thing closes; None when nothing is open.
        """
        if self.idle_s is None or due_ms is None or self._foremost_ms is None:
            return None
        now_s = self._look(world)
        left_s = [left for topic in self._all() if (left := self._left_s(topic, now_s)) > 0]
        return min(left_s, default=max((due_ms - self._foremost_ms) / 1000 - self._all_silent_s(now_s), _LEAST_WAIT_S))

    def _look(self, world: WallTime) -> float:
        """Return the time. Nothing is silent from before the operator's first look, or while nobody listened."""
        now_s = world.monotonic()
        if self._began_s is None:
            self._began_s = now_s
        self._since_s = max(self._began_s, world.listening_since_s())
        return now_s

    def _left_s(self, topic: str, now_s: float) -> float:
        """Return how much longer a topic has to be silent before its time goes on."""
        return (self.idle_s or 0.0) - (now_s - max(self._seen_s.get(topic, self._since_s), self._since_s))

    def _all_silent_s(self, now_s: float) -> float:
        """Return how long it is since a record of any topic came."""
        return now_s - max(self._last_s, self._since_s)


class ProcessingTime(StreamTime):
    """The wall clock in place of event time: what is open closes when it is time, whatever the records say."""

    def observe(self, topic: str, time_ms: int) -> int:
        """Note the time of an event, which is that of its handling. A clock that was set back stands still."""
        return super().observe("", time_ms)

    def of(self, topic: str) -> int | None:
        """Return the time of the last event, or of the last look at the clock."""
        return super().of("")

    def passed_ms(self, topics: Collection[str] = ()) -> int | None:
        """Return the time of the last event, or of the last look at the clock."""
        return self._reached_ms.get("")

    def advance(self, world: WallTime) -> None:
        """Look at the clock."""
        super().observe("", world.time_ms())

    def wait_s(self, due_ms: int | None, world: WallTime) -> float | None:
        """Return how long it is until the next thing closes; None when nothing is open."""
        return None if due_ms is None else max((due_ms - world.time_ms()) / 1000, _LEAST_WAIT_S)
