"""The log contract, over the network, to the one broker: `pelton.log.contract.Log` and `Group` for one worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.clock import Clock, wait_for
from pelton.errors import UnavailableError
from pelton.log.contract import (
    Group,
    GroupOptions,
    MemberInfo,
    OffsetRange,
    Position,
    RebalanceListener,
    RecordRules,
    TopicSpec,
)
from pelton.testing.simulation.broker import Broker
from pelton.testing.simulation.chance import Chance
from pelton.testing.simulation.group import SimulatedGroup
from pelton.testing.simulation.network import Network
from pelton.testing.simulation.weather import Weather

__all__ = ["Server", "SimulatedClock", "SimulatedLog"]

T = TypeVar("T")

#: What a run's clocks show at its beginning: milliseconds since the epoch.
START_MS = 1_700_000_000_000
#: How often a reader asks again for what is not there yet, in seconds.
_ASK_AGAIN_S = 0.01
#: How long a client waits until transactions are decided, in seconds.
_UNDECIDED_S = 5.0


class SimulatedClock:
    """The clocks of one process. skew_ms: by how much its wall clock is wrong."""

    def __init__(self, skew_ms: int = 0) -> None:
        self._skew_ms = skew_ms

    def time_ms(self) -> int:
        """Return the wall clock in milliseconds since the epoch."""
        return START_MS + self._skew_ms + int(asyncio.get_running_loop().time() * 1000)

    def monotonic(self) -> float:
        """Return seconds since the beginning of the run."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float, *, idle: bool = False) -> None:
        """Return after this many seconds of virtual time."""
        await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float, *, due: bool = False) -> None:
        """Return when an event is set, or after so many seconds of virtual time."""
        await wait_for(event, seconds)


@dataclass(slots=True)
class Server:
    """What all workers share."""

    broker: Broker
    network: Network
    chance: Chance
    weather: Weather
    #: By how much records are said to be larger than they are, so that few fill the queues.
    weight: int = 1
    _producers: count[int] = field(default_factory=count)

    def next_producer(self) -> int:
        """Return the id of a new producer."""
        return next(self._producers)


class SimulatedLog:
    """One worker's connection."""

    def __init__(self, server: Server, name: str, clock: Clock) -> None:
        self.server = server
        self.name = name
        self.clock = clock
        self.joined = 0
        self._news = asyncio.Event()

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Let go of everything."""

    async def call(self, what: str, serve: Callable[[Broker], T], *, voidable: bool = False) -> T:
        """Have the broker do something. Raises: UnavailableError, and what the broker raises."""
        broker = self.server.broker
        return await self.server.network.call(what, lambda: serve(broker), voidable=voidable)

    async def declare(self, specs: Iterable[TopicSpec]) -> Mapping[str, int]:
        """Create the topics that are missing and check those that exist."""
        wanted = list(specs)
        return await self.call("declare topics", lambda broker: broker.declare(wanted))

    async def partitions(self, topics: Iterable[str]) -> Mapping[str, int]:
        """Return topic -> number of partitions; topics that do not exist are missing."""
        wanted = set(topics)
        found = await self.call("describe topics", Broker.counts)
        return {name: number for name, number in found.items() if name in wanted}

    async def record_bytes_max(self, topics: Iterable[str]) -> Mapping[str, int]:
        """Return nothing: simulated topics take records of any size."""
        return {}

    async def record_rules(self, topics: Iterable[str]) -> Mapping[str, RecordRules]:
        """Return nothing: simulated topics take any record."""
        return {}

    async def deletions_ms(self, topics: Iterable[str]) -> Mapping[str, int]:
        """Return topic -> what it is declared with."""
        specs = self.server.broker.specs
        return {name: int(specs[name].config["delete.retention.ms"]) for name in topics if name in specs}

    async def topics(self) -> frozenset[str]:
        """Return the names of all topics."""
        return frozenset(await self.call("list topics", Broker.counts))

    async def delete_topics(self, topics: Iterable[str]) -> None:
        """Refuse: no simulated program deletes topics."""
        raise NotImplementedError

    async def trim(self, ends: Mapping[TopicPartition, int]) -> None:
        """Refuse: no simulated program repartitions."""
        raise NotImplementedError

    async def append(self, batches: Sequence[OutgoingBatch]) -> Sequence[int]:
        """Append outside of any transaction."""
        return await self.call("append", lambda broker: broker.append(batches), voidable=True)

    async def read(self, partition: TopicPartition, offset: int, *, bytes_max: int, timeout_s: float) -> RecordBatch:
        """Read committed records from an offset, outside of any group."""
        deadline = self.clock.monotonic() + timeout_s
        rows = self.server.chance.between(1, 40)
        while True:
            batch = await self.call(f"read {partition}@{offset}", lambda broker: broker.read(partition, offset, rows))
            left = deadline - self.clock.monotonic()
            if batch.next_offset > offset or left <= 0:
                return batch
            await self.news(left)

    async def offsets(
        self, partitions: Iterable[TopicPartition], *, decided: bool = False
    ) -> Mapping[TopicPartition, OffsetRange]:
        """Return the range of offsets each partition holds.

        decided: wait until open transactions over them are decided, and visible; without it, a real log may wait too.
        """
        wanted = sorted(partitions)

        def spans(broker: Broker) -> dict[TopicPartition, OffsetRange]:
            return {one: broker.span(one) for one in wanted}

        if not decided:
            return await self.call("offsets", spans)
        return await self._once("offsets", lambda broker: spans(broker) if broker.stable(wanted) else None)

    async def _once(self, what: str, serve: Callable[[Broker], T | None]) -> T:
        """Ask the broker until its answer is not None. Raises: UnavailableError."""
        deadline = self.clock.monotonic() + _UNDECIDED_S
        while self.clock.monotonic() < deadline:
            found = await self.call(what, serve)
            if found is not None:
                return found
            await self.clock.sleep(_ASK_AGAIN_S)
        raise UnavailableError(f"{what}: transactions are undecided")

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int | None:
        """Refuse: the runtime does not ask for it."""
        raise NotImplementedError

    async def group_members(self, group_id: str) -> Sequence[MemberInfo]:
        """Not simulated: nobody asks from outside."""
        raise NotImplementedError

    async def group_positions(
        self, group_id: str, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, Position]:
        """Return the group's committed positions, once open transactions over them are decided."""
        wanted = sorted(partitions)

        def serve(broker: Broker) -> dict[TopicPartition, Position] | None:
            if not broker.positions_stable(wanted):
                return None
            return {one: broker.positions[one] for one in wanted if one in broker.positions}

        return await self._once("positions", serve)

    async def join(self, options: GroupOptions, listener: RebalanceListener) -> Group:
        """Become a member of the group."""
        group = SimulatedGroup(self, options, listener)
        await group.join()
        return group

    def statistics(self) -> object:
        """Return nothing: the trace tells more."""
        return None

    def wake(self) -> None:
        """End a wait for news."""
        self._news.set()

    async def news(self, timeout_s: float) -> None:
        """Wait until there may be something new to read, or so long."""
        self._news.clear()
        news = self.server.broker.news
        news.append(self._news.set)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
        finally:
            news.remove(self._news.set)
