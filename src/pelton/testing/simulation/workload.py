"""What goes in: a pure function of seed, partition and sequence number, which engine and oracle both start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from pelton.batch import OutgoingBatch
from pelton.testing.simulation.chance import Chance

__all__ = ["EVENTS", "MORE", "Happening", "Kind", "Workload"]

EVENTS = "events"
#: Has the same keys, for an agent that shares a table with one that reads the other.
MORE = "more"

#: plain: nothing special. slow: the agent waits in the middle. flaky: it fails at first. poison: it always fails.
#: leave: the agent's code returns after it.
Kind = Literal["plain", "slow", "flaky", "poison", "leave"]

_KINDS: tuple[Kind, ...] = ("plain",) * 12 + ("slow", "slow", "flaky", "poison", "leave")
#: Event time goes on by so much a record, in milliseconds; how far back a record may lie, and a straggler.
_STEP_MS, _DISORDER_MS, _LATE_MS = 700, 4_000, 30_000


class Happening(msgspec.Struct):
    """One event's value. number: its place in its partition, which is its offset, too."""

    kind: Kind
    amount: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    """The input of a run, in one topic.

    keys: how many in each partition. odd: how often a record is not what the agents want.
    """

    seed: str
    partitions: int
    records: int
    keys: int
    odd: float
    topic: str = EVENTS

    def record(self, partition: int, sequence: int) -> tuple[bytes | None, bytes | None, int]:
        """Return key, value and timestamp (milliseconds) of one record."""
        chance = Chance(f"{self.seed}/{partition}/{sequence}")
        key = b"key-%d-%d" % (partition, chance.between(1, self.keys))
        late_ms = chance.between(0, _LATE_MS if chance.happens(0.2) else _DISORDER_MS)
        at_ms = 1_600_000_000_000 + sequence * _STEP_MS - late_ms
        if chance.happens(self.odd):
            value = chance.pick([None, b"\xff\xfe not json", b'{"kind":"plain"}'])
            return (None if chance.happens(0.3) else key), value, at_ms
        happening = Happening(chance.pick(_KINDS), chance.between(1, 100), sequence)
        return key, msgspec.json.encode(happening), at_ms

    def batch(self, partition: int, sequences: range) -> OutgoingBatch:
        """Return a run of records, ready to be appended."""
        batch = OutgoingBatch(self.topic, partition)
        for sequence in sequences:
            batch.append(*self.record(partition, sequence))
        return batch
