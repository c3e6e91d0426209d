"""What a commit is, and when one is due.

    complete events ─stage─▶ one transaction in the log: changelogs, output, positions ─only then─▶ the stores

It takes complete events only, so it waits for nobody. What becomes of the tasks when it fails, the runtime decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.clock import Clock
from pelton.config import EngineConfig
from pelton.log.contract import Group, Position
from pelton.runtime.assignment import Assignment
from pelton.runtime.measures import Measures
from pelton.runtime.pace import Pace
from pelton.runtime.partition import StagedPartition, ends_of, route
from pelton.runtime.pressure import Pressure
from pelton.runtime.purging import Purge
from pelton.runtime.replicated import ReplicatedTables
from pelton.runtime.threads import in_thread
from pelton.runtime.topics import Topics
from pelton.runtime.tracing import CommitTrace, Tracing
from pelton.state.contract import Store, TableWrites

__all__ = ["Committing"]

_Writes = tuple[Store, Mapping[str, TableWrites]]


class Committing:
    """The commits of a worker, one at a time.

    lock: held by whoever commits, or must not meet a commit. commits: how many were made; failures: how many were not.
    """

    def __init__(
        self,
        group: Callable[[], Group],
        assignment: Assignment,
        topics: Topics,
        clock: Clock,
        config: EngineConfig,
        pressure: Pressure,
        purging: Purge,
        replicated: Callable[[], ReplicatedTables | None],
        measures: Measures,
        tracing: Tracing | None = None,
    ) -> None:
        self.lock = asyncio.Lock()
        self.pace = Pace(clock, config.commit_interval_ms / 1000)
        self.commits = 0
        self.failures = 0
        self._group = group
        self._assignment = assignment
        self._topics = topics
        self._clock = clock
        self._records_max = config.commit_records_max
        self._pressure = pressure
        self._purging = purging
        self._replicated = replicated
        self._measures = measures
        self._tracing = tracing

    # -- when ----------------------------------------------------------------------------------------------------

    async def until_worth_a_look(self, wake: asyncio.Event) -> None:
        """Wait until something may have become due."""
        answering = self._answering()
        await self._clock.wait(wake, self.pace.tick_s(answering=answering), due=answering)
        wake.clear()

    def due(self) -> bool:
        """Return whether it is time, there is enough, or the log has nothing more to read."""
        if self.pace.due(answering=self._answering()):
            return True
        if sum(partition.uncommitted for partition in self._assignment.running()) >= self._records_max:
            return True
        return self._pressure.full() or self._quiet()

    def _answering(self) -> bool:
        """Whether a commit soon is worth it, for answers to requests or results of calls."""
        return any(partition.answering or partition.urgent for partition in self._assignment.running())

    def _quiet(self) -> bool:
        """Whether there is something to commit, and all tasks have done everything there is to read."""
        if not any(partition.staged for partition in self._assignment.running()):
            return False
        lag = self._group().lag()
        return all(partition.idle and not partition.behind(lag) for partition in self._assignment.running())

    @property
    def under_way(self) -> bool:
        """Whether a commit is being made, or there is something to commit."""
        return self.lock.locked() or any(partition.staged for partition in self._assignment.running())

    # -- what ----------------------------------------------------------------------------------------------------

    async def commit(self) -> None:
        """Make the effects of all complete events durable and visible, then write the stores. The caller has the lock.

        Raises: what the log or a store raises. Whatever was staged is gone then, so no task may go on from where it is.
        """
        self.pace.begin()
        now_ms = self._clock.time_ms()
        running, tables = self._assignment.running(), self._replicated()
        staged = [one for partition in running if (one := partition.stage(now_ms)) is not None]
        self._pressure.taken()
        replicated = tables.stage(now_ms) if tables is not None else []
        if not staged and not replicated:
            return
        events = sum(one.events - one.partition.committed_events for one in staged)
        trace = self._tracing.commit() if self._tracing is not None else None
        try:
            ends = await self._publish(staged, replicated, trace)
            published_s = self.pace.elapsed_s()
            await self._store(staged, ends)
        except BaseException as error:
            if trace is not None:
                trace.failed(error)
            raise
        if tables is not None:
            tables.committed(ends)
        if trace is not None:
            trace.done(events)
        self.commits += 1
        elapsed_s = self.pace.elapsed_s()
        self.pace.succeeded()
        self._pressure.ended(elapsed_s)
        self._measures.commit_s.observe(elapsed_s)
        self._measures.store_write_s.observe(elapsed_s - published_s)
        self._measures.commit_records.observe(events)

    def failed(self) -> None:
        """Say that a commit has raised, and that its tasks begin again."""
        self.failures += 1
        self._pressure.ended(self.pace.elapsed_s(), failed=True)

    async def _publish(
        self, staged: Sequence[StagedPartition], replicated: Sequence[OutgoingBatch], trace: CommitTrace | None
    ) -> Mapping[TopicPartition, int]:
        """Commit what was staged to the log; return where what was written ends."""
        sends = [(one.partition.number, one.sends) for one in staged]
        positions: dict[TopicPartition, Position] = {}
        for one in staged:
            positions |= one.positions
        unknown = {message.topic for _, messages in sends for message in messages} - self._topics.lasting
        if unknown:
            await self._topics.learn(unknown)
        changelogs = (batch for one in staged for batch in one.changelogs.values())
        outputs = route(sends, self._topics.counts)
        writes = [*outputs, *changelogs, *replicated]
        ends = ends_of(writes, await self._group().commit(writes, positions))
        if trace is not None:
            trace.published(outputs)
        self._purging.committed(positions)
        for batch in writes:
            self._measures.written[batch.topic] += len(batch)
        return ends

    async def _store(self, staged: Iterable[StagedPartition], ends: Mapping[TopicPartition, int]) -> None:
        """Write what is durable in the log to the local stores."""
        cache_bytes_max = self._assignment.cache_bytes_max()
        writes: list[_Writes] = []
        for one in staged:
            number = one.partition.number
            offsets = {name: ends[TopicPartition(batch.topic, number)] for name, batch in one.changelogs.items()}
            if tables := one.partition.committed(one, offsets):
                writes.append((one.partition.store, tables))
        if writes:
            await in_thread(_write, writes)
        for one in staged:
            one.partition.stored(cache_bytes_max)


def _write(writes: Iterable[_Writes]) -> None:
    for store, tables in writes:
        store.write(tables)
