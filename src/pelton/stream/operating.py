"""What operators over a stream (windows, joins) have in common: an event's key and time, their table, late events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from pelton.errors import ConfigurationError, UserCodeError
from pelton.stream.lane import Lane, Send, TableSlot
from pelton.stream.pending import PendingResults
from pelton.stream.progress import WallTime
from pelton.window import as_ms

__all__ = ["Operator", "event_key", "event_time_ms", "operator_slot", "operator_wait_s", "put_aside"]

T_co = TypeVar("T_co", covariant=True)


class Operator(Protocol[T_co]):
    """What turns one event into results, none or many; and, where it is asked to, no event."""

    @property
    def pending(self) -> PendingResults[T_co]:
        """The results that are not this event's own: they are handed out behind it."""
        ...

    def __call__(self, value: Any) -> Iterator[T_co]:
        """Take in the event that the lane is at, and yield the results that are its own."""
        ...

    def heard(self, topic: str, world: WallTime) -> None:
        """Note that the next events are of this topic; what it changes is an effect of the first of them."""
        ...

    def wait_s(self, world: WallTime) -> float | None:
        """Return how long to wait for a record before `wake`; None for ever."""
        ...

    def wake(self, world: WallTime) -> None:
        """Note what has come of the wall clock alone."""
        ...


def operator_slot(lane: Lane, table: str) -> TableSlot:
    """Return the table of an operator. Raises: ConfigurationError where start-up did not see the operator."""
    slot = lane.tables.get(table)
    if slot is None:
        raise ConfigurationError(
            f'agent {lane.agent}: the table "{table}" of its operator was not found at start-up',
            hint="call .window(...).agg(...) or .join(...) in the agent's own function, not in one that it is handed",
        )
    return slot


def operator_wait_s(operator: Operator[Any] | None, world: WallTime, *, wakes: bool) -> float | None:
    """Return how long to wait for a record before looking what the operator owes; None for ever.

    What is owed already waits for the end of a pause, and for nothing else.
    """
    if operator is None:
        return None
    if operator.pending.rows:
        return 0.0
    return operator.wait_s(world) if wakes else None


def event_key(lane: Lane, what: str) -> bytes:
    """Return the raw key of the lane's event. what: names the operator. Raises: UserCodeError when it has none."""
    key = lane.raw_key
    if key is None:
        raise UserCodeError(
            f"a {what} needs a key, and the record has none", hint="group_by gives the stream a key of its own"
        )
    return key


def event_time_ms(lane: Lane, time_of: Callable[[Any], Any] | None, value: Any) -> int:
    """Return an event's time as a function of its value tells it; that of its topic when there is none."""
    return lane.timestamp_ms if time_of is None else as_ms(time_of(value))


def put_aside(lane: Lane, late: Callable[[object, object], Send] | None, value: Any) -> None:
    """Count an event that came too late for an operator, and send it where such events go."""
    lane.late_events += 1
    if late is not None:
        lane.send(late(lane.key, value))
