"""Which member gets which partition numbers: sticky, balanced, with standbys. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["Candidate", "Share", "share"]


class Candidate(NamedTuple):
    """A member that wants work: what it does now, and whose state it has."""

    member_id: str
    tasks: frozenset[int]
    held: frozenset[int]


class Share(NamedTuple):
    """The partition numbers a member processes, and those it keeps a warm copy of."""

    tasks: frozenset[int]
    standbys: frozenset[int]


def share(candidates: Sequence[Candidate], *, partitions: int, standby_replicas: int) -> Mapping[str, Share]:
    """Return each member's share: sizes differ by one at most; numbers stay where they are, or where their state is."""
    if not candidates:
        return {}
    ordered = sorted(candidates)
    load: dict[str, list[int]] = {candidate.member_id: [] for candidate in ordered}
    small, larger = divmod(partitions, len(ordered))
    left = set(range(partitions))
    for wanted in ("tasks", "held"):
        for candidate in ordered:
            mine = load[candidate.member_id]
            for number in sorted(getattr(candidate, wanted) & left):
                full = sum(len(numbers) > small for numbers in load.values())
                if len(mine) < small or (len(mine) == small and full < larger):
                    mine.append(number)
                    left.discard(number)
    for number in sorted(left):
        min(load.values(), key=len).append(number)
    copies: dict[str, set[int]] = {member_id: set() for member_id in load}
    for number in range(partitions):
        others = [c for c in ordered if number not in load[c.member_id]]
        others.sort(key=lambda c: (number not in c.held, len(copies[c.member_id])))
        for candidate in others[:standby_replicas]:
            copies[candidate.member_id].add(number)
    return {member_id: Share(frozenset(load[member_id]), frozenset(copies[member_id])) for member_id in load}
