"""What two agents that share a table must come to: a plain model of it, which uses nothing of the engine.

The events of both may be complete in any order, but one after the other: each must have found what the one before it
left. Amounts are positive, so what is sent tells the order: a total that two events have come to, or one that leaves
something out, is an update that was lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pelton.testing.simulation.ahead_models import Fault, Sent, Work
from pelton.testing.simulation.sharing import keys_of

__all__ = ["Sharing"]


@dataclass(slots=True)
class Sharing:
    """The shared table in one partition. totals: what it must hold."""

    totals: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])

    def committed(self, works: Mapping[str, Sequence[Work]], sent: Mapping[str, Sequence[Sent]]) -> None:
        """Take in a commit. Raises: Fault.

        works: by agent, the events that the position passes, without those that are given up. sent: what it sends.
        """
        updates: defaultdict[bytes, list[tuple[int, int, str]]] = defaultdict(list)
        for agent, done in works.items():
            expected = [(key, work) for work in done for key in keys_of(work.key, work.amount)]
            found = sorted(sent[agent], key=lambda one: int(one.source))  # events of several lanes may be gathered
            wanted = [(key, str(work.record.offset)) for key, work in expected]
            if [(one.key, one.source) for one in found] != wanted:
                raise Fault(f"{agent}: expected updates of {wanted}, found {found}")
            latest: dict[tuple[bytes, bytes], int] = {}
            for (key, work), one in zip(expected, found, strict=True):
                total = int(one.value or b"")
                if total < latest.get((key, work.key), 0):
                    raise Fault(f"{agent}: {one} overtakes an earlier event of its key")
                latest[key, work.key] = total
                updates[key].append((total, work.amount, f"{agent}@{one.source}"))
        for key in sorted(updates):
            self._follow(key, sorted(updates[key]))

    def _follow(self, key: bytes, updates: Sequence[tuple[int, int, str]]) -> None:
        """Go from update to update of a key, in the order of what they came to."""
        total = int(self.totals.get(key, 0))
        for came_to, amount, who in updates:
            if came_to != total + amount:
                raise Fault(f"{who} has added {amount} to {total} of {key!r} and come to {came_to}: an update is lost")
            total = came_to
        self.totals[key] = b"%d" % total
