"""The partitions that are this worker's: each is restored, then runs, until it goes.

What comes is restored in the background, one partition beside the other, while those that run go on. Whether a commit
comes before one goes is for the caller to say: `drop` only stops it and forgets what it staged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pelton.batch import TopicPartition
from pelton.clock import Clock
from pelton.config import EngineConfig
from pelton.errors import DiskError, OffsetOutOfRangeError, StateCorruptedError, UnavailableError
from pelton.log.contract import Group, Log, OffsetRange, Position
from pelton.runtime.ahead import AheadTask
from pelton.runtime.concurrent import ConcurrentTask
from pelton.runtime.partition import Partition, decode_agent_positions, names_agent
from pelton.runtime.restore import restore
from pelton.runtime.retry import RETRY_MAX_S, RETRY_S
from pelton.runtime.spec import AgentSpec, Program
from pelton.runtime.stores import LocalStores
from pelton.runtime.task import Task
from pelton.runtime.task_options import TaskOptions
from pelton.runtime.topics import Topics
from pelton.state.cache import TableCache

__all__ = ["Assignment", "Surroundings"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a partition is started with.

    group: returns this worker's membership. global_caches: returns the caches of the global tables.
    """

    program: Program
    topics: Topics
    stores: LocalStores
    log: Log
    clock: Clock
    config: EngineConfig
    task_options: TaskOptions
    group: Callable[[], Group]
    global_caches: Callable[[], Mapping[str, TableCache]]


class Assignment:
    """Partitions by number.

    partitions: those whose stores are open, restored or not. starting: what restores them. ready: set when all that
    is this worker's runs. paused: the agents that hand out nothing. events_gone, dead_lettered_gone: what those have
    done that are gone.
    leaving: awaited before a partition goes.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self.partitions: dict[int, Partition] = {}
        self.starting: dict[int, asyncio.Task[None]] = {}
        self.ready = asyncio.Event()
        self.paused: frozenset[str] = frozenset()
        self.events_gone = 0
        self.dead_lettered_gone = 0
        self.leaving: Callable[[int], Awaitable[None]] | None = None
        self._with = surroundings
        self._dead_lettering = _dead_lettering(surroundings.program)

    def numbers(self) -> set[int]:
        """Return the numbers of all, of those too that are being opened."""
        return {*self.partitions, *self.starting}

    def running(self) -> list[Partition]:
        """Return the partitions that are restored and not closed."""
        return [partition for partition in self.partitions.values() if partition.state == "running"]

    def cache_bytes_max(self) -> int:
        """Return one cache's share of what all of them may hold."""
        tables = self._with.program.tables.values()
        caches = len(self.partitions) * sum(not spec.replicated for spec in tables)
        return self._with.config.table_cache_bytes_max // max(1, caches)

    def begin(self, number: int) -> None:
        """Restore a partition number and start its tasks, while the others go on."""
        self._with.group().pause(self._with.topics.sources(number))
        self.starting[number] = asyncio.create_task(self._start(number), name=f"restore {number}")

    async def drop(self, numbers: Iterable[int]) -> None:
        """Stop the tasks of these partitions at once and forget what they staged."""
        for number in list(numbers):
            starting = self.starting.pop(number, None)
            if starting is not None and starting is not asyncio.current_task():
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
            partition = self.partitions.pop(number, None)
            if partition is None:
                continue
            if self.leaving is not None:
                await self.leaving(number)
            self.events_gone += partition.committed_events
            self.dead_lettered_gone += sum(task.dead_lettered for task in partition.tasks)
            self._with.task_options.measures.left(number)
            for task in partition.tasks:
                await task.cancel()
            partition.state = "closed"

    def settle(self) -> None:
        """Look whether all that is this worker's runs: after a start, and after what was not started yet has gone."""
        # Those whose stores are still being opened are not among the partitions yet.
        if {one.number for one in self.running()} >= self.numbers():
            self.ready.set()

    def reap(self) -> None:
        """Forget the starts that have come to their end; raises what a start ended of."""
        for number, starting in list(self.starting.items()):
            if starting.done():
                del self.starting[number]
                if not starting.cancelled():
                    starting.result()

    def waiting(self) -> list[str]:
        """Return what this worker waits for before all that is its own runs; nothing when it does."""
        if not self.numbers() and not self.ready.is_set():
            return ["no assignment has come yet"]
        opening = [f"partition {number} is being opened" for number in self.starting if number not in self.partitions]
        return sorted(opening) + [
            f"partition {number} is being restored, {one.restored} of {one.restore_total} records{_left(one)}"
            for number, one in sorted(self.partitions.items())
            if one.state != "running"
        ]

    # -- a start -----------------------------------------------------------------------------------

    async def _start(self, number: int) -> None:
        stores, delay = self._with.stores, RETRY_S
        while True:
            try:
                await self._try_start(number)
                return
            except StateCorruptedError as error:
                logger.error("the store of partition %d is discarded and restored: %s", number, error)
                await stores.discard(number)
            except (UnavailableError, OffsetOutOfRangeError) as error:
                logger.warning("partition %d cannot start yet, trying again in %.1f s: %s", number, delay, error)
                if isinstance(error, DiskError):
                    await stores.close(number)
                await self._with.clock.sleep(delay)
                delay = min(delay * 2, RETRY_MAX_S)

    async def _try_start(self, number: int) -> None:
        around = self._with
        tables, store = around.topics.tables(number), await around.stores.of(number)
        partition = self.partitions[number] = Partition(number, store, tables)
        began = around.clock.monotonic()

        def progress(done: int, total: int) -> None:
            partition.restored, partition.restore_total = done, total
            partition.restore_s = around.clock.monotonic() - began

        # The positions first: once they are known to be stable, no earlier owner can commit any more, and the end of
        # the changelog that `restore` then finds holds everything that belongs to them.
        sources = around.topics.sources(number)
        committed = dict(await around.group().committed(sources))
        await restore(
            around.log,
            store,
            tables.values(),
            number,
            bytes_max=around.config.restore_bytes_max,
            clock=around.clock,
            progress=progress,
        )
        around.task_options.measures.restore_s.observe(around.clock.monotonic() - began)
        await self._start_tasks(partition, sources, committed)

    async def _start_tasks(
        self, partition: Partition, sources: list[TopicPartition], committed: dict[TopicPartition, Position]
    ) -> None:
        replayed = {topic for spec in self._with.program.agents.values() if spec.replays for topic in spec.sources}
        asked = [source for source in sources if source not in committed or source.topic in replayed]
        spans: Mapping[TopicPartition, OffsetRange] = await self._with.log.offsets(asked) if asked else {}
        partition.open_caches(committed, self.cache_bytes_max())
        for spec in self._with.program.agents.values():
            partition.tasks.append(self._make_task(spec, partition, _starts(spec, sources, committed, spans)))
        group = self._with.group()
        partition.state = "running"
        for task in partition.tasks:
            if task.spec.name in self.paused:
                task.pause()
            task.start()
        wanted = partition.wanted()
        for source, offset in wanted.items():
            group.seek(source, offset)
        group.resume(wanted)
        self.settle()

    def _make_task(self, spec: AgentSpec, partition: Partition, starts: _Starts) -> Task:
        caches = {**partition.caches, **self._with.global_caches()}
        kind = ConcurrentTask if spec.concurrency > 1 else AheadTask
        duties = self._dead_lettering[spec.name]
        task = kind(spec, partition.number, caches, partition, starts.offsets, duties, self._with.task_options)
        if spec.replays:
            partition.replay_to[spec.name] = starts.ends
        return task


