"""The operators of windows that the events define: sessions, and sliding windows.

How they are kept, and when they close, is in `pelton.stream.window_operators`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import heapify, heappush
from itertools import pairwise
from typing import Any

import msgspec

from pelton.aggregate import Aggregate, decode_states, encode_states
from pelton.stream.lane import Lane
from pelton.stream.window_operators import TimedWindows
from pelton.stream.window_plan import OPEN, WindowPlan, stored_window
from pelton.window import SessionWindow, SlidingWindow, Window

__all__ = ["Sessions", "SlidingWindows"]

_SESSIONS = b"k"
_PARTS, _BEHIND_PARTS = b"p", b"q"
#: So many more than twice the open sessions may their ends be before those are thrown away that are gone.
_ENDS_SPARE = 64

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Sessions(TimedWindows):
    """Sessions: an event may begin one, lengthen one, or make two into one.

    What an event lengthens keeps the end it began with in `open`, until that end is passed: one entry a session,
    however many events it has (invariant I10).
    """

    def __init__(self, lane: Lane, plan: WindowPlan, aggregates: Mapping[str, Aggregate[Any]], updates: bool) -> None:
        super().__init__(lane, plan, aggregates, updates)
        # An event that is just in time may touch the end of a session: it must be open for each order of the topics.
        self.slack_ms = int(self.several)
        self._count = len(self.open)

    def add(self, key: bytes, time_ms: int, value: Any) -> Iterator[tuple[Window, Sequence[Any]]]:
        """Add an event to its session, merging those that it joins."""
        assert isinstance(self.plan.windowing, SessionWindow)
        if self.is_behind(time_ms):
            return
        sessions = self._sessions(key)
        merge = self.plan.windowing.merge(time_ms, sessions)
        if self.is_closed(merge.session.end_ms):
            return
        states = self.added(self._merged(key, sorted(merge.merged)), value)
        kept = [window for window in sessions if window not in merge.merged]
        self.slot.put(_SESSIONS + key, _encode(sorted([*kept, merge.session])))
        self.store(key, merge.session, states, fresh=not merge.merged)
        self._count += 1 - len(merge.merged)
        if len(self.open) > 2 * self._count + _ENDS_SPARE:
            self.open = self._ends()  # of sessions that became one, all but one entry are of no use
        yield merge.session, states

    def _sessions(self, key: bytes) -> list[Window]:
        return [Window(*bounds) for bounds in _decode(self.slot.get(_SESSIONS + key) or b"\x90")]

    def _merged(self, key: bytes, windows: Sequence[Window]) -> bytes | None:
        """Take sessions out of the table, and return the states of all of them together."""
        every: list[list[Any]] = []
        for window in windows:
            data = self.slot.get(stored_window(OPEN, key, window))
            assert data is not None, "a session that its key lists is in the table"
            every.append(decode_states(data))
            self.slot.put(stored_window(OPEN, key, window), None)
        return encode_states(self.merged(every)) if every else None

    def follow(self, key: bytes, window: Window) -> None:
        """Note when the session may be closed that another one has become a part of."""
        for session in self._sessions(key):
            if session.start_ms <= window.start_ms and window.end_ms <= session.end_ms:
                heappush(self.open, (session.end_ms, stored_window(OPEN, key, session)))

    def forget(self, key: bytes, window: Window) -> None:
        """Take a closed session off its key's list."""
        open_ = [session for session in self._sessions(key) if session != window]
        self.slot.put(_SESSIONS + key, _encode(open_) if open_ else None)
        self._count -= 1


class SlidingWindows(TimedWindows):
    """Windows defined by the events: an event at t defines the one that ends with t, and the one that begins behind t.

    What a window comes to when it is defined lies in `p`, by key: the states of each time, for as long as an open
    window may hold it or be defined by it.
    """

    def __init__(self, lane: Lane, plan: WindowPlan, aggregates: Mapping[str, Aggregate[Any]], updates: bool) -> None:
        super().__init__(lane, plan, aggregates, updates)
        assert isinstance(plan.windowing, SlidingWindow)
        self.size_ms = plan.windowing.before_ms
        for table_key, data in self.slot.scan(_PARTS, _BEHIND_PARTS):
            self.open += [(self._useless_ms(part[0]), table_key) for part in _decode(data)]
        heapify(self.open)

    def add(self, key: bytes, time_ms: int, value: Any) -> Iterator[tuple[Window, Sequence[Any]]]:
        """Add an event to the windows that hold it, and work out those that it has brought about."""
        if self.is_late(time_ms):
            return
        parts: dict[int, bytes] = dict(_decode(self.slot.get(_PARTS + key) or b"\x90"))
        if time_ms not in parts:
            heappush(self.open, (self._useless_ms(time_ms), _PARTS + key))
        parts[time_ms] = encode_states(self.added(parts.get(time_ms), value))
        self.slot.put(_PARTS + key, _encode(sorted(parts.items())))
        for window in self._windows(time_ms, sorted(parts)):
            data = self.slot.get(stored_window(OPEN, key, window))
            if data is None:
                within = [parts[time] for time in sorted(parts) if window[0] <= time < window[1]]
                states = self.merged([decode_states(part) for part in within])
            elif window.start_ms <= time_ms:
                states = self.added(data, value)
            else:
                continue
            self.store(key, window, states, fresh=data is None)
            yield window, states

    def _windows(self, time_ms: int, times: Sequence[int]) -> list[Window]:
        """Return the open windows that hold a time or begin right behind it, given all times of the key in order."""
        ends_with_one = {time - self.size_ms for time in times if time_ms <= time <= time_ms + self.size_ms}
        behind_one = {one + 1 for one, following in pairwise(times) if following <= one + 1 + self.size_ms}
        starts = ends_with_one | {start for start in behind_one if time_ms - self.size_ms <= start <= time_ms + 1}
        windows = [Window(start, start + self.size_ms + 1) for start in sorted(starts)]
        return [window for window in windows if not self.is_closed(window.end_ms)]

    def is_late(self, time_ms: int) -> bool:
        """Return whether even the last window that could hold a time is closed."""
        return self.is_behind(time_ms) or self.is_closed(time_ms + self.size_ms + 1)

    def _useless_ms(self, time_ms: int) -> int:
        """Return when neither a time nor the window behind it can be part of anything open (before the grace)."""
        return time_ms + self.size_ms + 2

    def tidy(self, table_key: bytes) -> None:
        """Remove the times of a key that nothing needs any more."""
        parts = _decode(self.slot.get(table_key) or b"\x90")
        kept = [part for part in parts if not self.is_closed(self._useless_ms(part[0]))]
        if len(kept) < len(parts):
            self.slot.put(table_key, _encode(kept) if kept else None)
