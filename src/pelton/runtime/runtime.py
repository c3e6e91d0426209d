"""The runtime: it joins the group, fetches batches, runs the tasks, and commits what came of them.

    fetch ─▶ Partition n: tasks ─▶ staged effects ─▶ commit (one transaction) ─▶ stores
              ▲                                         │
              └────── restore, restart from the committed positions ◀── fenced, or log unavailable

Three coroutines share the work: the fetch loop, which also carries the rebalances; the commit loop, which decides
when to commit; and a lane for each agent and partition. They meet on one event loop, and the only lock is that of the
commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.clock import Clock, SystemClock
from pelton.config import EngineConfig
from pelton.errors import (
    CopartitioningError,
    FencedError,
    OffsetOutOfRangeError,
    StateCorruptedError,
    UnavailableError,
)
from pelton.log.contract import (
    Group,
    GroupOptions,
    Guarantee,
    Log,
    MemberInfo,
    OffsetRange,
    Position,
    RebalanceListener,
    TopicSpec,
)
from pelton.runtime.concurrent import ConcurrentTask
from pelton.runtime.deadletter import dead_letter_topic
from pelton.runtime.partition import (
    Partition,
    PartitionStatistics,
    StagedPartition,
    decode_agent_positions,
    route,
)
from pelton.runtime.replicated import ReplicatedTables, position_table
from pelton.runtime.restore import restore
from pelton.runtime.source import SharedBatch
from pelton.runtime.spec import AgentSpec, TableSpec
from pelton.runtime.task import Task, TaskOptions, TaskStatistics
from pelton.runtime.threads import in_thread
from pelton.state.contract import Store, StoreFactory

__all__ = ["Program", "Runtime", "RuntimeOptions", "RuntimeStatistics"]

logger = logging.getLogger(__name__)

#: How often the commit loop looks up when nothing wakes it, in seconds.
_TICK_S = 0.05
#: How long a fetch waits for its first record; a stop or a rebalance cuts it short.
_FETCH_S = 0.5
#: The first wait after the log was unavailable; doubled each time.
_RETRY_S = 0.1
_RETRY_MAX_S = 5.0
#: How long a lane may take to come to the end of its event when its partition leaves.
_REVOKE_S = 1.0
#: The store number of the replicated tables; partitions begin at 0.
_REPLICATED = -1
#: A dead letter is its record and some headers more: whatever a topic takes, the letters' topic must.
_LETTERS_CONFIG = {"max.message.bytes": str(128 * 1024 * 1024)}


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: the agents, the tables, and the topics they send to.

    outputs: topics that agents send to; created, or checked, at start-up.
    """

    agents: Mapping[str, AgentSpec]
    tables: Mapping[str, TableSpec]
    outputs: Mapping[str, TopicSpec]

    def sources(self) -> dict[str, TopicSpec]:
        """Return the topics that agents read."""
        return {name: source.topic for agent in self.agents.values() for name, source in agent.sources.items()}


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """How to run it.

    directory: where the stores are kept. address: host:port of this worker's web server, told to the group.
    partitions: how many a topic gets that does not say and does not exist.
    instance_id, returns: see `GroupOptions`.
    """

    app_id: str
    directory: Path
    config: EngineConfig
    guarantee: Guarantee = "exactly_once"
    partitions: int = 8
    address: str = ""
    instance_id: str | None = None
    returns: bool = False
    standby_replicas: int = 0
    session_timeout_ms: int = 45_000
    heartbeat_interval_ms: int = 3_000


@dataclass(frozen=True, slots=True)
class RuntimeStatistics:
    """What the runtime has done since it started, and where it stands.

    records_in: events whose handling is complete; committed_records: those that are committed too.
    lag: for each partition, offsets between its position and its end, as last heard.
    """

    records_in: int
    committed_records: int
    commits: int
    commit_failures: int
    rebalances: int
    dead_lettered: int
    lag: Mapping[TopicPartition, int]
    partitions: tuple[PartitionStatistics, ...]
    tasks: tuple[TaskStatistics, ...]


