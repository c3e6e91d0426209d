"""Two agents on two topics that write the same keys of one table, and wait behind each write.

While one waits, the other comes to the same key; so do the lanes of one that has several. What must come of it is
written down a second time, without the engine, in `sharing_model`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pelton.stream.stream import Stream
from pelton.testing.simulation.effects import Failures, add, current_lane, current_offset, send
from pelton.testing.simulation.workload import Happening

__all__ = ["LEFT", "RIGHT", "SHARED", "SharingStyle", "keys_of", "left", "right"]

LEFT, RIGHT, SHARED = "left", "right", "shared"
#: How long either is at most behind a write; often it only lets the others run.
_WAITS_S = (0.0, 0.0, 0.001, 0.02)
#: An event that begins anew for longer stands still: the engine would give it up soon.
_PATIENCE_S = 8.0
_EVERYBODY = b"everybody"
_GATHERED, _WITHIN_S = 3, 0.01


@dataclass(frozen=True, slots=True)
class SharingStyle:
    """How the two work: with how many lanes each, and whether the right one takes several events together."""

    left: int
    right: int
    gathers: bool


def keys_of(key: bytes, amount: int) -> tuple[bytes, ...]:
    """Return what an event writes, in this order: its own key, that of all events, or both, in either order."""
    return ((key,), (key, _EVERYBODY), (_EVERYBODY, key), (_EVERYBODY,))[amount % 4]


async def _handle(happening: Happening, key: bytes, offset: int, failures: Failures) -> None:
    """Add the amount to each of the event's keys, and send what each comes to."""
    lane, now_s = current_lane(), asyncio.get_running_loop().time()
    began: dict[int, float] = lane.operators.setdefault("began", {})
    if now_s - began.setdefault(offset, now_s) > _PATIENCE_S:
        failures.accuse(f"{lane.agent}[{lane.partition}]@{offset} has waited for its keys for {_PATIENCE_S:.0f} s")
    for one in keys_of(key, happening.amount):
        total = add(SHARED, one, happening.amount)
        await asyncio.sleep(failures.chance.pick(_WAITS_S))
        await failures.meet(happening.kind, offset)
        send(one, b"%d" % total, offset, own=True)


async def left(stream: Stream[Happening], failures: Failures) -> None:
    """Handle one event after the other."""
    async for happening in stream:
        lane = current_lane()
        await _handle(happening, lane.raw_key or b"", current_offset(lane), failures)
        if happening.kind == "leave":
            return


async def right(stream: Stream[Happening], failures: Failures, style: SharingStyle) -> None:
    """Handle one event after the other, or several as one."""
    if not style.gathers:
        await left(stream, failures)
        return
    async for events in stream.take_events(_GATHERED, within=_WITHIN_S):
        for event in events:
            await _handle(event.value, event.message.key or b"", event.message.offset, failures)
