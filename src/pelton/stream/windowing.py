"""Windows over a stream: `stream.window(tumbling(60)).agg(total=Sum(Transaction.amount))`.

What a program says, and what it gets; how it is worked out is in `pelton.stream.window_operators` and
`pelton.stream.event_windows`. What happens depends on the records of the partition alone (invariants I8, I9): its
*stream time* is the greatest event time seen in it; a window is closed, and its final result due, with the event that
moves stream time past its end and the grace. A partition without new records closes nothing, unless `idle=` says how
long it may be silent.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

import polars as pl

from pelton.aggregate import Aggregate, field_getter
from pelton.errors import ConfigurationError
from pelton.stream.ahead_feed import ahead_feed
from pelton.stream.lane import Send
from pelton.stream.operating import operator_wait_s
from pelton.stream.window_batches import frame_of
from pelton.stream.window_kinds import WINDOW_KINDS, window_operator
from pelton.stream.window_plan import (
    PROCESSING_TIME,
    CountWindow,
    UnboundedWindow,
    Windowing,
    WindowPlan,
    WindowResult,
)
from pelton.window import HoppingWindow, SessionWindow, SlidingWindow, TumblingWindow, declared_ms, seconds

if TYPE_CHECKING:
    from pelton.stream.stream import Feed, Stream

__all__ = [
    "WindowOptions",
    "WindowedStream",
    "Windowing",
    "counting",
    "hopping",
    "session",
    "sliding",
    "tumbling",
    "unbounded",
    "window_plan",
]

Duration = float | timedelta


def tumbling(size: float | timedelta) -> TumblingWindow:
    """Return windows side by side. size: seconds or a timedelta."""
    return TumblingWindow(declared_ms(size))


def hopping(size: float | timedelta, step: float | timedelta) -> HoppingWindow:
    """Return windows of one size that start every step. size, step: seconds or timedeltas."""
    return HoppingWindow(declared_ms(size), declared_ms(step))


def session(gap: float | timedelta) -> SessionWindow:
    """Return windows of activity, which end when a key is silent for longer than a gap. gap: seconds or a timedelta."""
    return SessionWindow(declared_ms(gap))


def sliding(size: float | timedelta) -> SlidingWindow:
    """Return the windows that the events define: one that ends with each, and one that begins right after it.

    size: how far the first and the last event of a window may be apart, in seconds or as a timedelta; both ends count.
    A window that begins after an event exists once it holds another one.
    Source: Kafka Streams' SlidingWindows (KIP-450).
    """
    return SlidingWindow(declared_ms(size))


def counting(size: int) -> CountWindow:
    """Return windows of so many events of a key."""
    return CountWindow(size)


def unbounded() -> UnboundedWindow:
    """Return one window a key, which holds all of its events and never closes."""
    return UnboundedWindow()


class WindowOptions(TypedDict, total=False):
    """What `stream.window` takes beside the windows. Durations are seconds or timedeltas.

    grace: how long after its end a window takes late events, in event time.
    time: where an event's time is, in seconds or as a datetime: a field, or a function of the value; that of its topic
        when None; `pelton.PROCESSING_TIME` for the wall clock: results then depend on when events are handled.
    late: a topic for the events that come after their windows are closed. They are counted in any case.
    idle: how long a topic's partition may show no record before its stream time goes on with the wall clock, so that
        windows close without one. For ever when it is left out, and then results depend on the records alone.
    max_future: how far an event's time may be ahead of its record's; one further ahead is put aside like a late one.
    retention: how long a window can be read after it was closed, in event time (`agent.windows()`).
    """

    grace: Duration
    time: Any
    late: Any
    idle: Duration | None
    max_future: Duration | None
    retention: Duration | None


class WindowedStream:
    """A stream whose events are put into windows, by key; `agg` says what becomes of them."""

    def __init__(self, stream: Stream[Any], plan: WindowPlan) -> None:
        self._stream = stream
        self._plan = plan

    def agg(self, **aggregates: Aggregate[Any]) -> AggregatedStream:
        """Aggregate each window. Iterate the result for updates, or its `on_close()` for final results.

        Raises: ConfigurationError without any aggregate.
        """
        if not aggregates:
            raise ConfigurationError("agg: nothing to work out", hint="write .agg(count=Count(), total=Sum(...))")
        self._stream.program.note_windows(self._stream, self._plan, aggregates)
        return AggregatedStream(self._stream, self._plan, aggregates)


class AggregatedStream:
    """The results of windows, as an agent iterates them."""

    def __init__(self, stream: Stream[Any], plan: WindowPlan, aggregates: Mapping[str, Aggregate[Any]]) -> None:
        self._stream = stream
        self._plan = plan
        self._aggregates = aggregates

    async def __aiter__(self) -> AsyncIterator[WindowResult]:
        """Yield, with each event, what the windows that it fell into have come to so far."""
        async for result in self._expand(updates=True):
            yield result

    async def on_close(self) -> AsyncIterator[WindowResult]:
        """Yield each window once, when it is closed: no event that comes later changes it.

        Raises: ConfigurationError for windows that never close.
        """
        if isinstance(self._plan.windowing, UnboundedWindow):
            raise ConfigurationError(
                "on_close: these windows have no bounds, so they never close",
                hint="iterate the updates, or write stream.window(pelton.session(3600)) for keys that fall silent",
            )
        async for result in self._expand(updates=False):
            yield result

    async def batches(self, *, final: bool = False) -> AsyncIterator[pl.DataFrame]:
        """Yield, for each batch of events, a frame of windows: key, start_ms, end_ms, and a column an aggregate.

        final: windows that are closed, once each; else those that the batch has changed, as they are after it. Polars
        does the work for tumbling and hopping windows. A batch is one event as far as commits go.
        """
        make = window_operator(self._plan, self._aggregates, updates=not final)
        feed, lane = self._stream.begin()
        ahead = ahead_feed(feed, "what keeps state")
        operator = make(lane) if lane.tables else None

        def wait_s(feed: Feed) -> float | None:
            return operator_wait_s(operator, feed, wakes=self._plan.wakes)

        if operator is not None and not ahead.paused:
            async for results in operator.pending.hand_out(ahead, None, _ALL):
                yield frame_of(results)
        async for chunk in self._stream.chunks(wait_s):
            operator = operator or make(lane)
            pending = operator.pending
            if chunk is None:
                operator.wake(feed)
            else:
                whole = lane.chunk
                async for results in pending.hand_out(ahead, whole, _ALL):  # they came about before a pause
                    yield frame_of(results)
                operator.heard(chunk.batch.topic, feed)
                lane.chunk = chunk
                updates = list(operator.take_batch(chunk))
                lane.chunk, lane.result = whole, None
                if updates:
                    yield frame_of(updates)
            if pending.rows and not ahead.paused:
                lane.finish_gathered()
                async for results in pending.hand_out(ahead, None, _ALL):
                    yield frame_of(results)

    def _expand(self, *, updates: bool) -> AsyncIterator[WindowResult]:
        make = window_operator(self._plan, self._aggregates, updates=updates)
        return self._stream.expand(make, wakes=self._plan.wakes)


def window_plan(
    windowing: Windowing, table: str, options: WindowOptions, late: Callable[[object, object], Send] | None
) -> WindowPlan:
    """Return a plan from what `stream.window` was given. late: makes a message for the topic of late events.

    Raises: ConfigurationError.
    """
    if type(windowing) not in WINDOW_KINDS:
        raise ConfigurationError(
            f"window: expected tumbling, hopping, session, sliding, counting or unbounded, got {windowing!r}",
            hint="write stream.window(pelton.tumbling(60))",
        )
    unknown = options.keys() - WindowOptions.__annotations__.keys()
    if unknown:
        raise ConfigurationError(f"window: unknown {sorted(unknown)}", hint=f"known are {_NAMES}")
    given: dict[str, Duration | None] = {
        "grace": options.get("grace"),
        "idle": options.get("idle"),
        "max_future": options.get("max_future"),
        "retention": options.get("retention"),
    }
    for name, duration in given.items():
        if duration is not None and seconds(duration) < 0:
            raise ConfigurationError(f"window: expected {name} of 0 or more, got {duration!r}")
    timeless = [name for name, duration in given.items() if duration is not None and name != "grace"]
    if timeless and isinstance(windowing, CountWindow | UnboundedWindow):
        raise ConfigurationError(
            f"window: these windows do not close by time, {timeless[0]} means nothing for them",
            hint="leave it out, or take windows of time",
        )
    time = options.get("time")
    processing = time is PROCESSING_TIME
    if processing and given["max_future"] is not None:
        raise ConfigurationError("window: the wall clock is never in the future", hint="leave max_future out")
    idle = given["idle"]
    return WindowPlan(
        windowing,
        _ms(given["grace"]) or 0,
        None if time is None or processing else field_getter(time),
        table,
        late,
        None if idle is None else seconds(idle),
        _ms(given["max_future"]),
        _ms(given["retention"]),
        processing,
    )


def _ms(duration: Duration | None) -> int | None:
    return None if duration is None else declared_ms(duration)


#: No limit to how many results make a frame, but that which memory sets.
_ALL = sys.maxsize
_NAMES = ", ".join(WindowOptions.__annotations__)
