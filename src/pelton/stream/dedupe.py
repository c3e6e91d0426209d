"""Events that came already: `stream.dedupe(Payment.id, within=timedelta(hours=1))` lets each id through once.

An id is remembered until stream time has come `within` further than it was when the event was let through. So whether
an event is a duplicate hangs on the records of its partition alone (invariants I8, I9), and what is remembered is
bounded (I10). The ids lie in a table of the agent's own: a restart forgets none.

Of several topics, each has a stream time of its own, and an event is judged by that of its topic: it is a duplicate of
one that was let through when their stream times are at most `within` apart, whichever is the earlier. An id is
forgotten once all topics have passed it; of one that is silent for longer than `idle=`, time goes on with the others.

Keys of the table: `i` id -> the stream times at which it was let through, the earliest first, eight bytes each; `e`
such a time, id -> nothing, to find the oldest; `t` topic -> stream time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from pelton.errors import UserCodeError
from pelton.stream.lane import CURRENT_LANE, Send, TableSlot
from pelton.stream.operating import event_key, event_time_ms, operator_slot
from pelton.stream.progress import StreamTime, WallTime
from pelton.window import WINDOW_PREFIX_BYTES, window_key, window_key_prefix, window_start_of

__all__ = ["Dedupe"]

_IDS, _ORDER = b"i", b"e"
#: Ids that are past their time are deleted in so many goes a `within`: each looks through all that is not committed.
_SWEEPS = 16

_encode = msgspec.msgpack.Encoder().encode


class Dedupe:
    """A stream's processor that lets an event through unless one with its id was.

    One lane's, so made anew whenever the agent's code is called: an event that failed leaves nothing here.

    by: reads the id from a value; the record's key when None. time_of: reads an event's time; None for its topic's.
    duplicates: makes a message of a duplicate, for a topic that collects them. skipped: what it returns for one.
    idle_s: see `StreamTime`. world: tells what goes on around the lane; None for what is planned only.
    """

    def __init__(
        self,
        table: str,
        within_ms: int,
        by: Callable[[Any], Any] | None,
        time_of: Callable[[Any], Any] | None,
        duplicates: Callable[[object, object], Send] | None,
        skipped: object,
        idle_s: float | None = None,
        world: WallTime | None = None,
    ) -> None:
        self._table = table
        self._within_ms = within_ms
        self._by = by
        self._time_of = time_of
        self._duplicates = duplicates
        self._skipped = skipped
        self._idle_s = idle_s
        self._world = world
        self._sweep_ms: int | None = None
        self._time: StreamTime | None = None

    def __call__(self, value: Any) -> Any:
        """Return the value, or what stands for a value that goes no further."""
        lane = CURRENT_LANE.get()
        assert lane is not None, "the processors of an agent's stream run in its lane"
        assert lane.chunk is not None
        slot = operator_slot(lane, self._table)
        if self._time is None:
            self._time = StreamTime(slot, lane.topics, self._idle_s)
        topic = lane.chunk.batch.topic
        if self._idle_s is not None and self._world is not None:
            self._time.heard(topic, self._world)
            self._time.advance(self._world)
        reached_ms = self._time.observe(topic, event_time_ms(lane, self._time_of, value))
        passed_ms = self._time.passed_ms()
        self._sweep(slot, passed_ms)
        id_ = event_key(lane, "dedupe") if self._by is None else _id(self._by(value))
        times_ms = _times(slot.get(_IDS + id_))
        if any(abs(reached_ms - time_ms) <= self._within_ms for time_ms in times_ms):
            if self._duplicates is not None:
                lane.send(self._duplicates(lane.key, value))
            return self._skipped
        self._forget(slot, id_, times_ms, passed_ms, [reached_ms])
        slot.put(_ORDER + window_key(reached_ms, id_), b"")
        return value

    def anew(self, world: WallTime | None) -> Dedupe:
        """Return another one, which has seen nothing: for another lane, or another run of the code."""
        return Dedupe(
            self._table,
            self._within_ms,
            self._by,
            self._time_of,
            self._duplicates,
            self._skipped,
            self._idle_s,
            world,
        )

    def _sweep(self, slot: TableSlot, passed_ms: int | None) -> None:
        """Delete what all topics have passed, many in one go."""
        if passed_ms is None or (self._sweep_ms is not None and passed_ms < self._sweep_ms):
            return
        self._sweep_ms = passed_ms + self._within_ms // _SWEEPS + 1
        past = _ORDER + window_key_prefix(passed_ms - self._within_ms)
        for id_ in dict.fromkeys(key[len(past) :] for key, _ in slot.scan(_ORDER, past)):
            self._forget(slot, id_, _times(slot.get(_IDS + id_)), passed_ms, [])

    def _forget(
        self, slot: TableSlot, id_: bytes, times_ms: list[int], passed_ms: int | None, more_ms: list[int]
    ) -> None:
        """Keep the times of an id that not all topics have passed, and some more."""
        kept = [time_ms for time_ms in times_ms if passed_ms is None or time_ms + self._within_ms >= passed_ms]
        for time_ms in times_ms:
            if time_ms not in kept:
                slot.put(_ORDER + window_key(time_ms, id_), None)
        kept = sorted([*kept, *more_ms])
        slot.put(_IDS + id_, b"".join(map(window_key_prefix, kept)) if kept else None)


def _times(data: bytes | None) -> list[int]:
    return [window_start_of(data[start:]) for start in range(0, len(data), WINDOW_PREFIX_BYTES)] if data else []


def _id(found: object) -> bytes:
    try:
        return _encode(found)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserCodeError(
            f"dedupe: expected an id of text, numbers, bytes, or tuples of them, got {found!r}",
            hint="name the field that holds the id, or give a function that returns it",
        ) from error
