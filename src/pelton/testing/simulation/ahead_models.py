"""What agents compute that hand out more than one event after the other, or look back: plain models of each.

They know how far the commits have come, take in what the next one holds, and say what is wrong with it. The agents are
in `ahead_agents` and `program`; nothing of the engine is used here.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pelton.testing.simulation.ahead_agents import GRACE_MS, Reminder, answer_of, call_row, reminder_of
from pelton.testing.simulation.broker import Record
from pelton.testing.simulation.workload import Kind

__all__ = ["Calls", "Fault", "Past", "Sent", "Timers", "Work"]


class Sent(NamedTuple):
    """A message in OUT. source: where it comes from, within its agent and partition."""

    key: bytes | None
    value: bytes | None
    source: str


class Work(NamedTuple):
    """A record that an agent can read. kind, amount: of its event."""

    record: Record
    kind: Kind
    amount: int

    @property
    def key(self) -> bytes:
        """Its key; b"" when it has none."""
        return self.record.key or b""


class Fault(Exception):
    """What a commit holds is not what it must hold."""


@dataclass(slots=True)
class Calls:
    """The agent "calls" in one partition: events may be complete, and committed, before earlier ones.

    order: that of `CallStyle`. done: events behind the position that are complete. sums: what "answers" must hold.
    """

    order: str
    position: int = 0
    done: set[int] = field(default_factory=set[int])
    sums: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    _last: dict[bytes, int] = field(default_factory=dict[bytes, int])

    def committed(self, sent: Sequence[Sent], works: Mapping[int, Work], to: int, marks: Mapping[bytes, bytes]) -> None:
        """Take in a commit. Raises: Fault.

        works: the events that any of this may be about, by offset. to: the position. marks: the operator's table.
        """
        for one in sent:
            self._take(one, works)
        for offset in range(self.position, to):
            if offset in works and works[offset].kind != "poison" and offset not in self.done:
                raise Fault(f"the position passes {offset}, and nothing has come of it")
        self.position = max(self.position, to)
        self.done = {offset for offset in self.done if offset >= to}
        for offset in sorted(self.done):
            if marks.get(call_row(offset)) != b"d":
                raise Fault(f"{offset} is complete, the position is {to}, and no mark says so")

    def _take(self, one: Sent, works: Mapping[int, Work]) -> None:
        offset = int(one.source)
        if offset < self.position or offset in self.done:
            raise Fault(f"{offset} is complete already, and comes again")
        work = works[offset]
        expected = Sent(work.record.key, b"%d" % answer_of(work.amount), one.source)
        if one != expected or work.kind == "poison":
            raise Fault(f"expected {expected}, found {one}")
        line = b"" if self.order == "log" else work.key
        if self.order != "none" and offset < self._last.get(line, 0):
            raise Fault(f"{offset} comes behind {self._last[line]}, with order={self.order!r}")
        self._last[line] = offset
        self.done.add(offset)
        self.sums[work.key] = b"%d" % (int(self.sums.get(work.key, 0)) + answer_of(work.amount))


class _Timer(NamedTuple):
    at_ms: int
    again: int
    kind: Kind


class _Item(NamedTuple):
    """One thing that is complete by itself. offset: of an event; None for a timer. letter: whether it is given up."""

    key: bytes
    source: str
    offset: int | None
    letter: bool


class Timers:
    """The agent "timers" in one partition.

    Events and timers of event time are one sequence, which follows from the records alone. A commit goes on in it from
    where the last one ended, past all events that the position has passed and no others; the timers in between may be
    part of it already. Those of the wall clock come at any time behind their event, once.
    """

    def __init__(self) -> None:
        self.counts: dict[bytes, bytes] = {}
        #: Timers of the wall clock that must fire yet: the offsets of their events.
        self.armed: set[int] = set()
        self._fired: set[int] = set()
        self._works: list[Work] = []
        self._taken_in = 0
        self._items: list[_Item] = []
        self._at = 0
        self._timers: dict[tuple[bytes, str], _Timer] = {}
        self._reached_ms: int | None = None
        self._passed = 0

    def committed(
        self, sent: Sequence[Sent], walls: Sequence[Sent], letters: Sequence[bytes], works: Sequence[Work], to: int
    ) -> None:
        """Take in a commit. Raises: Fault.

        walls: what timers of the wall clock sent. letters: the keys of timers that were given up. works: events that
        the log holds, behind those of the call before. to: the position.
        """
        self._works += works
        left = Counter(letters)
        for one in sent:
            item = self._next(left)
            if item is None or one.source != item.source:
                raise Fault(f"expected {item}, found {one}")
            self.counts[item.key] = value = b"%d" % (int(self.counts.get(item.key, 0)) + 1)
            if one != Sent(item.key, value, item.source):
                raise Fault(f"expected {value!r}, found {one}")
        while (item := self._peek()) is not None and item.letter and self._may_pass(item, left, to):
            self._pass(item, left)
        if +left:
            raise Fault(f"dead letters of timers that no one expects: {dict(+left)}")
        self._judge_position(to)
        self._take_walls(walls, to)

    def _next(self, left: Counter[bytes]) -> _Item | None:
        """Return the item that sends next, past those that are given up."""
        while (item := self._peek()) is not None:
            self._pass(item, left)
            if not item.letter:
                return item
        return None

    def _may_pass(self, item: _Item, left: Counter[bytes], to: int) -> bool:
        return left[item.key] > 0 if item.offset is None else item.offset < to

    def _pass(self, item: _Item, left: Counter[bytes]) -> None:
        self._at += 1
        if item.offset is not None:
            self._passed = item.offset + 1
        elif item.letter:
            left[item.key] -= 1
            if left[item.key] < 0:
                raise Fault(f"{item} was given up, and there is no letter of it")

    def _judge_position(self, to: int) -> None:
        if self._passed > to:
            raise Fault(f"holds what came of {self._passed - 1}, and the position is {to}")
        item = next((one for one in self._items[self._at :] if one.offset is not None), None)
        if item is not None and item.offset is not None and item.offset < to:
            raise Fault(f"the position is {to}, and nothing has come of {item.offset}")

    def _take_walls(self, walls: Sequence[Sent], to: int) -> None:
        for one in walls:
            offset = int(one.source)
            if offset in self._fired or offset not in self.armed or offset >= to:
                raise Fault(f"the timer of the wall clock that {offset} has set fires, and must not: {one}")
            self._fired.add(offset)
            self.armed.remove(offset)

    # -- the sequence ----------------------------------------------------------------------------------------------

    def _peek(self) -> _Item | None:
        """Return the item that comes next; None at the end of what the log holds."""
        while self._at >= len(self._items):
            if self._taken_in >= len(self._works):
                return None
            self._handle(self._works[self._taken_in])
            self._taken_in += 1
        return self._items[self._at]

    def _handle(self, work: Work) -> None:
        """Go on by one event: the timers that are due before it, the event, and the timers that are due behind it."""
        record, poison = work.record, work.kind == "poison"
        before = record.timestamp_ms if self._reached_ms is None else self._reached_ms
        reached_ms = max(before, record.timestamp_ms)
        self._fire(reached_ms - GRACE_MS)
        self._items.append(_Item(work.key, str(record.offset), record.offset, poison))
        if poison:
            return  # it has not moved stream time, either
        self._reached_ms = reached_ms
        reminder = reminder_of(work.amount)
        self._set(work.key, record.timestamp_ms, reminder)
        if reminder.wall:
            self.armed.add(record.offset)
        self._fire(reached_ms - GRACE_MS)

    def _set(self, key: bytes, now_ms: int, reminder: Reminder) -> None:
        if reminder.name is None:
            for name in "xy":
                self._timers.pop((key, name), None)
        else:
            timer = _Timer(now_ms + reminder.after_ms, reminder.again, reminder.kind)
            self._timers[key, reminder.name] = timer

    def _fire(self, until_ms: int) -> None:
        while due := [(at_ms, len(key), key, name) for (key, name), (at_ms, *_) in self._timers.items()]:
            at_ms, _, key, name = min(due)
            if at_ms > until_ms:
                return
            timer = self._timers.pop((key, name))
            self._items.append(_Item(key, f"{name}@{at_ms}", None, timer.kind == "poison"))
            if timer.again and timer.kind != "poison":
                self._timers[key, name] = _Timer(at_ms + timer.again * 900, timer.again - 1, timer.kind)


@dataclass(slots=True)
class Past:
    """The agent "past" in one partition: all versions ever, by key, and what of them may be asked for."""

    history_ms: int
    look_back_ms: int
    now: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    _versions: dict[bytes, list[tuple[int, bytes | None]]] = field(
        default_factory=dict[bytes, list[tuple[int, bytes | None]]]
    )
    _stream_ms: int | None = None

    def handle(self, work: Work) -> bytes:
        """Go on by one event; return what its agent sends."""
        value = None if work.amount % 5 == 0 else b"%d" % work.amount
        when_ms, oldest_ms = work.record.timestamp_ms - self.look_back_ms, self._oldest_ms
        versions = self._versions.get(work.key, [])
        held = next((value for since_ms, value in reversed(versions) if since_ms <= when_ms), None) or b"nothing"
        if oldest_ms is not None and when_ms < oldest_ms:
            held = b"expired"
        told = len(self._told(work.key))  # the event's own version moves stream time when it is complete
        return b"%s, %d versions" % (held, told + self._write(work.key, value, work.record.timestamp_ms))

    def _write(self, key: bytes, value: bytes | None, time_ms: int) -> bool:
        """Write a version. Returns: whether it is one: there was something to delete."""
        found = self._versions.setdefault(key, [])
        if value is None and (not found or found[-1][1] is None):
            return False
        since_ms = max(time_ms, *(since for since, _ in found), self._oldest_ms or time_ms)
        found.append((since_ms, value))
        self._stream_ms = max(since_ms, self._stream_ms or since_ms)
        if value is None:
            del self.now[key]
        else:
            self.now[key] = value
        return True

    @property
    def _oldest_ms(self) -> int | None:
        return None if self._stream_ms is None else self._stream_ms - self.history_ms

    def _told(self, key: bytes) -> list[tuple[int, bytes | None]]:
        """Return the versions that held at any time within the history."""
        found, oldest_ms = self._versions.get(key, []), self._oldest_ms
        if not found or oldest_ms is None:
            return []
        ends = [*(since_ms for since_ms, _ in found[1:]), None]
        kept = [one for one, end_ms in zip(found, ends, strict=True) if end_ms is None or end_ms > oldest_ms]
        return kept[1:] if kept[0][1] is None and kept[0][0] <= oldest_ms else kept

    def judge(self, key: bytes, rows: Mapping[bytes, bytes]) -> None:
        """Compare the versions of a key as they were committed: the last ones, and none too few. Raises: Fault."""
        head = rows.get(b"H" + key)
        found: list[tuple[int, bytes | None]] = []
        if head is not None:
            first, last = struct.unpack_from(">QQ", head)
            versions = [rows.get(b"V" + key + struct.pack(">Q", number), b"") for number in range(first, last + 1)]
            if b"" in versions:
                raise Fault(f"{key!r} has versions {first} to {last}, and some are missing")
            found = [(struct.unpack_from(">q", row)[0], row[9:] if row[8] else None) for row in versions]
        ever, told = self._versions.get(key, []), self._told(key)
        if found != ever[len(ever) - len(found) :] or len(found) < len(told):
            raise Fault(f"{key!r} has had the versions {ever}, must tell of {told}, the changelog says {found}")
