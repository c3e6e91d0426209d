"""How far event time has come: the watermark, and the grace past it.

The watermark of a partition is the greatest timestamp seen, less the disorder allowed for. The watermark of several
is the least of them, because any of them may still bring something older. It depends on the records alone, never on
a clock (invariant I8): the same input gives the same watermark.
Source: Akidau et al., The Dataflow Model, VLDB 2015, section 2.3.
"""

from __future__ import annotations

from collections.abc import Iterable

from pelton.errors import ConfigurationError

__all__ = ["Watermark"]


class Watermark:
    """The progress of event time over some partitions, with bounded disorder.

        empty ──observe──▶ active ──set_idle──▶ idle
                             ▲                    │
                             └──────observe───────┘

    A partition that has shown no record yet, and is not idle, holds the watermark back: it is None then.

    out_of_orderness_ms: how much older than the newest a record may be and still be on time.
    grace_ms: how long past the watermark a window goes on taking late records.
    Raises: ConfigurationError if either is negative.
    """

    def __init__(self, partitions: Iterable[int], *, out_of_orderness_ms: int = 0, grace_ms: int = 0) -> None:
        for name, value in (("out_of_orderness_ms", out_of_orderness_ms), ("grace_ms", grace_ms)):
            if value < 0:
                raise ConfigurationError(f"{name}: expected 0 milliseconds or more, got {value}")
        self.out_of_orderness_ms = out_of_orderness_ms
        self.grace_ms = grace_ms
        self._latest_ms: dict[int, int | None] = dict.fromkeys(partitions)
        self._idle: set[int] = set()
        self._reached_ms: int | None = None

    def observe(self, partition: int, timestamp_ms: int) -> None:
        """Note a timestamp; of a batch, the greatest is enough. It ends the partition's idleness."""
        latest = self._latest_ms.get(partition)
        if latest is None or timestamp_ms > latest:
            self._latest_ms[partition] = timestamp_ms
        self._idle.discard(partition)

    def set_idle(self, partition: int) -> None:
        """Leave a partition out of the watermark until it shows a record again."""
        self._idle.add(partition)

    def remove(self, partition: int) -> None:
        """Forget a partition that belongs to somebody else now."""
        self._latest_ms.pop(partition, None)
        self._idle.discard(partition)

    @property
    def watermark_ms(self) -> int | None:
        """No record older than this is expected; None while that is not known. Never goes back."""
        latest = [value for partition, value in self._latest_ms.items() if partition not in self._idle]
        known = [value for value in latest if value is not None]
        if known and len(known) == len(latest):
            least = min(known) - self.out_of_orderness_ms
            if self._reached_ms is None or least > self._reached_ms:
                self._reached_ms = least
        return self._reached_ms

    def is_closed(self, window_end_ms: int) -> bool:
        """Return whether a window that ends then is final: the watermark has passed its end and the grace."""
        watermark_ms = self.watermark_ms
        return watermark_ms is not None and window_end_ms + self.grace_ms <= watermark_ms

    def is_late(self, timestamp_ms: int) -> bool:
        """Return whether a record came after the watermark had passed it (it may still be within the grace)."""
        watermark_ms = self.watermark_ms
        return watermark_ms is not None and timestamp_ms < watermark_ms
