"""What a stream offers that takes events ahead, or hands out more than events: calls to the outside, and timers.

How calls are made is in `pelton.stream.calling`, how timers are kept in `pelton.stream.timing`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import NoneType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, get_type_hints

from pelton.aggregate import field_getter
from pelton.backoff import Backoff
from pelton.codec import Codec, codec_for
from pelton.errors import ConfigurationError
from pelton.stream.call_cache import CallCache, call_cache_of
from pelton.stream.call_limits import RateLimit, rate_limit_of
from pelton.stream.calling import CalledStream, CallPlan, Order
from pelton.stream.timing import TimerPlan, Timers
from pelton.window import declared_ms, seconds

if TYPE_CHECKING:
    from pelton.stream.stream import Stream

__all__ = ["Ahead"]

V = TypeVar("V")
T = TypeVar("T")

_ORDERS = ("key", "log", "none")


class Ahead(Generic[V]):
    """Operators that take events ahead; a part of `pelton.Stream`."""

    def map_async(
        self,
        function: Callable[[V], Awaitable[T]],
        *,
        concurrency: int = 64,
        order: Order = "key",
        timeout: float | timedelta | None = None,
        retries: Backoff | int | None = None,
        rate_limit: RateLimit | float | None = None,
        cache: CallCache | bool | None = None,
        result_type: type[T] | None = None,
        name: str = "calls",
    ) -> CalledStream[T]:
        """Call an async function for many events at once (a model, an HTTP service), and iterate the results.

        function: gets the value. It runs at no event: it may read tables, as complete events left them, and not write
            them. What it is annotated to return says how results are recorded; without, they must be builtin types.
        concurrency: how many calls of a partition may be under way.
        order: "key": the events of a key one after the other, in the log's order; keys overtake each other. "log": all
            results in the log's order. "none": as they come.
        timeout: of one attempt, in seconds or as a timedelta. retries: a `Backoff`, or how many; that of the agent when
            None. An event whose call is given up is dead-lettered.
        rate_limit: attempts a second, or a `RateLimit`, for all partitions of a worker together.
        cache: True, or a `CallCache`: the same content is not asked twice.
        name: names the table of the results, where an agent has several.
        Raises: ConfigurationError.
        """
        stream = cast("Stream[V]", self)
        if order not in _ORDERS:
            raise ConfigurationError(f"map_async: order: expected one of {', '.join(_ORDERS)}, got {order!r}")
        if concurrency < 1:
            raise ConfigurationError(f"map_async: concurrency: expected at least 1, got {concurrency!r}")
        timeout_s = None if timeout is None else seconds(timeout)
        if timeout_s is not None and timeout_s <= 0:
            raise ConfigurationError(f"map_async: timeout: expected more than 0 seconds, got {timeout!r}")
        table = stream.program.operator_table(stream, name)
        limit = rate_limit_of(rate_limit)
        plan = CallPlan(
            function=function,
            concurrency=concurrency,
            order=order,
            codec=_result_codec(function, result_type),
            timeout_s=timeout_s,
            backoff=Backoff(retries=retries) if isinstance(retries, int) else retries,
            bucket=None if limit is None else stream.program.call_bucket(stream, table, limit),
            cache=call_cache_of(cache),
            table=table,
        )
        return CalledStream(stream, plan)

    def timers(self, *, time: Any = None, grace: float | timedelta = 0, name: str = "timers") -> Timers[V]:
        """Give the events, and the timers that the loop over them sets for keys, as their time comes.

        `async for event in timers:` yields the events' values and, in between, `FiredTimer`s.
        time: where an event's time is: a field, or a function of the value; that of its topic when None.
        grace: how far behind stream time timers of event time fire, in seconds or as a timedelta.
        name: names the table of the timers, where an agent has several.
        Raises: ConfigurationError.
        """
        stream = cast("Stream[V]", self)
        grace_ms = declared_ms(grace)
        if grace_ms < 0:
            raise ConfigurationError(f"timers: expected a grace of 0 or more, got {grace!r}")
        table = stream.program.operator_table(stream, name)
        return Timers(stream, TimerPlan(None if time is None else field_getter(time), grace_ms, table))


def _result_codec(function: Callable[..., Any], given: Any) -> Codec[Any]:
    """Return how results are recorded, by what a function says that it returns."""
    target: Any = getattr(function, "func", function)  # functools.partial
    if not hasattr(target, "__annotations__"):
        target = getattr(target, "__call__", target)  # noqa: B004 - an object that can be called
    try:
        found = given or get_type_hints(target).get("return")
    except (NameError, TypeError):
        found = None  # names that only a type checker knows
    if found in (None, NoneType, Any):
        return codec_for(None, "msgpack")
    return codec_for(found, "msgpack")
