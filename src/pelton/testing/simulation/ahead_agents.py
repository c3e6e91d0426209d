"""Agents whose lanes are not at one event after the other: calls to the outside, and timers.

What they compute is written down a second time, without the engine, in `ahead_models`.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Any, cast

from pelton.backoff import Backoff
from pelton.stream.call_cache import CallCache
from pelton.stream.calling import Order
from pelton.stream.stream import Stream
from pelton.stream.timing import FiredTimer
from pelton.testing.simulation.effects import Failures, add, current_lane, current_offset, send
from pelton.testing.simulation.workload import EVENTS, Happening, Kind

__all__ = [
    "GRACE_MS",
    "WALL_AFTER_S",
    "CallStyle",
    "OperatorTables",
    "Reminder",
    "answer_of",
    "call_row",
    "calls",
    "reminder_of",
    "timers",
]

#: How far behind stream time timers fire; how long after its event one of the wall clock does.
GRACE_MS, WALL_AFTER_S = 1_500, 0.02
_Offset = Struct(">Q")


@dataclass(frozen=True, slots=True)
class CallStyle:
    """How the agent "calls" calls: see `Stream.map_async`. cached: what has the same content is asked once."""

    order: Order
    concurrency: int
    cached: bool


@dataclass(frozen=True, slots=True)
class Reminder:
    """What an event does with the timer of its key: its name, None for an event that cancels both.

    after_ms: when it is to fire, after the event. again: so often it is set anew when it has fired. kind: what happens
    when it fires. wall: whether the event sets a timer of the wall clock, too.
    """

    name: str | None
    after_ms: int
    again: int
    kind: Kind
    wall: bool


#: By the remainder of its amount, what happens at the timer that an event sets.
_TIMER_KINDS: dict[int, Kind] = {0: "poison", 1: "flaky", 2: "slow"}


def reminder_of(amount: int) -> Reminder:
    """Return what an event does."""
    return Reminder(
        name=None if amount % 5 == 0 else "xy"[amount % 2],
        after_ms=amount * 70 - 500,
        again=amount % 3,
        kind=_TIMER_KINDS.get(amount % 11, "plain"),
        wall=amount % 7 == 0,
    )


def answer_of(amount: int) -> int:
    """Return what the outside answers."""
    return amount * 3 + 1


def call_row(offset: int) -> bytes:
    """Return where the result of an event's call is recorded."""
    return b"e" + EVENTS.encode() + b"\0" + _Offset.pack(offset)


class OperatorTables:
    """What operators ask of the program around them: the name of their table."""

    def operator_table(self, stream: Stream[Any], name: str) -> str:
        """Return the name itself: each of these agents has one operator."""
        return name


async def calls(stream: Stream[Happening], failures: Failures, style: CallStyle) -> None:
    """Ask the outside about each event, sum up its answers, and send each on."""
    lane = stream.bound()[1]

    async def ask(happening: Happening) -> int:
        if lane.tables["calls"].get(call_row(happening.number)) is not None:
            failures.accuse(f"calls[{lane.partition}]@{happening.number} is called, though its result is recorded")
        await failures.meet(happening.kind, happening.number, f"call/{lane.partition}")
        return answer_of(happening.amount)

    results = stream.map_async(
        ask,
        concurrency=style.concurrency,
        order=style.order,
        retries=Backoff(retries=1, first=0.001),
        cache=CallCache(by=lambda one: (one.kind, one.amount)) if style.cached else None,
    )
    async for happening, answer in results.pairs():
        key = current_lane().raw_key or b""
        add("answers", key, answer)
        if happening.kind == "flaky":
            await failures.meet("flaky", happening.number)
        send(key, b"%d" % answer, happening.number, own=True)
        if happening.kind == "leave":
            return


async def timers(stream: Stream[Happening], failures: Failures) -> None:
    """Count each key's events and timers, and set, move and cancel timers for it."""
    timers = stream.timers(grace=GRACE_MS / 1000)
    async for one in timers:
        lane = current_lane()
        key = lane.raw_key or b""
        if isinstance(one, FiredTimer):
            if one.clock == "wall":
                send(key, b"wall", one.value, own=True, flow="wall")
                continue
            again, kind = one.value
            count = add("timed", key, 1)
            if again:
                timers.set(one.name, after=again * 0.9, value=[again - 1, kind])
            await failures.meet(cast(Kind, kind), current_offset(lane))
            send(key, b"%d" % count, f"{one.name}@{one.at_ms}", own=True)
            continue
        offset, reminder = current_offset(lane), reminder_of(one.amount)
        count = add("timed", key, 1)
        if reminder.name is None:
            timers.cancel("x")
            timers.cancel("y")
        else:
            timers.set(reminder.name, after=reminder.after_ms / 1000, value=[reminder.again, reminder.kind])
        await failures.meet(one.kind, offset)
        if reminder.wall:
            timers.set(f"wall{offset}", after=WALL_AFTER_S, clock="wall", value=offset)
        send(key, b"%d" % count, offset, own=True)
        if one.kind == "leave":
            return
