"""Reading the windows of an operator: those that are open and, for their retention, those that are closed.

The table's keys begin with the end of the window (`pelton.stream.window_plan`), so windows come in the order in which
they end, and a range of times is a range of keys. Of fixed windows, those of one key are looked up one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge as merge_sorted
from typing import Any, Protocol

import msgspec

from pelton.aggregate import Aggregate, decode_states
from pelton.stream.progress import StreamTime
from pelton.stream.window_plan import (
    CLOSED,
    OPEN,
    WHOLE,
    CountWindow,
    UnboundedWindow,
    WindowPlan,
    WindowResult,
    stored_window,
    window_of,
)
from pelton.window import HoppingWindow, TumblingWindow, Window, as_ms, window_key_prefix

__all__ = ["WindowPlace", "WindowReader", "WindowTable"]

#: Up to so many windows of a key are looked up one by one; beyond, going through a range of all keys is as fast.
_LOOKUPS_MAX = 1_000
_BEHIND_WHOLE = bytes([WHOLE[0] + 1])
_FIRST_MS, _LAST_MS = -(2**63), 2**63 - 1

_decode = msgspec.msgpack.Decoder().decode


class WindowPlace(Protocol):
    """One partition of an operator's table: that of a lane, or outside of agents a cache."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value under a key, or None."""
        ...

    def scan(self, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) for start <= key < end in order."""
        ...


class WindowTable(Protocol):
    """Where the windows of an operator lie, and what their keys are."""

    def places(self) -> Sequence[WindowPlace]:
        """Return the partitions that can be read from here."""
        ...

    def place(self, key: Any) -> WindowPlace:
        """Return the partition of a key. Raises: UnavailableError when it is not here."""
        ...

    def encode_key(self, key: Any) -> bytes:
        """Return a key as the table has it."""
        ...

    def decode_key(self, key: bytes) -> Any:
        """Return a key as the program has it."""
        ...


class WindowReader:
    """The windows of an operator, in the order in which they end, as of the last event that is complete.

    Times are seconds since the epoch, datetimes or ISO 8601. A window is in a range when any moment of it is.
    """

    def __init__(self, plan: WindowPlan, aggregates: Mapping[str, Aggregate[Any]], table: WindowTable) -> None:
        self._plan = plan
        self._aggregates = aggregates
        self._table = table

    def between(self, start: Any = None, end: Any = None) -> Iterator[WindowResult]:
        """Yield the windows of all keys from a time to another: of this worker, or within an agent of its partition.

        start, end: start <= time < end; from the first, or to the last there is, when None.
        """
        if self._timeless:
            for place in self._table.places():
                yield from (self._whole(stored[1:], data) for stored, data in place.scan(WHOLE, _BEHIND_WHOLE))
            return
        first_ms, last_ms = _bounds(start, end)
        places = [self._in_range(place, first_ms, last_ms) for place in self._table.places()]
        for stored, data in merge_sorted(*places, key=_by_end):
            yield self._result(stored, data)

    def of(self, key: Any, start: Any = None, end: Any = None) -> Iterator[WindowResult]:
        """Yield the windows of one key, from a time to another; see `between`."""
        first_ms, last_ms = _bounds(start, end)
        place, encoded = self._table.place(key), self._table.encode_key(key)
        if self._timeless:
            data = place.get(WHOLE + encoded)
            yield from [] if data is None else [self._whole(encoded, data)]
            return
        fixed = self._fixed(first_ms, last_ms)
        if fixed is None:
            found = self._in_range(place, first_ms, last_ms)
            yield from (self._result(stored, data) for stored, data in found if window_of(stored)[0] == encoded)
            return
        kept_ms = self._kept_from_ms(place)
        for window in fixed:
            for prefix in (CLOSED, OPEN):
                stored = stored_window(prefix, encoded, window)
                data = place.get(stored)
                if data is not None and (prefix == OPEN or window.end_ms > kept_ms):
                    yield self._result(stored, data)

    def _fixed(self, first_ms: int, last_ms: int) -> list[Window] | None:
        """Return the windows that a range can hold, where they can be told from it and are not too many."""
        windowing = self._plan.windowing
        if not isinstance(windowing, TumblingWindow | HoppingWindow):
            return None
        step_ms = windowing.step_ms if isinstance(windowing, HoppingWindow) else windowing.size_ms
        if (last_ms - first_ms) // step_ms + windowing.size_ms // step_ms > _LOOKUPS_MAX:
            return None
        earliest = first_ms - windowing.size_ms + 1
        starts = range(earliest + -earliest % step_ms, last_ms, step_ms)
        return [Window(start, start + windowing.size_ms) for start in starts]

    def _in_range(self, place: WindowPlace, first_ms: int, last_ms: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield the stored windows that hold any moment of a range, in the order of their ends."""
        kept_ms = max(first_ms, self._kept_from_ms(place))
        closed = self._scan(place, CLOSED, kept_ms, last_ms)
        open_ = self._scan(place, OPEN, first_ms, last_ms)
        for stored, data in merge_sorted(closed, open_, key=_by_end):
            if window_of(stored)[1].start_ms < last_ms:
                yield stored, data

    def _scan(self, place: WindowPlace, prefix: bytes, after_ms: int, last_ms: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield the windows that end after a time; fixed ones only as far as they may begin before another."""
        windowing = self._plan.windowing
        behind = bytes([prefix[0] + 1])
        if isinstance(windowing, TumblingWindow | HoppingWindow) and last_ms < _LAST_MS:
            behind = prefix + window_key_prefix(last_ms + windowing.size_ms)
        return place.scan(prefix + window_key_prefix(after_ms + 1), behind)

    def _kept_from_ms(self, place: WindowPlace) -> int:
        """Return the end of the last closed window that is past its retention, deleted or not."""
        passed_ms = StreamTime.read(place)
        if passed_ms is None or self._plan.retention_ms is None:
            return _FIRST_MS
        return passed_ms - self._plan.retention_ms

    @property
    def _timeless(self) -> bool:
        """Whether the windows are those of events, of which a key has one at a time."""
        return isinstance(self._plan.windowing, CountWindow | UnboundedWindow)

    def _whole(self, key: bytes, data: bytes) -> WindowResult:
        _, least_ms, greatest_ms, states = _decode(data)
        values = self._values(decode_states(states))
        return WindowResult(
            self._table.decode_key(key), least_ms, greatest_ms + 1, values, final=False, aggregates=self._aggregates
        )

    def _result(self, stored: bytes, data: bytes) -> WindowResult:
        key, window = window_of(stored)
        final = stored.startswith(CLOSED)
        return WindowResult(
            self._table.decode_key(key), *window, self._values(decode_states(data)), final, self._aggregates
        )

    def _values(self, states: Sequence[Any]) -> dict[str, Any]:
        each = zip(self._aggregates.items(), states, strict=True)
        return {name: one.result(state) for (name, one), state in each}


def _bounds(start: Any, end: Any) -> tuple[int, int]:
    return _FIRST_MS if start is None else as_ms(start), _LAST_MS if end is None else as_ms(end)


def _by_end(item: tuple[bytes, bytes]) -> bytes:
    return item[0][1:]
