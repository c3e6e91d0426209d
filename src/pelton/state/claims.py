"""Which unfinished event writes which key of a table's partition.

What an event writes is seen by others when the event is complete. Two events that are under way at once, of two agents
or of one with concurrency, must not write one key meanwhile: whichever was complete last would overwrite what the other
wrote, and of two increments one would be lost. So a key that an event has written is claimed until the event is
complete. Of two that come to write it, the one that claimed something first goes on, and the other begins anew behind
it: wound-wait locking (Rosenkrantz, Stearns and Lewis, "System Level Concurrency Control for Distributed Database
Systems", ACM TODS 3(2), 1978), in which nobody waits in a circle, and everybody's turn comes.

The events of a round (`concurrency=`) that are complete keep their keys until it is over. So a round may wait for
another one, and that for the first: then the later one begins anew as a whole (`pelton.runtime.concurrent`).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Protocol, cast

from pelton.errors import UserCodeError

__all__ = ["Claims", "Place", "Stage", "WriteConflict", "conflict_in", "next_ticket"]


class Stage(dict[bytes, bytes | None]):
    """The writes to one table of a round's complete events, until it is over; shared by the lanes of an agent.

    number: that of the round among all that claim keys, drawn as it begins.
    """

    __slots__ = ("number",)

    def __init__(self) -> None:
        super().__init__()
        self.number = 0


_tickets = count(1)


def next_ticket() -> int:
    """Return the number of an event that claims its first key: whoever has a lower one came earlier."""
    return next(_tickets)


class Place(Protocol):
    """Where one lane writes one table."""

    @property
    def name(self) -> str:
        """The table's name."""
        ...

    @property
    def overlay(self) -> Mapping[bytes, bytes | None]:
        """The writes of its unfinished event."""
        ...

    @property
    def stage(self) -> Stage | None:
        """Those of complete events of a round that is not over, shared by the lanes of an agent; else None."""
        ...

    def draw(self) -> int:
        """Return the number of its event, drawn now if it has none; it keeps it when it begins anew."""
        ...

    def share(self) -> None:
        """Tell the claims from now on what becomes of an event: the place is no longer the only one."""
        ...

    def wound(self, conflict: WriteConflict) -> None:
        """Have its event begin anew: an earlier one needs the key."""
        ...


class WriteConflict(BaseException):
    """Another event, which came earlier, is at the key: this one begins anew when it is its turn.

    It is no error, and no Exception: an agent's `except Exception` must not keep its event from beginning anew.
    """

    def __init__(self, claims: Claims, key: bytes, place: Place) -> None:
        super().__init__(key)
        self.claims = claims
        self.key = key
        self.place = place

    def over(self) -> bool:
        """Return whether the event may begin anew."""
        return self.claims.free(self.key, self.place)

    def unsolved(self, agent: str) -> UserCodeError:
        """Return the error of an agent that has waited for too long."""
        return UserCodeError(
            f"agent {agent} waited for another event to be done with the key {self.key!r} of table {self.place.name!r}",
            hint="two events that wait for each other? Let one agent write a table, or write behind what is awaited",
        )

    def wait(self) -> None:
        """Stand in line for the key."""
        self.claims.wait(self.key, self.place)

    def leave(self) -> None:
        """Let others come first."""
        self.claims.leave(self.key, self.place)


def conflict_in(error: BaseException) -> WriteConflict | None:
    """Return the conflict that an error is, or that a group of them holds: code may write from tasks of its own."""
    if isinstance(error, WriteConflict):
        return error
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return next((found for one in group.exceptions if (found := conflict_in(one)) is not None), None)
    return None


class Claims:
    """The claims on the keys of one table in one partition.

    only: the one place that has written so far. While there is no other, nothing is noted.
    """

    __slots__ = ("_holders", "_shared", "_waiting", "only")

    def __init__(self) -> None:
        self.only: Place | None = None
        self._shared = False
        #: Key -> the place whose event has written it, or the stage of the round that has.
        self._holders: dict[bytes, Place | Stage] = {}
        self._waiting: dict[bytes, list[Place]] = {}

    def take(self, key: bytes, place: Place) -> None:
        """Claim a key for the event of a place. Raises: WriteConflict when an earlier event has it, or waits for it."""
        if not self._shared:
            if self.only is None:
                self.only = place
            if self.only is place:
                return
            self._share(self.only)
        holder = self._holders.get(key)
        if holder is place:
            return
        place.share()
        place.draw()  # also of one that only waits: it is by its number that it gives its place back
        if not self.free(key, place):
            self.wait(key, place)
            raise WriteConflict(self, key, place)
        self._holders[key] = place
        if holder is not None and not isinstance(holder, Stage):
            holder.wound(WriteConflict(self, key, holder))

    def _share(self, first: Place) -> None:
        """Note what the place has that was the only one."""
        self._shared, self.only = True, None
        first.share()
        if first.stage is not None:
            self._holders.update(dict.fromkeys(first.stage, first.stage))
        if first.overlay:
            first.draw()  # it came earlier than whoever is second
            self._holders.update(dict.fromkeys(first.overlay, first))

    def free(self, key: bytes, place: Place) -> bool:
        """Return whether the event of a place may write a key now."""
        holder = self._holders.get(key)
        if holder is None:
            # Whoever came earlier and waits has it first.
            return all(one is place or place.draw() < one.draw() for one in self._waiting.get(key, ()))
        if isinstance(holder, Stage):
            return holder is place.stage  # the lanes of an agent see what the others have written in a round
        if holder.stage is not None and holder.stage is not place.stage and key in holder.stage:
            return False
        return place.draw() < holder.draw()

    def complete(self, place: Place) -> None:
        """The event of a place is complete: others may have its keys, or its round has them to its end."""
        for key in place.overlay:
            if place.stage is None:
                del self._holders[key]
            else:
                self._holders[key] = place.stage

    def give_up(self, place: Place) -> None:
        """The event of a place is not to be: its keys are as they were before."""
        stage = place.stage
        for key in place.overlay:
            if self._holders.get(key) is not place:
                continue  # an earlier event has taken it
            if stage is not None and key in stage:
                self._holders[key] = stage
            else:
                del self._holders[key]

    def keeps_waiting(self, stage: Stage) -> bool:
        """Return whether an event waits for a key of a round that is later than its own round, or than itself."""
        return any(
            one.stage is not stage and (one.draw() if one.stage is None else one.stage.number) < stage.number
            for key, waiting in self._waiting.items()
            if key in stage
            for one in waiting
        )

    def wanted(self, stage: Stage) -> bool:
        """Return whether an event of another agent waits for a key of a round, however late it came."""
        return any(one.stage is not stage for key, waiting in self._waiting.items() if key in stage for one in waiting)

    def end_round(self, stage: Stage) -> None:
        """A round is over, or begins anew: others may have its keys."""
        if self._shared:
            for key in stage:
                del self._holders[key]

    def wait(self, key: bytes, place: Place) -> None:
        """Note that a place waits for a key."""
        waiting = self._waiting.setdefault(key, [])
        if place not in waiting:
            waiting.append(place)

    def leave(self, key: bytes, place: Place) -> None:
        """Let others come first at a key, if the place waits for it."""
        waiting = self._waiting.get(key, [])
        if place in waiting:
            waiting.remove(place)
            if not waiting:
                del self._waiting[key]
