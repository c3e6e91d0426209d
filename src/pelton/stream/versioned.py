"""The place of a table with history in a lane: what an event writes becomes a version when the event is complete."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge as merge_sorted
from operator import itemgetter

from pelton.errors import ConfigurationError
from pelton.state.cache import TableCache
from pelton.state.claims import Stage
from pelton.state.versions import StoredVersion, VersionCache
from pelton.stream.lane import ENTRY_BYTES, Lane, TableSlot
from pelton.window import as_ms

__all__ = ["VersionedSlot", "slot_over"]

#: The rows that a version takes beside the value of its table: itself, its key's head, and when it is replaced.
_ROWS = 3
#: What a version's row holds beside the table's own key and value: their numbers, times and marks.
_ROW_BYTES = 18


class VersionedSlot(TableSlot):
    """One table with history as one lane sees it.

    A version is an event's last write to a key, at the event's time. The unfinished event reads its own writes, in the
    past too: from its own time on.
    """

    __slots__ = ("_times", "versions")

    def __init__(
        self,
        lane: Lane,
        cache: TableCache,
        versions: VersionCache,
        stage: Stage | None,
        name: str = "",
        changelog: str = "",
    ) -> None:
        super().__init__(lane, cache, stage, name, changelog)
        self.plain = None  # merging appends versions
        self.versions = versions
        self._bytes_max -= _ROW_BYTES
        self._times: dict[bytes, int] = {}

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write a value, or delete the key with None, as an effect of the lane's event.

        Raises: RecordTooLargeError; ConfigurationError in an agent whose events overlap.
        """
        lane, time_of = self._lane, self.versions.time_of
        if self.stage is not None:
            raise ConfigurationError(
                f'table "{self.name}" has history, and agent {lane.agent} writes it with concurrency',
                hint="versions follow the order of the log: leave concurrency out of the agent that writes the table",
            )
        time_ms = lane.timestamp_ms if time_of is None else as_ms(time_of(lane.value))
        super().put(key, value)
        self._times[key] = time_ms
        lane.written += _ROWS * ENTRY_BYTES + (len(value) if value is not None else 0)

    def merge(self) -> None:
        """Make the event's writes visible to others, and versions of them: it is complete."""
        append, times = self.versions.append, self._times
        for key, value in self.overlay.items():
            append(key, value, times[key])
        times.clear()
        super().merge()

    def discard(self) -> None:
        """Forget the writes of an event that failed."""
        self._times.clear()
        super().discard()

    # -- the past ----------------------------------------------------------------------------------

    def at(self, key: bytes, when_ms: int) -> bytes | None:
        """Return what a key held at a time; None when it held nothing. Raises: HistoryExpiredError."""
        if key in self.overlay and when_ms >= self._since(key):
            self.versions.check(when_ms)
            return self.overlay[key]
        return self.versions.at(key, when_ms)

    def of(self, key: bytes) -> list[StoredVersion]:
        """Return the versions of a key that held at any time within the history, oldest first."""
        found = self.versions.of(key)
        if key not in self.overlay or (self.overlay[key] is None and (not found or found[-1].value is None)):
            return found
        since_ms = self._since(key)
        if found:
            found[-1] = found[-1]._replace(until_ms=since_ms)
        return [*found, StoredVersion(since_ms, None, self.overlay[key])]

    def items(self, when_ms: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) of all that held anything at a time, in order. Raises: HistoryExpiredError."""
        written = {key: self.at(key, when_ms) for key in sorted(self.overlay)}
        mine = ((key, value) for key, value in written.items() if value is not None)
        others = (item for item in self.versions.items(when_ms) if item[0] not in written)
        yield from merge_sorted(others, mine, key=itemgetter(0))

    def _since(self, key: bytes) -> int:
        """Return since when the event's own write holds."""
        return self.versions.since(key, self._times[key])


def slot_over(cache: TableCache, lane: Lane, stage: Stage | None, name: str, changelog: str) -> TableSlot:
    """Return a lane's place over the cache of a table, with history or without."""
    if cache.versions is None:
        return TableSlot(lane, cache, stage, name, changelog)
    return VersionedSlot(lane, cache, cache.versions, stage, name, changelog)
