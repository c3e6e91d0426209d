"""What a stream offers of joins: with another topic within a bound of time, and with a table.

Faust's names are kept: `stream.join(...)`, `left_join`, `inner_join`, `outer_join`, and `(stream & topic).join(...)`.
How streams are joined is in `pelton.stream.joining`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, Required, TypedDict, TypeVar, Unpack, cast, overload

from pelton.aggregate import field_getter
from pelton.errors import ConfigurationError
from pelton.stream.asof import AsOfOperator, AsOfPlan
from pelton.stream.joining import Joined, JoinInput, JoinOperator, JoinPlan
from pelton.stream.lane import CURRENT_LANE, Lane
from pelton.stream.operating import Operator
from pelton.window import declared_ms, seconds

if TYPE_CHECKING:
    from pelton.stream.stream import Stream

__all__ = ["SKIPPED", "AsOfOptions", "CombinedStream", "JoinOptions", "JoinSources", "JoinedStream", "Joins"]

V = TypeVar("V")
L = TypeVar("L")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Duration = float | timedelta
_Kind = Literal["inner", "left", "outer"]

#: What a processor returns for a value that goes no further.
SKIPPED: Any = object()


class _JoinableTopic(Protocol[R_co]):
    """A topic, as far as a join is concerned."""

    @property
    def topics(self) -> Sequence[str]: ...

    @property
    def value_type(self) -> type[R_co] | None: ...


class _JoinableTable(Protocol[R_co]):
    """A table, as far as a join is concerned."""

    @property
    def replicated(self) -> bool: ...

    def get(self, key: Any, default: Any = None) -> Any: ...

    def __getitem__(self, key: Any) -> R_co: ...


class _InputOptions(TypedDict, total=False):
    """What all joins of two streams take. What may differ between left and right is one thing, or a pair of them.

    grace: how far an event may be behind the latest of its own topic's partition before it is late.
    on: the field, or a pair of fields, to join by; both streams are repartitioned by it. Their keys when None.
    time: where an event's time is: a field, or a function of the value; that of its topic when None.
    late: a topic for late events. They are counted in any case.
    idle: how long a topic's partition may show no record before its time goes on with the wall clock, so that what
        waits for it stands alone. For ever when it is left out, and then results depend on the records alone.
    name: names the table in which events wait for their partners.
    """

    grace: Duration
    on: Any
    time: Any
    late: Any
    idle: Duration | None
    name: str


class JoinOptions(_InputOptions, total=False):
    """What a join of two streams within a bound of time takes; and what all joins do.

    within: how far the times of a pair may be apart, in seconds or as a timedelta; or a pair (before, after): the right
        one is at most `before` earlier and `after` later than the left one. `(-5, 10)` means 5 to 10 seconds later.
    """

    within: Required[Duration | tuple[Duration, Duration]]


class AsOfOptions(_InputOptions, total=False):
    """What an as-of join takes.

    tolerance: how much earlier than the left event its partner may be, in seconds or as a timedelta; any when left out.
    """

    tolerance: Duration | None


@dataclass(frozen=True, slots=True)
class JoinSources(Generic[V]):
    """What a join reads. stream: over both. table: where events wait for their partners."""

    stream: Stream[V]
    left: JoinInput
    right: JoinInput
    table: str


class JoinedStream(Generic[L, R]):
    """The results of a join of two streams, as an agent iterates them."""

    def __init__(self, stream: Stream[Any], plan: JoinPlan | AsOfPlan) -> None:
        self._stream = stream
        self._plan = plan

    async def __aiter__(self) -> AsyncIterator[Joined[L, R]]:
        """Yield each pair once, and what stands alone once it is known to."""
        wakes = self._plan.idle_s is not None
        async for joined in self._stream.expand(self._operator, self._plan.left.topics, wakes=wakes):
            yield joined

    def _operator(self, lane: Lane) -> Operator[Joined[L, R]]:
        plan = self._plan
        return JoinOperator[L, R](lane, plan) if isinstance(plan, JoinPlan) else AsOfOperator[L, R](lane, plan)


class CombinedStream(Generic[V, R]):
    """A stream and a topic that are to be joined: `stream & topic`, as Faust writes it."""

    def __init__(self, stream: Stream[V], other: _JoinableTopic[R]) -> None:
        self._stream = stream
        self._other = other

    def join(self, *fields: Any, **options: Unpack[JoinOptions]) -> JoinedStream[V, R]:
        """Pair what has the same key within a bound of time. fields: what to join by, instead of the keys."""
        return _joined(self._stream, self._other, "inner", options, fields)

    inner_join = join

    def left_join(self, *fields: Any, **options: Unpack[JoinOptions]) -> JoinedStream[V, R | None]:
        """Join, and give the left values that find no partner too, with None, once none can come."""
        return _joined(self._stream, self._other, "left", options, fields)

    def outer_join(self, *fields: Any, **options: Unpack[JoinOptions]) -> JoinedStream[V | None, R | None]:
        """Join, and give the values of both sides that find no partner too, with None, once none can come."""
        return _joined(self._stream, self._other, "outer", options, fields)


class Joins(Generic[V]):
    """The joins of a stream; a part of `pelton.Stream`."""

    def combine(self, other: _JoinableTopic[R]) -> CombinedStream[V, R]:
        """Put a stream and a topic side by side, to join them. Raises: ConfigurationError for what is no topic."""
        return CombinedStream(cast("Stream[V]", self), _checked(other))

    def __and__(self, other: _JoinableTopic[R]) -> CombinedStream[V, R]:
        return self.combine(other)

    @overload
    def join(self, other: _JoinableTopic[R], **options: Unpack[JoinOptions]) -> JoinedStream[V, R]: ...
    @overload
    def join(self, other: _JoinableTable[R], *, on: Any = None, as_of: Any = None) -> Stream[tuple[V, R]]: ...
    def join(self, other: Any, **options: Any) -> Any:
        """Pair each value with those of a topic, within a bound of time; or with what a table holds for it.

        other: a topic (see `JoinOptions`), or a table. Values without a partner are left out.
        on: for a global table, the field of the value that is the table's key; the stream's key when None.
        as_of: for a table with history, True to read it as it was at the event's time, or a field with another time; as
            it is now when None.
        Raises: ConfigurationError.
        """
        return self._join(other, "inner", options)

    inner_join = join

    @overload
    def left_join(self, other: _JoinableTopic[R], **options: Unpack[JoinOptions]) -> JoinedStream[V, R | None]: ...
    @overload
    def left_join(
        self, other: _JoinableTable[R], *, on: Any = None, as_of: Any = None
    ) -> Stream[tuple[V, R | None]]: ...
    def left_join(self, other: Any, **options: Any) -> Any:
        """Join, and give the values that find no partner too, with None; see `join`."""
        return self._join(other, "left", options)

    def outer_join(self, other: _JoinableTopic[R], **options: Unpack[JoinOptions]) -> JoinedStream[V | None, R | None]:
        """Join with a topic, and give the values of both sides that find no partner too, with None; see `join`."""
        return _joined(cast("Stream[V]", self), _checked(other), "outer", options, ())

    def asof_join(self, other: _JoinableTopic[R], **options: Unpack[AsOfOptions]) -> JoinedStream[V, R | None]:
        """Pair each value with the latest one that a topic had for its key at the value's time, or with None.

        It comes once that is certain: when the topic has passed the value's time and the grace. See `AsOfOptions`.
        Raises: ConfigurationError.
        """
        return _as_of(cast("Stream[V]", self), _checked(other), options)

    def _join(self, other: Any, kind: _Kind, options: Any) -> Any:
        stream = cast("Stream[V]", self)
        if hasattr(other, "topics"):
            return _joined(stream, other, kind, options, ())
        stream.add_processor(_lookup(other, kind, **options))
        return stream


def _checked(other: Any) -> Any:
    """Return a topic that is one. Raises: ConfigurationError."""
    if hasattr(other, "topics"):
        return other
    raise ConfigurationError(
        f"cannot join with {other!r} within a time: expected a topic",
        hint="name the topic; a table is joined with stream.join(table) or stream.left_join(table)",
    )


def _lookup(table: Any, kind: _Kind, *, on: Any = None, as_of: Any = None) -> Callable[[Any], Any]:
    """Return a processor that pairs a value with what a table holds for it, now or as of a time."""
    if not hasattr(table, "replicated") or not hasattr(table, "get"):
        raise ConfigurationError(
            f"cannot join with {table!r}: expected a topic or a table",
            hint="of a table with windows, read the window: table[key].current()",
        )
    if on is not None and not table.replicated:
        raise ConfigurationError(
            f"{table!r} holds only what has the key of the event: it cannot be looked up by another field",
            hint="write stream.group_by(field).join(table), or make the table an app.GlobalTable",
        )
    if as_of and getattr(table, "history", None) is None:
        raise ConfigurationError(
            f"{table!r} has no history: it cannot be read as of a time",
            hint="declare it with app.Table(..., history=timedelta(days=7)), or write stream.asof_join(topic)",
        )
    read = None if on is None else field_getter(on)
    read_time = field_getter(as_of) if as_of and as_of is not True else None

    def pair(value: Any) -> Any:
        lane = CURRENT_LANE.get()
        key = read(value) if read is not None else None if lane is None else lane.key
        place = table
        if as_of and lane is not None:
            place = table.at(lane.timestamp_ms / 1000 if read_time is None else read_time(value))
        found = None if key is None else place.get(key)
        return SKIPPED if found is None and kind == "inner" else (value, found)

    return pair


def _joined(
    stream: Stream[Any], other: _JoinableTopic[Any], kind: _Kind, options: JoinOptions, fields: tuple[Any, ...]
) -> JoinedStream[Any, Any]:
    """Return the join of a stream with a topic. Raises: ConfigurationError for bounds that hold nothing."""
    if "within" not in options:
        raise ConfigurationError(
            "a join of two streams needs a bound of time", hint="write stream.join(topic, within=timedelta(minutes=5))"
        )
    before_ms, after_ms = map(declared_ms, _both(options["within"]))
    grace_ms = declared_ms(options.get("grace", 0))
    if before_ms + after_ms < 0 or grace_ms < 0:
        raise ConfigurationError(
            f"join: nothing is within {options['within']!r} and a grace of {options.get('grace', 0)!r}",
            hint="within=(before, after): the right one is at most `before` earlier and `after` later",
        )
    sources, left, right = _inputs(stream, other, fields or options.get("on"), options, "join")
    left, right = replace(left, kept=kind != "inner"), replace(right, kept=kind == "outer")
    plan = JoinPlan(left, right, before_ms, after_ms, grace_ms, sources.table, _idle_s(options))
    return JoinedStream(sources.stream, plan)


def _as_of(stream: Stream[Any], other: _JoinableTopic[Any], options: AsOfOptions) -> JoinedStream[Any, Any]:
    """Return the as-of join of a stream with a topic. Raises: ConfigurationError for negative durations."""
    tolerance = options.get("tolerance")
    tolerance_ms = None if tolerance is None else declared_ms(tolerance)
    grace_ms = declared_ms(options.get("grace", 0))
    if grace_ms < 0 or (tolerance_ms is not None and tolerance_ms < 0):
        raise ConfigurationError(
            f"asof_join: expected a tolerance and a grace of 0 or more, got {tolerance!r} and {options.get('grace')!r}",
            hint="the partner is the latest right event up to the left one's time, at most `tolerance` earlier",
        )
    sources, left, right = _inputs(stream, other, options.get("on"), options, "asof")
    plan = AsOfPlan(left, right, tolerance_ms, grace_ms, sources.table, _idle_s(options))
    return JoinedStream(sources.stream, plan)


def _inputs(
    stream: Stream[Any], other: _JoinableTopic[Any], on: Any, options: _InputOptions, name: str
) -> tuple[JoinSources[Any], JoinInput, JoinInput]:
    """Return what a join reads, and its two inputs as the options want them."""
    fields = None if on is None or on == () else _both(on)
    sources = stream.program.join_sources(stream, other, options.get("name", name), fields)
    left, right = (
        replace(side, time_of=None if time is None else field_getter(time), late=_outgoing(stream, late))
        for side, time, late in zip(
            (sources.left, sources.right), _both(options.get("time")), _both(options.get("late")), strict=True
        )
    )
    return sources, left, right


def _idle_s(options: _InputOptions) -> float | None:
    idle = options.get("idle")
    if idle is not None and seconds(idle) < 0:
        raise ConfigurationError(f"join: expected idle of 0 or more, got {idle!r}")
    return None if idle is None else seconds(idle)


def _outgoing(stream: Stream[Any], topic: object) -> Any:
    return None if topic is None else stream.program.outgoing(topic)


def _both(given: Any) -> tuple[Any, Any]:
    """Return what is meant for left and for right: a pair, or one thing for both. Raises: ConfigurationError."""
    if not isinstance(given, tuple):
        return given, given
    pair: tuple[Any, ...] = given  # pyright: ignore[reportUnknownVariableType]
    if not 1 <= len(pair) <= 2:
        raise ConfigurationError(f"join: expected one or two, got {given!r}", hint="the first is for the left side")
    return pair[0], pair[-1]
