"""Whose turn it is: a worker's tasks run a slice each, one after the other, and the event loop breathes in between.

    tasks with rows ──▶ queue ──▶ one of them, each turn of the loop ──▶ its slice ──▶ queue …
                          └─ after half a slice's time of work: some turns for all others first

Commits, heartbeats, the web server and signals live on the same loop. If each of sixty tasks ran its slice in one turn
of it, every step of a commit would wait for sixty slices; so it waits for one. Those of higher priority come first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf

from pelton.clock import Clock

__all__ = ["Turns"]

#: How long rows of a lower priority may wait for a slice while higher ones are at it, in seconds: nothing stands still.
_LONGEST_S = 1.0
#: How many turns of the loop are left to all others: an answer from a socket passes through about five callbacks, one
#: calling for the next, before the next request leaves, and each of those takes a turn.
_BREATH_TURNS = 8
#: What a round of slices should take while many tasks have rows, in seconds; and the least share of a whole slice that
#: a task gets of it.
_ROUND_S = 0.1
_LEAST_SHARE = 0.25

_Rank = Callable[[], int | None]


@dataclass(slots=True, eq=False)
class _Place:
    rank: _Rank
    turn: asyncio.Future[None]
    since_s: float

    def urgency(self) -> float:
        """Return its priority; one that has nothing to hand out any more takes nobody's time."""
        rank = self.rank()
        return inf if rank is None else rank


class Turns:
    """Has the tasks of a worker run one after the other, so that whatever else is on the loop waits for one slice.

    priorities: of all that the worker reads. slice_s: how long a slice should take, in seconds.
    A task that awaits something within an event has no use for its turn, so nobody waits for that.
    """

    def __init__(self, clock: Clock, slice_s: float, priorities: Iterable[int] = ()) -> None:
        self._clock = clock
        self._slice_s = slice_s
        self._ranked = len(set(priorities)) > 1
        self._places: deque[_Place] = deque()
        self._serving = False
        self._breath = 0
        self._breathed_s = 0.0
        self._overdue_had_it = False

    @property
    def slice_s(self) -> float:
        """How long a slice should take now, in seconds: less while many tasks have rows."""
        share_s = _ROUND_S / (len(self._places) + 1)
        return min(self._slice_s, max(share_s, self._slice_s * _LEAST_SHARE))

    async def take(self, rank: _Rank) -> None:
        """Wait for a turn; at least once everybody else has one.

        rank: the priority of what the task would hand out, None when there is nothing.
        """
        if rank() is None:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        place = _Place(rank, loop.create_future(), self._clock.monotonic())
        self._places.append(place)
        if not self._serving:
            self._serving = True
            self._breath, self._breathed_s = 0, place.since_s  # nobody had a slice in the last turn of the loop
            loop.call_soon(self._serve, loop)
        await place.turn

    def release(self) -> None:
        """Have those wait no longer that have nothing to hand out any more: they are to end, or to pause."""
        for place in self._places:
            if not place.turn.done() and place.rank() is None:
                place.turn.set_result(None)

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the next turn; called once in each turn of the loop, up to the first in which nobody waits for one."""
        self._serving = bool(self._places)
        if self._serving:
            if self._rested():
                self._give()
            loop.call_soon(self._serve, loop)

    def _rested(self) -> bool:
        """Return whether the loop has had its rest from slices; called once a turn of it."""
        now_s = self._clock.monotonic()
        if not self._breath:
            if now_s - self._breathed_s < self.slice_s / 2:
                return True  # small slices: several make one whole
            self._breath = _BREATH_TURNS
        self._breath -= 1
        self._breathed_s = now_s
        return not self._breath

    def _give(self) -> None:
        """Give a turn to the first that still waits for one."""
        while self._places:
            place = self._next() if self._ranked else self._places.popleft()
            if not place.turn.done():  # else it was released, or cancelled
                place.turn.set_result(None)
                return

    def _next(self) -> _Place:
        """Take out the first of the highest priority; every other time the one that has waited for too long."""
        oldest = self._places[0]
        overdue = self._clock.monotonic() - oldest.since_s >= _LONGEST_S
        self._overdue_had_it = overdue and not self._overdue_had_it
        if self._overdue_had_it:
            return self._places.popleft()
        first = max(self._places, key=_Place.urgency)
        self._places.remove(first)
        return first
