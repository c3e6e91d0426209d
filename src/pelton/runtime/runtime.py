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
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

from pelton.backoff import Backoff
from pelton.batch import TopicPartition
from pelton.clock import Clock, SystemClock
from pelton.errors import FencedError, RecordRefusedError, StateCorruptedError, UnavailableError
from pelton.log.contract import Group, GroupOptions, Log, MemberInfo, RebalanceListener
from pelton.runtime.assignment import Assignment, Surroundings
from pelton.runtime.committing import Committing
from pelton.runtime.deadletter import dead_letter_topic
from pelton.runtime.facts import notes_every_ms
from pelton.runtime.fetching import Fetching
from pelton.runtime.freshness import Freshness
from pelton.runtime.holdings import Holdings
from pelton.runtime.leading import Leading
from pelton.runtime.lost import RetentionTrap
from pelton.runtime.measures import Measures
from pelton.runtime.partition import Partition, PartitionStorage
from pelton.runtime.pressure import Pressure
from pelton.runtime.purging import Purge
from pelton.runtime.replicated import ReplicatedTables
from pelton.runtime.retry import until_available
from pelton.runtime.spec import Program, RuntimeOptions
from pelton.runtime.standby import Standbys, StandbyStores
from pelton.runtime.statistics import RuntimeStatistics
from pelton.runtime.stores import REPLICATED, LocalStores
from pelton.runtime.task_options import TaskOptions
from pelton.runtime.topics import Layout, Topics
from pelton.runtime.tracing import Tracing
from pelton.runtime.turns import Turns
from pelton.runtime.vitals import Pulse
from pelton.state.contract import StoreFactory

__all__ = ["Runtime"]

logger = logging.getLogger(__name__)