class Runtime:
    """One worker's engine."""

    def __init__(
        self,
        program: Program,
        log: Log,
        stores: StoreFactory,
        options: RuntimeOptions,
        clock: Clock | None = None,
        on_assigned: Callable[[frozenset[int]], Awaitable[None]] | None = None,
    ) -> None:
        self.program = program
        self.options = options
        self.partitions: dict[int, Partition] = {}
        self.counts: dict[str, int] = {}
        self.replicated: ReplicatedTables | None = None
        self.ready = asyncio.Event()
        self._log = log
        self._stores = stores
        self._clock = clock or SystemClock()
        self._on_assigned = on_assigned
        self._group: Group | None = None
        self._open_stores: dict[int, Store] = {}
        self._starting: dict[int, asyncio.Task[None]] = {}
        self._paused: set[int] = set()
        self._wake = asyncio.Event()
        self._commit_lock = asyncio.Lock()
        self._last_commit = 0.0
        self._events_gone = 0
        self._dead_lettered_gone = 0
        self._commits = 0
        self._commit_failures = 0
        self._rebalances = 0
        self._stopping = False
        self._loops: list[asyncio.Task[None]] = []
        config = options.config
        self._task_options = TaskOptions(
            clock=self._clock,
            slice_s=config.slice_ms / 1000,
            retries_max=config.agent_retries_max,
            retry_backoff_s=config.agent_retry_backoff_ms / 1000,
            dead_letters=dead_letter_topic(options.app_id),
            settled=self._wake.set,
        )
        self._dead_lettering = _dead_lettering(program)
        self._local_tables = {name: spec for name, spec in program.tables.items() if not spec.replicated}

    # -- life --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Declare the topics, join the group and begin.

        Raises: ConfigurationError (TopicMismatch, CopartitioningError), UnavailableError.
        """
        await self._declare()
        await self._start_replicated()
        options = self.options
        held = await in_thread(self._stores.held, options.directory)
        listener = RebalanceListener(revoked=self._revoked, assigned=self._assigned, lost=self._lost)
        self._group = await self._log.join(
            GroupOptions(
                group_id=options.app_id,
                topics=frozenset(self.program.sources()),
                guarantee=options.guarantee,
                held=frozenset(number for number in held if number >= 0),
                address=options.address,
                instance_id=options.instance_id,
                returns=options.returns,
                standby_replicas=options.standby_replicas,
                session_timeout_ms=options.session_timeout_ms,
                heartbeat_interval_ms=options.heartbeat_interval_ms,
                fetch_bytes_max=options.config.fetch_bytes_max,
            ),
            listener,
        )
        self._last_commit = self._clock.monotonic()
        self._loops = [
            asyncio.create_task(self._fetch_loop(), name="pelton fetch"),
            asyncio.create_task(self._commit_loop(), name="pelton commit"),
        ]

    async def run(self) -> None:
        """Wait until the engine ends; raises what ended it."""
        if self._loops:
            done, _ = await asyncio.wait(self._loops, return_when=asyncio.FIRST_COMPLETED)
            for loop in done:
                if not self._stopping:
                    loop.result()

    async def stop(self) -> None:
        """Finish the events under way, commit, leave the group. Idempotent."""
        if self._stopping:
            return
        self._stopping = True
        # A commit that is cut off would take its staged effects with it, and the next one would pass them over: with
        # the lock in hand, neither loop is in the middle of one.
        async with self._commit_lock:
            for loop in self._loops:
                loop.cancel()
            await asyncio.gather(*self._loops, return_exceptions=True)
        try:
            if self._group is not None:
                await self._release({*self.partitions, *self._starting})
        finally:
            # Also after an error that no commit gets past: others must have the partitions, and the stores be closed.
            if self._group is not None:
                await self._group.leave()
            if self.replicated is not None:
                await self.replicated.stop()
            await self._close_stores(set())

    async def _declare(self) -> None:
        """Create or check all topics, and check that what belongs together has the same number of partitions."""
        # Letters have the timestamps of their records: by any retention, those of old records would be gone at once.
        dead_letters = TopicSpec(self._task_options.dead_letters, retention_ms=-1, config=_LETTERS_CONFIG)
        topics = {**self.program.outputs, **self.program.sources(), dead_letters.name: dead_letters}
        existing = await self._log.partitions(topics)
        default = self.options.partitions
        specs = [spec if name in existing else _with_partitions(spec, default) for name, spec in topics.items()]
        self.counts = dict(await self._log.declare(specs))
        self.counts |= await self._log.declare(self._changelog(spec) for spec in self.program.tables.values())
        self._check_copartitioning()

    async def _learn(self, topics: set[str]) -> None:
        """Find out about topics that a message goes to and nobody declared; one that is missing is made."""
        found = await self._log.partitions(topics)
        missing = [TopicSpec(name, self.options.partitions) for name in sorted(topics - set(found))]
        self.counts |= {**found, **(await self._log.declare(missing))}

    def _changelog(self, table: TableSpec) -> TopicSpec:
        """Return a table's changelog, with as many partitions as the topics of the agents that use it."""
        spec = table.changelog
        if spec.partitions is not None:
            return spec
        users = [agent for agent in self.program.agents.values() if table.name in agent.tables]
        counts = [self.counts[topic] for agent in users or self.program.agents.values() for topic in agent.sources]
        return _with_partitions(spec, max(counts, default=self.options.partitions))

    def _check_copartitioning(self) -> None:
        for agent in self.program.agents.values():
            for name in sorted(agent.tables & set(self._local_tables)):
                table = self.counts[self.program.tables[name].changelog.name]
                for topic in agent.sources:
                    if self.counts[topic] != table:
                        raise CopartitioningError(
                            f'agent {agent.name} uses table "{name}" with {table} partitions, '
                            f'but reads topic "{topic}" with {self.counts[topic]}',
                            hint="give both the same number of partitions, or repartition the stream with group_by",
                            topic=topic,
                        )

    async def _start_replicated(self) -> None:
        tables = [spec for spec in self.program.tables.values() if spec.replicated]
        if not tables:
            return
        marks = [position_table(t.name, n) for t in tables for n in range(self.counts[t.changelog.name])]
        names = [*(spec.name for spec in tables), *marks]
        store = await in_thread(self._stores.open, self.options.directory, _REPLICATED, names)
        self.replicated = ReplicatedTables(self._log, store, tables, self.counts, self.options.config, self._clock)
        await self.replicated.start()

    # -- fetching ----------------------------------------------------------------------------------

    @property
    def group(self) -> Group:
        """This worker's membership; only after `start`."""
        assert self._group is not None
        return self._group

    async def _fetch_loop(self) -> None:
        bytes_max = self.options.config.fetch_bytes_max
        delay = _RETRY_S
        while True:
            try:
                batches = await self.group.fetch(bytes_max=bytes_max, timeout_s=_FETCH_S)
            except UnavailableError as error:
                logger.warning("the log does not answer, trying again in %.1f s: %s", delay, error)
                await self._clock.sleep(delay)
                delay = min(delay * 2, _RETRY_MAX_S)
                continue
            except OffsetOutOfRangeError as error:
                await self._go_where_records_are(error)
                continue
            delay = _RETRY_S
            self._dispatch(batches)
            await asyncio.sleep(0)

    async def _go_where_records_are(self, error: OffsetOutOfRangeError) -> None:
        """Read on from the first record that the log still holds, and say that others are gone (invariant I7)."""
        source = TopicPartition(error.topic or "", error.partition or 0)
        if error.topic is None or error.partition is None or source not in self.group.assignment():
            raise error
        span = (await self._log.offsets([source]))[source]
        if error.offset is None or error.offset >= span.start:
            raise error  # past the end: another topic goes by this name now, and nobody can tell where to go on
        logger.error("records were lost, %s is read from offset %d on: %s", source, span.start, error)
        self.group.seek(source, span.start)

    def _dispatch(self, batches: Iterable[RecordBatch]) -> None:
        """Hand each batch to the tasks that read its topic."""
        for batch in batches:
            partition = self.partitions.get(batch.partition)
            if partition is None or partition.state != "running":
                continue  # it left while the fetch was under way; whoever owns it now fetches it again
            shared = SharedBatch(batch)
            for task in partition.tasks:
                if batch.topic in task.spec.sources:
                    task.put(shared)
            if partition.queued_bytes > self.options.config.task_queue_bytes_max:
                self._paused.add(partition.number)
                self.group.pause(self._sources(partition.number))

    def _resume_drained(self) -> None:
        """Fetch again for partitions whose queues are half empty."""
        for number in list(self._paused):
            partition = self.partitions.get(number)
            if partition is None:
                self._paused.discard(number)
            elif partition.queued_bytes < self.options.config.task_queue_bytes_max // 2:
                self._paused.discard(number)
                self.group.resume(self._sources(number))

    def _sources(self, number: int) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for topic in self.program.sources() if number < self.counts[topic]]

    # -- committing --------------------------------------------------------------------------------

    async def _commit_loop(self) -> None:
        while True:
            with suppress(TimeoutError):
                # Not wait_for: before Python 3.12 it swallows a cancellation that meets the event, and `stop` hangs.
                async with asyncio.timeout(_TICK_S):
                    await self._wake.wait()
            self._wake.clear()
            self._resume_drained()
            self._raise_crashes()
            if self._commit_due():
                await self.commit()

    def _commit_due(self) -> bool:
        """Commit when there is enough, when it is time, or when the log has nothing more to read."""
        config = self.options.config
        if self._clock.monotonic() - self._last_commit >= config.commit_interval_ms / 1000:
            return True
        if sum(partition.uncommitted for partition in self._running()) >= config.commit_records_max:
            return True
        return self._quiet()

    def _quiet(self) -> bool:
        """Whether there is something to commit, and all tasks have done everything there is to read."""
        if not any(partition.staged for partition in self._running()):
            return False
        lag = self.group.lag()
        for partition in self._running():
            if not partition.idle or any(lag.get(source, 0) for source in self._sources(partition.number)):
                return False
        return True

    def _raise_crashes(self) -> None:
        errors = [task.crash() for partition in self.partitions.values() for task in partition.tasks]
        errors.append(self.replicated.crash() if self.replicated is not None else None)
        for error in errors:
            if error is not None:
                raise error
        for number, starting in list(self._starting.items()):
            if starting.done():
                del self._starting[number]
                if not starting.cancelled():
                    starting.result()

    def _running(self) -> list[Partition]:
        return [partition for partition in self.partitions.values() if partition.state == "running"]

    async def commit(self) -> bool:
        """Make the effects of all complete events durable and visible, then write the stores.

        Returns: False when the commit failed and the tasks began again from the last one.
        """
        async with self._commit_lock:
            self._last_commit = self._clock.monotonic()
            now_ms = self._clock.time_ms()
            staged = [one for partition in self._running() if (one := partition.stage(now_ms)) is not None]
            replicated = self.replicated.stage(now_ms) if self.replicated is not None else []
            if not staged and not replicated:
                return True
            try:
                await self._commit(staged, replicated)
            except (FencedError, UnavailableError) as error:
                self._commit_failures += 1
                await self._abandon(error)
                return False
            except BaseException:
                # What was staged is gone with this error. The worker ends of it, and the commit that it tries on its
                # way out must not pass over those events (invariants I1, I7).
                for partition in self._running():
                    partition.state = "closed"
                raise
            self._commits += 1
            return True

    async def _commit(self, staged: Sequence[StagedPartition], replicated: Sequence[OutgoingBatch]) -> None:
        """Commit what was staged to the log, then to the stores."""
        writes = [batch for one in staged for batch in one.changelogs.values()] + [*replicated]
        sends = [(one.partition.number, one.sends) for one in staged]
        positions: dict[TopicPartition, Position] = {}
        for one in staged:
            positions |= one.positions
        unknown = {message.topic for _, messages in sends for message in messages} - set(self.counts)
        if unknown:
            await self._learn(unknown)
        writes += route(sends, self.counts)
        ends = _ends(writes, await self.group.commit(writes, positions))
        await self._store(staged, ends)
        if self.replicated is not None:
            self.replicated.committed(ends)

    async def _store(self, staged: Iterable[StagedPartition], ends: Mapping[TopicPartition, int]) -> None:
        """Write what is durable in the log to the local stores."""
        cache_bytes_max = self.options.config.table_cache_bytes_max // max(
            1, len(self.partitions) * len(self._local_tables)
        )
        for one in staged:
            number = one.partition.number
            offsets = {name: ends[TopicPartition(batch.topic, number)] for name, batch in one.changelogs.items()}
            writes = one.partition.committed(one, offsets)
            if writes:
                await in_thread(one.partition.store.write, writes)
            one.partition.stored(cache_bytes_max)

    async def _abandon(self, error: Exception) -> None:
        """A commit failed: forget all staged work, and begin again from what the log says is committed."""
        logger.warning("commit failed, going back to the last one: %s", error)
        numbers = [partition.number for partition in self._running()]
        await self._drop(numbers)
        if self.replicated is not None:
            self.replicated.reset()
        if isinstance(error, UnavailableError):
            for number in numbers:
                self._begin(number)

    # -- partitions come and go --------------------------------------------------------------------

    async def _assigned(self, sources: frozenset[TopicPartition], standbys: frozenset[int]) -> None:
        """Open what is new and restore it in the background; the rest goes on."""
        self._rebalances += 1
        numbers = {source.partition for source in sources}
        await self._drop({*self.partitions, *self._starting} - numbers)
        await self._close_stores(numbers)
        for number in sorted(numbers):
            if number not in self.partitions and number not in self._starting:
                self._begin(number)
        self.group.update(held=frozenset(self._open_stores))
        logger.info("assigned partitions %s of %d topics", sorted(numbers), len({source.topic for source in sources}))
        if self._on_assigned is not None:
            await self._on_assigned(frozenset(numbers))
        if not numbers:
            self.ready.set()

    async def _revoked(self, sources: frozenset[TopicPartition]) -> None:
        await self._release({source.partition for source in sources})

    async def _lost(self, sources: frozenset[TopicPartition]) -> None:
        """Another worker has them already: nothing staged may be committed."""
        numbers = {source.partition for source in sources}
        async with self._commit_lock:  # one that is under way is refused, and goes back itself
            if self.replicated is not None and self.replicated.staged:
                # Nobody can tell whose writes those are: the partitions that stay begin again as well.
                staying = [one.number for one in self._running() if one.number not in numbers]
                await self._drop([*numbers, *staying])
                self.replicated.reset()
                for number in staying:
                    self._begin(number)
            await self._drop(numbers)

    async def _release(self, numbers: set[int]) -> None:
        """Come to the end of the events under way, commit, and let go; the stores stay open for who comes next."""
        leaving = [self.partitions[number] for number in sorted(numbers) if number in self.partitions]
        tasks = [task for partition in leaving for task in partition.tasks]
        await asyncio.gather(*(task.stop(_REVOKE_S) for task in tasks))
        await self.commit()
        await self._drop(numbers)

    async def _drop(self, numbers: Iterable[int]) -> None:
        """Stop the tasks of these partitions at once and forget what they staged."""
        for number in list(numbers):
            starting = self._starting.pop(number, None)
            if starting is not None and starting is not asyncio.current_task():
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
            partition = self.partitions.pop(number, None)
            if partition is None:
                continue
            self._events_gone += partition.committed_events
            self._dead_lettered_gone += sum(task.dead_lettered for task in partition.tasks)
            for task in partition.tasks:
                await task.cancel()
            partition.state = "closed"

    async def _close_stores(self, keep: set[int]) -> None:
        for number in [number for number in self._open_stores if number not in keep]:
            await in_thread(self._open_stores.pop(number).close)

    def _begin(self, number: int) -> None:
        """Restore a partition number and start its tasks, while the others go on."""
        self.group.pause(self._sources(number))
        self._starting[number] = asyncio.create_task(self._start_partition(number), name=f"restore {number}")

    async def _start_partition(self, number: int) -> None:
        delay = _RETRY_S
        while True:
            try:
                await self._try_start(number)
                return
            except StateCorruptedError as error:
                logger.error("the store of partition %d is discarded and restored: %s", number, error)
                await self._discard_store(number)
            except (UnavailableError, OffsetOutOfRangeError) as error:
                logger.warning("partition %d cannot start yet, trying again in %.1f s: %s", number, delay, error)
                await self._clock.sleep(delay)
                delay = min(delay * 2, _RETRY_MAX_S)

    async def _discard_store(self, number: int) -> None:
        store = self._open_stores.pop(number, None)
        if store is not None:
            await in_thread(store.close)
        await in_thread(self._stores.discard, self.options.directory, number)

    def _open_store(self, number: int, tables: list[str]) -> Store:
        """Open a store and note it, in one step: where its partition leaves meanwhile, it must be found and closed."""
        store = self._open_stores[number] = self._stores.open(self.options.directory, number, tables)
        return store

    async def _try_start(self, number: int) -> None:
        tables = {name: spec for name, spec in self._local_tables.items() if number < self.counts[spec.changelog.name]}
        store = self._open_stores.get(number)
        if store is None:
            store = await in_thread(self._open_store, number, list(tables))
        partition = self.partitions[number] = Partition(number, store, tables)

        def progress(done: int, total: int) -> None:
            partition.restored, partition.restore_total = done, total

        # The positions first: once they are known to be stable, no earlier owner can commit any more, and the end of
        # the changelog that `restore` then finds holds everything that belongs to them.
        sources = self._sources(number)
        committed = dict(await self.group.committed(sources))
        await restore(
            self._log,
            store,
            tables.values(),
            number,
            bytes_max=self.options.config.restore_bytes_max,
            clock=self._clock,
            progress=progress,
        )
        await self._start_tasks(partition, sources, committed)

    async def _start_tasks(
        self, partition: Partition, sources: list[TopicPartition], committed: dict[TopicPartition, Position]
    ) -> None:
        missing = [source for source in sources if source not in committed]
        spans: Mapping[TopicPartition, OffsetRange] = await self._log.offsets(missing) if missing else {}
        partition.open_caches(committed)
        starts = committed | {source: Position(span.start) for source, span in spans.items()}
        for spec in self.program.agents.values():
            partition.tasks.append(self._make_task(spec, partition, starts))
        for source in sources:
            self.group.seek(source, starts[source].offset)
        partition.state = "running"
        for task in partition.tasks:
            task.start()
        self.group.resume(sources)
        if all(one.state == "running" for one in self.partitions.values()):
            self.ready.set()

    def _make_task(self, spec: AgentSpec, partition: Partition, starts: Mapping[TopicPartition, Position]) -> Task:
        own = {
            source: decode_agent_positions(position, [spec.name])[spec.name]
            for source, position in starts.items()
            if source.topic in spec.sources
        }
        caches = dict(partition.caches)
        if self.replicated is not None:
            caches |= self.replicated.caches
        kind = ConcurrentTask if spec.concurrency > 1 else Task
        dead_lettering = self._dead_lettering[spec.name]
        return kind(spec, partition.number, caches, partition, own, dead_lettering, self._task_options)

    # -- what others ask ---------------------------------------------------------------------------

    def members(self) -> tuple[MemberInfo, ...]:
        """Return the group's members as of the last rebalance."""
        return tuple(self.group.members()) if self._group is not None else ()

    def leads(self) -> bool:
        """Return whether this worker is the leader: the one that owns partition number 0."""
        return 0 in self.partitions

    def statistics(self) -> RuntimeStatistics:
        """Return an immutable record of the runtime's counters."""
        tasks = [task for partition in self.partitions.values() for task in partition.tasks]
        return RuntimeStatistics(
            records_in=self._events_gone + sum(one.events for one in self.partitions.values()),
            committed_records=self._events_gone + sum(one.committed_events for one in self.partitions.values()),
            commits=self._commits,
            commit_failures=self._commit_failures,
            rebalances=self._rebalances,
            dead_lettered=self._dead_lettered_gone + sum(task.dead_lettered for task in tasks),
            lag=dict(self.group.lag()) if self._group is not None else {},
            partitions=tuple(partition.statistics() for partition in self.partitions.values()),
            tasks=tuple(task.statistics() for task in tasks),
        )


def _with_partitions(spec: TopicSpec, partitions: int) -> TopicSpec:
    if spec.partitions is not None:
        return spec
    return TopicSpec(spec.name, partitions, spec.replicas, spec.cleanup_policy, spec.retention_ms, spec.config)


def _ends(writes: Iterable[OutgoingBatch], bases: Iterable[int]) -> dict[TopicPartition, int]:
    """Return the offset behind each batch."""
    return {
        TopicPartition(batch.topic, batch.partition): base + len(batch)
        for batch, base in zip(writes, bases, strict=True)
    }


def _dead_lettering(program: Program) -> dict[str, frozenset[str]]:
    """Give each topic to the first agent that reads it in its way, for the records that cannot be decoded so."""
    taken: set[tuple[str, int, bool]] = set()
    duties: dict[str, frozenset[str]] = {}
    for agent in program.agents.values():
        ways = {name: (name, id(source.value_codec), source.tombstones) for name, source in agent.sources.items()}
        duties[agent.name] = frozenset(name for name, way in ways.items() if way not in taken)
        taken.update(ways.values())
    return duties
