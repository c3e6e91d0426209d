"""How the program gets on: what is committed, how long after a fault it goes on, how long it ever stood still."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from pelton.batch import TopicPartition
from pelton.errors import UnavailableError

Positions = Mapping[TopicPartition, int]

_SAMPLE_S = 0.2


@dataclass(slots=True)
class _Recovery:
    kind: str
    since_s: float
    before: Positions


class Progress:
    """Samples the committed positions.

    read: returns them. ends: the acknowledged end of each partition of the input; kept up by the producer.
    recoveries: (kind of fault, seconds from it until every partition has committed anew).
    standstills_s: partition -> the longest that it has committed nothing while there was something to do, outages
        left out.
    outage_standstill_s: the longest of all, with outages.
    """

    def __init__(self, read: Callable[[], Awaitable[Positions]], ends: Positions) -> None:
        self.positions: Positions = dict.fromkeys(ends, 0)
        self.recoveries: list[tuple[str, float]] = []
        self.standstills_s = dict.fromkeys(ends, 0.0)
        self.outage_standstill_s = 0.0
        self._read = read
        self._ends = ends
        self._moved_s = dict.fromkeys(ends, asyncio.get_running_loop().time())
        self._healthy_s = dict(self._moved_s)
        self._pending: list[_Recovery] = []
        self._outages = 0
        self._news = asyncio.Event()

    @property
    def committed(self) -> int:
        """How many events are committed."""
        return sum(self.positions.values())

    @property
    def standstill_s(self) -> float:
        """The longest standstill of any partition, outages left out."""
        return max(self.standstills_s.values())

    def begin_again(self) -> None:
        """Forget the standstills so far; one that is under way counts from its beginning."""
        self.standstills_s = dict.fromkeys(self._ends, 0.0)

    @property
    def standing_s(self) -> float:
        """For how long the slowest partition has stood still now, outages left out."""
        return asyncio.get_running_loop().time() - min(self._healthy_s.values())

    async def until_moved(self) -> None:
        """Wait until every partition has committed anew."""
        before = self.positions
        while any(position <= before[source] for source, position in self.positions.items()):
            self._news.clear()
            await self._news.wait()

    def fault(self, kind: str) -> None:
        """Take the time from now on until every partition has committed anew."""
        self._pending.append(_Recovery(kind, asyncio.get_running_loop().time(), self.positions))

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Do not count the time within: nothing can be committed."""
        self._outages += 1
        try:
            yield
        finally:
            self._outages -= 1
            self._healthy_s = dict.fromkeys(self._healthy_s, asyncio.get_running_loop().time())

    async def watch(self) -> None:
        """Sample until cancelled."""
        while True:
            try:
                self._sampled(await self._read())
            except UnavailableError:
                continue  # its own retries have waited already
            await asyncio.sleep(_SAMPLE_S)

    def _sampled(self, positions: Positions) -> None:
        now_s = asyncio.get_running_loop().time()
        for source, position in positions.items():
            before = self.positions[source]
            if position > before or position >= self._ends[source]:
                if position > before > 0:  # the start of the first workers is no standstill
                    self.outage_standstill_s = max(self.outage_standstill_s, now_s - self._moved_s[source])
                    if not self._outages:
                        self.standstills_s[source] = max(self.standstills_s[source], now_s - self._healthy_s[source])
                self._moved_s[source] = self._healthy_s[source] = now_s
        self.positions = positions
        self._news.set()
        for one in list(self._pending):
            if all(position > one.before[source] for source, position in positions.items()):
                self._pending.remove(one)
                self.recoveries.append((one.kind, now_s - one.since_s))
