"""As-of joins: each left event with what was the latest right one at its time: `trades.asof_join(quotes)`.

The partner of a left event at t is the right event of its key with the greatest time up to t; of equal times, the one
that came last. Each event is judged by its own topic, as in `pelton.stream.joining`: late is what is more than the
grace behind it. A left event waits until the right topic has come so far that nothing before t would be in time any
more. So the results are the same however the runtime interleaves the topics (invariants I8, I9).

Right events are kept until a later one of their key has taken their place for all left events that may still come; the
last one of a key stays, or goes after the tolerance.

Keys of the table: `l` time key -> the left values that wait; `r` key -> the times of its right events, in order; `v`
time key -> a right value; `t` topic -> the greatest time it showed; `z` number -> a pair that is to be handed out
(`pelton.stream.pending`).
Source: pandas' merge_asof and polars' join_asof (backward); Flink's event-time temporal join for when it is final.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any, Generic, TypeVar, cast

import msgspec

from pelton.stream.joining import Joined, JoinInput, event_bytes
from pelton.stream.lane import GivenUp, Lane
from pelton.stream.operating import event_key, event_time_ms, operator_slot, put_aside
from pelton.stream.pending import Owed, PendingResults
from pelton.stream.progress import StreamTime, WallTime
from pelton.window import WINDOW_PREFIX_BYTES, iso_time, window_key, window_start_of

__all__ = ["AsOfOperator", "AsOfPlan"]

L = TypeVar("L")
R = TypeVar("R")

_LEFT, _BEHIND_LEFT = b"l", b"m"
_RIGHT, _BEHIND_RIGHT = b"r", b"s"
_VALUE = b"v"
_EARLIEST_MS = -(2**63)

_encode = msgspec.msgpack.Encoder().encode
_decode_values = msgspec.msgpack.Decoder(list[bytes | None]).decode
_decode_times = msgspec.msgpack.Decoder(list[int]).decode


@dataclass(frozen=True, slots=True)
class AsOfPlan:
    """What `stream.asof_join` was asked for.

    tolerance_ms: how much earlier than the left event its partner may be; None for any. grace_ms: how far behind its
    topic an event may be. table: where events wait. idle_s: see `StreamTime`.
    """

    left: JoinInput
    right: JoinInput
    tolerance_ms: int | None
    grace_ms: int
    table: str
    idle_s: float | None = None


class AsOfOperator(Generic[L, R]):
    """Joins the events of one partition. Made anew for each iteration, so that a failed event leaves nothing here."""

    def __init__(self, lane: Lane, plan: AsOfPlan) -> None:
        self._lane = lane
        self._plan = plan
        self._slot = slot = operator_slot(lane, plan.table)
        self.pending = PendingResults[Joined[L, R]](lane, slot, plan.table, self._pair, self._told)
        self._time = StreamTime(slot, plan.left.topics | plan.right.topics, plan.idle_s)
        #: (time, table key) of the left events that wait, the earliest first.
        self._waiting = [(window_start_of(key[1:]), key) for key, _ in slot.scan(_LEFT, _BEHIND_LEFT)]
        heapify(self._waiting)
        #: (time, key) at which earlier right events of a key may be of no use any more.
        self._spent = [
            (time_ms, key[1:]) for key, data in slot.scan(_RIGHT, _BEHIND_RIGHT) for time_ms in _decode_times(data)
        ]
        heapify(self._spent)

    def __call__(self, value: Any) -> Iterator[Joined[L, R]]:
        """Take in the event that the lane is at; the left events whose partner is certain now come behind it."""
        assert self._lane.chunk is not None
        topic = self._lane.chunk.batch.topic
        left = topic in self._plan.left.topics
        side = self._plan.left if left else self._plan.right
        key, time_ms = event_key(self._lane, "join"), event_time_ms(self._lane, side.time_of, value)
        if time_ms + self._plan.grace_ms < self._time.observe(topic, time_ms):
            put_aside(self._lane, side.late, value)
        elif left:
            self._wait(key, time_ms, event_bytes(self._lane, side, value))
        else:
            self._keep(key, time_ms, event_bytes(self._lane, side, value))
        self._certain()
        return iter(())

    def heard(self, topic: str, world: WallTime) -> None:
        """Note that the next events are of this topic."""
        if self._time.idle_s is not None:
            self._time.heard(topic, world)

    def wait_s(self, world: WallTime) -> float | None:
        """Return how long to wait for an event before silence may end the wait of another one."""
        due_ms = self._waiting[0][0] + self._plan.grace_ms + 1 if self._waiting else None
        return self._time.wait_s(due_ms, world)

    def wake(self, world: WallTime) -> None:
        """Note which left events have a partner that is certain because a topic has been silent for long enough."""
        self._time.advance(world)
        self._certain()

    def _wait(self, key: bytes, time_ms: int, data: bytes | None) -> None:
        table_key = _LEFT + window_key(time_ms, key)
        before = self._slot.get(table_key)
        if before is None:
            heappush(self._waiting, (time_ms, table_key))
        self._slot.put(table_key, _encode([*(_decode_values(before) if before is not None else []), data]))

    def _keep(self, key: bytes, time_ms: int, data: bytes | None) -> None:
        times = self._times(key)
        if time_ms not in times:
            insort(times, time_ms)
            self._slot.put(_RIGHT + key, _encode(times))
            heappush(self._spent, (time_ms, key))
        self._slot.put(_VALUE + window_key(time_ms, key), _encode([data]))

    def _times(self, key: bytes) -> list[int]:
        data = self._slot.get(_RIGHT + key)
        return [] if data is None else _decode_times(data)

    def _certain(self) -> None:
        """Take out what waits and can find no better partner any more; then what no left event can need any more."""
        passed_ms = self._time.passed_ms(self._plan.right.topics)
        while self._waiting and passed_ms is not None and self._waiting[0][0] + self._plan.grace_ms < passed_ms:
            time_ms, table_key = heappop(self._waiting)
            key = table_key[len(_LEFT) + WINDOW_PREFIX_BYTES :]
            values = _decode_values(self._slot.get(table_key) or b"\x90")
            self._slot.put(table_key, None)
            partner = self._partner(key, time_ms)
            for data in values:
                self.pending.put(key, time_ms, [data, partner])
        self._tidy()

    def _partner(self, key: bytes, time_ms: int) -> bytes | None:
        """Return the latest right value up to a time; None when there is none, or it is too old."""
        times = self._times(key)
        index = bisect_right(times, time_ms)
        tolerance_ms = self._plan.tolerance_ms
        if index == 0 or (tolerance_ms is not None and times[index - 1] < time_ms - tolerance_ms):
            return None
        data = self._slot.get(_VALUE + window_key(times[index - 1], key))
        assert data is not None, "a right event that its key lists is in the table"
        return _decode_values(data)[0]

    def _pair(self, owed: Owed) -> Joined[L, R]:
        data = owed.content
        decoders = self._plan.left.decode, self._plan.right.decode
        left, right = (None if one is None else decode(one) for one, decode in zip(data, decoders, strict=True))
        return Joined(cast(L, left), cast(R, right), self._lane.decode_key(owed.key), owed.time_ms)

    def _told(self, owed: Owed) -> GivenUp:
        name = f"left event of {self._plan.table} at {iso_time(owed.time_ms)}, with its partner as of then"
        return GivenUp(name, owed.content[0])

    def _tidy(self) -> None:
        """Forget the right events that no left one can be given, of those that wait or may still come."""
        passed_ms = self._time.passed_ms(self._plan.left.topics)
        if passed_ms is None:
            return
        earliest_ms = passed_ms - self._plan.grace_ms
        if self._waiting:
            earliest_ms = min(earliest_ms, self._waiting[0][0])
        tolerance_ms = self._plan.tolerance_ms
        while self._spent and self._spent[0][0] <= earliest_ms:
            _, key = heappop(self._spent)
            times = self._times(key)
            needed = max(0, bisect_right(times, earliest_ms) - 1)
            if times and tolerance_ms is not None:
                if times[needed] < earliest_ms - tolerance_ms:
                    needed += 1
                elif times[needed] <= earliest_ms:
                    heappush(self._spent, (times[needed] + tolerance_ms + 1, key))
            for time_ms in times[:needed]:
                self._slot.put(_VALUE + window_key(time_ms, key), None)
            if needed:
                self._slot.put(_RIGHT + key, _encode(times[needed:]) if times[needed:] else None)
