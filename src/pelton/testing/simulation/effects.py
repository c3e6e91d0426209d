"""What the agents of a simulated worker have in common: their failures, and how they write and send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from pelton.stream.lane import CURRENT_LANE, Lane, Send, TableSlot
from pelton.testing.simulation.chance import Chance
from pelton.testing.simulation.workload import Kind

__all__ = ["OUT", "Failures", "add", "current_lane", "current_offset", "send", "table_slot"]

OUT = "out"
_SLOW_S = 0.05


@dataclass(slots=True)
class Failures:
    """Makes a process's agents slow, and fail once at each flaky event.

    chance: draws how slow. accuse: ends the run, for an agent has seen a broken promise.
    """

    chance: Chance
    accuse: Callable[[str], None]
    _seen: set[tuple[str, int, int]] = field(default_factory=set["tuple[str, int, int]"])

    async def meet(self, kind: Kind, offset: int, what: str = "") -> None:
        """Be in the middle of the event at an offset: wait, or fail. Raises: RuntimeError, ValueError.

        what: is at it; the agent of the current lane when "".
        """
        if kind == "slow":
            await asyncio.sleep(self.chance.around(_SLOW_S))
        if kind == "poison":
            raise ValueError("poison")
        if kind == "flaky":
            lane = current_lane() if not what else None
            event = (what, 0, offset) if lane is None else (lane.agent, lane.partition, offset)
            if event not in self._seen:
                self._seen.add(event)
                raise RuntimeError("flaky")


def current_lane() -> Lane:
    """Return the lane whose code is running."""
    lane = CURRENT_LANE.get()
    assert lane is not None
    return lane


def current_offset(lane: Lane) -> int:
    """Return the offset of the event that a lane is at."""
    assert lane.chunk is not None
    return lane.chunk.offset(lane.cursor)


def table_slot(table: str) -> TableSlot:
    """Return a table as the running lane sees it."""
    return current_lane().tables[table]


def add(table: str, key: bytes, amount: int) -> int:
    """Add to the number under a key; return what it comes to."""
    slot = table_slot(table)
    total = int(slot.get(key) or 0) + amount
    slot.put(key, b"%d" % total)
    return total


def send(key: bytes | None, value: bytes, source: object, *, own: bool = False, flow: str = "") -> None:
    """Send to OUT.

    source: the offset of the event that it comes from, or what else tells where it comes from. own: send to the
    partition of the same number, where all of an agent's messages can be seen in their order. flow: in place of the
    agent's name.
    """
    lane = current_lane()
    origin = f"{flow or lane.agent}/{lane.partition}/{source}".encode()
    lane.send(Send(OUT, lane.partition if own else None, key, value, lane.timestamp_ms, (("origin", origin),)))