#: How long a lane may take to come to the end of its event when its partition leaves.
_REVOKE_S = 1.0


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
        tracing: Tracing | None = None,
    ) -> None:
        self.program = program
        self.options = options
        self.replicated: ReplicatedTables | None = None
        self._log = log
        self._clock = clock or SystemClock()
        self._on_assigned = on_assigned
        self._group: Group | None = None
        self._wake = asyncio.Event()
        self._rebalances = 0
        self._stopping = False
        self._loops: list[asyncio.Task[None]] = []
        config = options.config
        self.measures = Measures()
        self._pressure = Pressure(config, self._staged_bytes)
        dead_letters = dead_letter_topic(options.app_id)
        layout = Layout.of(options.app_id, options.partitions, config)
        self._topics = Topics(program, log, self._clock, layout)
        self._stores = LocalStores(stores, options.directory, options.app_id, self._topics, self._tell_held)
        task_options = TaskOptions(
            clock=self._clock,
            backoff=Backoff(retries=config.agent_retries_max, first=config.agent_retry_backoff_ms / 1000),
            dead_letters=dead_letters,
            settled=self._wake.set,
            pressure=self._pressure,
            turns=Turns(self._clock, config.slice_ms / 1000, program.priorities()),
            acceptance=self._topics.acceptance,
            changelogs={name: spec.changelog.name for name, spec in program.tables.items()},
            owed=lambda sources: {source.topic for source in self._fetching.owed(sources)},
            answering_since_s=lambda: self._fetching.answering_since_s,
            measures=self.measures,
            tracing=tracing,
        )
        self.purging = Purge(program, log, self._clock)
        self._trap = RetentionTrap(config.on_lost_records)
        self._assignment = Assignment(
            Surroundings(
                program,
                self._topics,
                self._stores,
                log,
                self._clock,
                config,
                task_options,
                group=lambda: self.group,
                global_caches=lambda: self.replicated.caches if self.replicated is not None else {},
            )
        )
        self.partitions: Mapping[int, Partition] = self._assignment.partitions
        self.ready = self._assignment.ready
        # It may be a heartbeat's interval since the group has last heard of this worker.
        lease_s = (options.session_timeout_ms - options.heartbeat_interval_ms) / 1000
        self._committing = Committing(
            lambda: self.group, self._assignment, self._topics, self._clock, config, self._pressure, self.purging,
            replicated=lambda: self.replicated, measures=self.measures, tracing=tracing,
        )  # fmt: skip
        self.leading = Leading(self._assignment, lambda: self.group, self._committing.lock, self._clock, lease_s)
        self._freshness = Freshness(
            self._assignment, lambda: self.group, lambda: self.replicated, self._committing.lock, self._clock
        )
        self._fetching = Fetching(
            lambda: self.group,
            self._assignment,
            self._topics,
            log,
            self._clock,
            self._pressure,
            self._trap,
            self.measures,
        )
        stores_of_standbys = StandbyStores(
            self._stores.of, self._stores.discard, lambda number: self._topics.tables(number).values()
        )
        starting = self._assignment.starting
        self._standbys = Standbys(log, stores_of_standbys, self._clock, busy=lambda: bool(starting))
        self.holdings = Holdings(
            self._assignment.partitions,
            self._standbys,
            lambda: self.replicated.store if self.replicated is not None else None,
            lambda: self.group.confirmed_at_s() + options.session_timeout_ms / 1000,
            self._clock,
        )
        #: Each returns the error that something beside the loops ended of: it ends the engine, too.
        self.crashes: list[Callable[[], BaseException | None]] = [self._standbys.crash]

    @property
    def group(self) -> Group:
        """This worker's membership; only after `start`."""
        assert self._group is not None
        return self._group

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of partitions of each topic; only after `start`."""
        return self._topics.counts

    # -- life --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Declare the topics, join the group and begin; waits for as long as the log does not answer.

        Raises: ConfigurationError (TopicMismatch, CopartitioningError).
        """
        await until_available(self._topics.declare, "declare the topics", self._clock)
        await until_available(self._start_replicated, "restore the global tables", self._clock)
        self._group = await until_available(self._join, "join the group", self._clock)
        self._committing.pace.begin()
        self._loops = [
            asyncio.create_task(self._fetching.run(), name="pelton fetch"),
            asyncio.create_task(self._commit_loop(), name="pelton commit"),
            asyncio.create_task(self.purging.run(), name="pelton purge"),
        ]
        if (every_ms := notes_every_ms(self._topics.tables_declared.values())) is not None:
            self._loops.append(asyncio.create_task(self._freshness.run(every_ms / 1000), name="pelton freshness"))

    async def _join(self) -> Group:
        options = self.options
        held = await self._stores.kept()
        listener = RebalanceListener(revoked=self._revoked, assigned=self._assigned, lost=self._lost)
        return await self._log.join(
            GroupOptions(
                group_id=options.app_id,
                topics=frozenset(self.program.sources()),
                guarantee=options.guarantee,
                held=held,
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

    async def _start_replicated(self) -> None:
        tables = [spec for spec in self._topics.tables_declared.values() if spec.replicated]
        if not tables:
            return
        store = await self._stores.of_global_tables(tables)
        replicated = ReplicatedTables(self._log, store, tables, self.counts, self.options.config, self._clock)
        try:
            await replicated.start()
        except BaseException:
            await replicated.stop()
            raise
        self.replicated = replicated

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
        # They come to an end while a commit under way does, and do not keep it from the event loop.
        tasks = [task for partition in self.partitions.values() for task in partition.tasks]
        ending = [asyncio.create_task(task.stop(_REVOKE_S), name="pelton stop") for task in tasks]
        self._fetching.end()
        # A commit that is cut off would take its staged effects with it, and the next one would pass them over: with
        # the lock in hand, neither loop is in the middle of one.
        async with self._committing.lock:
            for loop in self._loops:
                loop.cancel()
            await asyncio.gather(*self._loops, *ending, return_exceptions=True)
        try:
            if self._group is not None:
                await self._release(self._assignment.numbers())
        finally:
            # Also after an error that no commit gets past: others must have the partitions, and the stores be closed.
            if self._group is not None:
                await self._group.leave()
            if self.replicated is not None:
                await self.replicated.stop()
            await self._standbys.stop()
            await self._stores.close_all_but(set())

    # -- committing --------------------------------------------------------------------------------

    async def _commit_loop(self) -> None:
        while True:
            await self._committing.until_worth_a_look(self._wake)
            self._fetching.resume_drained()
            await self._mend_crashes()
            if self._committing.due():
                await self.commit()

    def _staged_bytes(self) -> int:
        """Return about the memory of what no commit has taken; looks at every write and message."""
        replicated = self.replicated.staged_bytes if self.replicated is not None else 0
        return replicated + sum(partition.staged_bytes for partition in self._assignment.running())

    async def _mend_crashes(self) -> None:
        """Raise what ended a lane, or a coroutine of ours, against all rules; a damaged store is restored instead."""
        for crash in self.crashes if self.replicated is None else [self.replicated.crash, *self.crashes]:
            if (error := crash()) is not None:
                raise error
        for partition in list(self.partitions.values()):
            for error in [error for task in partition.tasks if (error := task.crash()) is not None]:
                if not isinstance(error, StateCorruptedError):
                    raise error
                async with self._committing.lock:
                    await self._rebuild(error, partition.number)
                break
        self._assignment.reap()

    async def commit(self) -> bool:
        """Make the effects of all complete events durable and visible, then write the stores.

        Returns: False when the commit failed and the tasks began again from the last one.
        """
        async with self._committing.lock:
            try:
                await self._committing.commit()
            except (FencedError, UnavailableError, StateCorruptedError) as error:
                await self._abandon(error)
                return False
            except RecordRefusedError as error:
                refusal, learn = error, self._topics.acceptance.learn
                if not await until_available(lambda: learn(refusal), "learn what a topic takes", self._clock):
                    self._close()
                    raise
                # Now that it is known what the topic takes, the event fails that sends something else.
                await self._abandon(error)
                return False
            except BaseException:
                self._close()
                raise
            return True

    def _close(self) -> None:
        """What was staged is gone with an error that ends the worker.

        The commit that it tries on its way out must not pass over those events (invariants I1, I7).
        """
        for partition in self._assignment.running():
            partition.state = "closed"

    async def _abandon(self, error: Exception) -> None:
        """A commit failed: forget all staged work, and begin again from what the log says is committed."""
        self._committing.failed()
        logger.warning("commit failed, going back to the last one: %s", error)
        numbers = [partition.number for partition in self._assignment.running()]
        await self._assignment.drop(numbers)
        if self.replicated is not None:
            self.replicated.reset()
        if isinstance(error, StateCorruptedError):
            await self._discard_damaged(error, numbers)
        if not isinstance(error, FencedError):
            for number in numbers:
                self._assignment.begin(number)

    async def _rebuild(self, error: StateCorruptedError, number: int) -> None:
        """A lane met a damaged store: its partition begins again, with a new one."""
        await self._forget([number])
        await self._discard_damaged(error, [number])
        self._assignment.begin(number)

    async def _discard_damaged(self, error: StateCorruptedError, numbers: Iterable[int]) -> None:
        """Delete the store that an error speaks of, or all of these when it does not say.

        Raises: the error itself when it is the store of the replicated tables: it is filled before anything starts.
        """
        damaged = list(numbers) if error.partition is None else [error.partition]
        logger.error("the stores of partitions %s are discarded and restored: %s", damaged, error)
        if REPLICATED in damaged and self.replicated is not None:
            await self.replicated.stop()
            await self._stores.discard(REPLICATED)
            raise error
        for number in damaged:
            await self._stores.discard(number)

    # -- partitions come and go --------------------------------------------------------------------

    async def _assigned(self, sources: frozenset[TopicPartition], standbys: frozenset[int]) -> None:
        """Open what is new and restore it in the background; the rest goes on."""
        self._rebalances += 1
        numbers = {source.partition for source in sources}
        standbys -= numbers  # what is active is written by its commits alone, also while it is on its way out
        await self._assignment.drop(self._assignment.numbers() - numbers)
        await self._standbys.keep(standbys)  # what becomes active takes the store over as it is
        await self._stores.close_all_but(numbers | standbys)
        for number in sorted(numbers):
            if number not in self._assignment.numbers():
                self._assignment.begin(number)
        self._standbys.follow(number for number in standbys if self._topics.tables(number))
        self._tell_held()
        logger.info("assigned partitions %s of %d topics", sorted(numbers), len({source.topic for source in sources}))
        if self._on_assigned is not None:
            await self._on_assigned(frozenset(numbers))
        self._assignment.settle()

    def _tell_held(self) -> None:
        """Tell the group whose state lies here, so that partitions come back to it."""
        self.group.update(held=frozenset(self._stores.opened))

    async def _revoked(self, sources: frozenset[TopicPartition]) -> None:
        await self._release({source.partition for source in sources})

    async def _lost(self, sources: frozenset[TopicPartition]) -> None:
        """Another worker has them already: nothing staged may be committed."""
        async with self._committing.lock:  # one that is under way is refused, and goes back itself
            await self._forget({source.partition for source in sources})

    async def _forget(self, numbers: Collection[int]) -> None:
        """Stop these partitions without a commit; whatever they staged is gone."""
        if self.replicated is not None and self.replicated.staged:
            # Nobody can tell whose writes those are: the partitions that stay begin again as well.
            staying = [one.number for one in self._assignment.running() if one.number not in numbers]
            await self._assignment.drop([*numbers, *staying])
            self.replicated.reset()
            for number in staying:
                self._assignment.begin(number)
        await self._assignment.drop(numbers)

    async def _release(self, numbers: set[int]) -> None:
        """Come to the end of the events under way, commit, and let go; the stores stay open for who comes next."""
        leaving = [self.partitions[number] for number in sorted(numbers) if number in self.partitions]
        tasks = [task for partition in leaving for task in partition.tasks]
        await asyncio.gather(*(task.stop(_REVOKE_S) for task in tasks))
        await self.commit()
        await self._assignment.drop(numbers)

    def pause(self, agents: Collection[str]) -> None:
        """Have these agents hand out nothing more, and all others go on; what they forward for themselves stands too.

        A paused agent keeps its position, and its event under way comes to its end. Others on the same topic go on.
        """
        named = frozenset(name for name in self.program.agents if name in agents or name.partition(":")[0] in agents)
        for name in sorted(named ^ self._assignment.paused):
            logger.info("agent %s is %s", name, "paused" if name in named else "resumed")
        self._assignment.paused = named
        for partition in self._assignment.running():
            changed = [task for task in partition.tasks if task.paused != (task.spec.name in named)]
            for task in changed:
                (task.resume if task.paused else task.pause)()
            if changed:
                self._fetching.pauses_changed(partition, [task for task in changed if not task.paused])

    @property
    def paused(self) -> frozenset[str]:
        """The agents that are paused, by name."""
        return self._assignment.paused

    # -- what others ask ---------------------------------------------------------------------------

    def members(self) -> tuple[MemberInfo, ...]:
        """Return the group's members as of the last rebalance."""
        return tuple(self.group.members()) if self._group is not None else ()

    def pulse(self) -> Pulse:
        """Return what the watchdog compares from one look to the next."""
        running = self._assignment.running()
        assigned = {source.partition for source in self.group.assignment()} - {one.number for one in running}
        return Pulse(
            fetches=self._fetching.fetches,
            outage=self._fetching.outage,
            commits=self._committing.commits,
            committing=self._committing.under_way,
            starting={n: self.partitions[n].restored if n in self.partitions else 0 for n in sorted(assigned)},
            drained={source: offset for partition in running for source, offset in partition.drained().items()},
        )

    def waiting(self) -> list[str]:
        """Return what this worker waits for before all that is its own runs; nothing when it does."""
        return self._assignment.waiting()

    def statistics(self) -> RuntimeStatistics:
        """Return an immutable record of the runtime's counters."""
        tasks = [task for partition in self.partitions.values() for task in partition.tasks]
        gone = self._assignment.events_gone
        return RuntimeStatistics(
            records_in=gone + sum(one.events for one in self.partitions.values()),
            committed_records=gone + sum(one.committed_events for one in self.partitions.values()),
            commits=self._committing.commits,
            commit_failures=self._committing.failures,
            rebalances=self._rebalances,
            dead_lettered=self._assignment.dead_lettered_gone + sum(task.dead_lettered for task in tasks),
            records_lost=self._trap.records,
            lag=dict(self.group.lag()) if self._group is not None else {},
            partitions=tuple(partition.statistics() for partition in self.partitions.values()),
            tasks=tuple(task.statistics() for task in tasks),
            standbys=self._standbys.statistics(),
            paused=tuple(sorted(self.paused)),
            measured=self.measures.statistics(),
            log=self._log.statistics(),
            group=self._group.statistics() if self._group is not None else None,
        )

    def storage(self) -> tuple[PartitionStorage, ...]:
        """Return what each partition number's caches and store hold; asks every store."""
        return tuple(partition.storage() for partition in self._assignment.running())