class _Starts(NamedTuple):
    """Where an agent begins in each of its partitions, and, when it replays them, where they end now."""

    offsets: dict[TopicPartition, int]
    ends: dict[TopicPartition, int]


def _starts(
    spec: AgentSpec,
    sources: Iterable[TopicPartition],
    committed: Mapping[TopicPartition, Position],
    spans: Mapping[TopicPartition, OffsetRange],
) -> _Starts:
    own = [source for source in sources if source.topic in spec.sources]
    offsets: dict[TopicPartition, int] = {}
    for source in own:
        position = committed.get(source)
        if position is None or (spec.replays and not names_agent(position, spec.name)):
            position = Position(spans[source].start)
        offsets[source] = decode_agent_positions(position, [spec.name])[spec.name]
    return _Starts(offsets, {source: spans[source].end for source in own} if spec.replays else {})


def _left(partition: Partition) -> str:
    """Return how long a restore takes from here, as far as anybody can tell."""
    seconds = partition.statistics().restore_left_s
    return f", {seconds:.0f} s left" if seconds else ""


def _dead_lettering(program: Program) -> dict[str, frozenset[str]]:
    """Give each topic to the first agent that reads it in its way, for the records that cannot be decoded so."""
    taken: set[tuple[str, int, bool]] = set()
    duties: dict[str, frozenset[str]] = {}
    for agent in program.agents.values():
        ways = {name: (name, id(source.value_codec), source.tombstones) for name, source in agent.sources.items()}
        duties[agent.name] = frozenset(name for name, way in ways.items() if way not in taken)
        taken.update(ways.values())
    return duties
