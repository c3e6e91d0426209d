"""Workers in this process, on a real embedded log and stores in memory, with a log that fails when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pelton.batch import OutgoingBatch, RecordBatch, TopicPartition
from pelton.clock import Clock
from pelton.codec import codec_for
from pelton.config import EngineConfig
from pelton.errors import UnavailableError
from pelton.log.contract import Group, GroupOptions, OffsetRange, Position, RebalanceListener, TopicSpec
from pelton.log.partitioner import partition_for
from pelton.log.sqlite import SqliteLog
from pelton.log.sqlite.membership import Membership
from pelton.runtime.runtime import Runtime
from pelton.runtime.spec import AgentSpec, Program, RuntimeOptions, SourceSpec, TableSpec
from pelton.state.contract import Store
from pelton.state.memory import MemoryStores
from pelton.state.rocksdb import RocksStores
from pelton.stream.lane import Lane
from pelton.stream.stream import Feed, Stream
from tests.patience import PATIENCE_S
from tests.unit.runtime.task_rig import send

TOPIC, OUT, PARTITIONS = "numbers", "out", 2
DIRECTORY = Path("/stores")
SUMS = TableSpec("sums", TopicSpec("sums-changelog", cleanup_policy="compact"))
WORLD = TableSpec("world", TopicSpec("world-changelog", 2, cleanup_policy="compact"), replicated=True)

Commit = Callable[[], Awaitable[Sequence[int]]]


def agent(function: Callable[[Stream[Any]], Any], name: str = "agent", *, concurrency: int = 1) -> AgentSpec:
    """Describe an agent over TOPIC that uses `sums`; what it yields goes to OUT."""

    def run(feed: Feed, lane: Lane) -> AsyncGenerator[Any, None] | Awaitable[Any]:
        result: AsyncGenerator[Any, None] | Awaitable[Any] = function(Stream(feed, lane, None))  # type: ignore[arg-type]
        return result

    def emit(lane: Lane, value: Any) -> None:
        send(value, OUT)

    source = SourceSpec(TopicSpec(TOPIC, PARTITIONS), codec_for(str, role="key"), codec_for(int))
    return AgentSpec(name, {TOPIC: source}, run, emit, concurrency, frozenset({"sums"}))


@dataclass
class Troubles:
    """What goes wrong.

    commits: each is handed the real commit, and is used up; taken from the left. starts: how many attempts to declare
    topics, to read, to join and to fetch fail, before each of them succeeds.
    attempts, writes: how many commits there were, and what each of them wrote.
    behind: what the log has more of than it has told by itself.
    """

    commits: list[Callable[[Commit], Awaitable[Sequence[int]]]] = field(default_factory=list[Any])
    starts: dict[str, int] = field(default_factory=dict[str, int])
    attempts: int = 0
    writes: list[Sequence[OutgoingBatch]] = field(default_factory=list[Any])
    behind: dict[TopicPartition, int] = field(default_factory=dict[TopicPartition, int])

    def meet(self, step: str) -> None:
        """Fail if an attempt is to."""
        if left := self.starts.get(step, 0):
            self.starts[step] = left - 1
            raise UnavailableError(f"no {step} now")


class TroubledGroup:
    """A group whose commits meet the troubles; everything else is the real one's."""

    def __init__(self, group: Group, troubles: Troubles) -> None:
        self._group = group
        self._troubles = troubles

    def __getattr__(self, name: str) -> Any:
        return getattr(self._group, name)

    async def fetch(self, *, bytes_max: int, timeout_s: float) -> Sequence[RecordBatch]:
        self._troubles.meet("fetch")
        return await self._group.fetch(bytes_max=bytes_max, timeout_s=timeout_s)

    def lag(self) -> Mapping[TopicPartition, int]:
        return {**self._group.lag(), **self._troubles.behind}

    async def commit(
        self, writes: Sequence[OutgoingBatch], positions: Mapping[TopicPartition, Position]
    ) -> Sequence[int]:
        self._troubles.attempts += 1
        self._troubles.writes.append(writes)

        async def really() -> Sequence[int]:
            return await self._group.commit(writes, positions)

        if self._troubles.commits:
            return await self._troubles.commits.pop(0)(really)
        return await really()


class TroubledLog(SqliteLog):
    """The embedded log, with troubles at the start, and groups that have troubles with their commits."""

    def __init__(self, address: str, troubles: Troubles) -> None:
        super().__init__(address)
        self._troubles = troubles

    async def declare(self, specs: Iterable[TopicSpec]) -> Mapping[str, int]:
        self._troubles.meet("declare")
        return await super().declare(specs)

    async def offsets(
        self, partitions: Iterable[TopicPartition], *, decided: bool = False
    ) -> Mapping[TopicPartition, OffsetRange]:
        self._troubles.meet("offsets")
        return await super().offsets(partitions, decided=decided)

    async def join(self, options: GroupOptions, listener: RebalanceListener) -> Any:
        self._troubles.meet("join")
        return TroubledGroup(await super().join(options, listener), self._troubles)


class Scene:
    """One application on one log; a worker is a `Runtime` with its own connection."""

    def __init__(self, directory: Path) -> None:
        self.address = f"sqlite://{directory / 'log.db'}?synchronous=off"
        self.log = SqliteLog(self.address)
        self.stores: MemoryStores | RocksStores = MemoryStores()
        self.stores_directory = DIRECTORY
        self.app_id = "app"
        self.troubles = Troubles()
        self.config = EngineConfig(commit_interval_ms=20, agent_retry_backoff_ms=1, agent_retries_max=0)
        self.offset = 0
        self._workers: list[tuple[Runtime, SqliteLog]] = []

    async def worker(
        self,
        *agents: AgentSpec,
        tables: Iterable[TableSpec] = (SUMS,),
        stores: MemoryStores | RocksStores | None = None,
        standby_replicas: int = 0,
        wait: bool = True,
        clock: Clock | None = None,
        **config: Any,
    ) -> Runtime:
        """Start a worker and wait until it runs."""
        log = TroubledLog(self.address, self.troubles)
        await log.open()
        program = Program(
            {spec.name: spec for spec in agents},
            {spec.name: spec for spec in tables},
            {OUT: TopicSpec(OUT, PARTITIONS)},
        )
        options = RuntimeOptions(
            self.app_id,
            self.stores_directory,
            replace(self.config, **config),
            partitions=PARTITIONS,
            session_timeout_ms=30_000,
            heartbeat_interval_ms=200,
            standby_replicas=standby_replicas,
        )
        runtime = Runtime(program, log, stores or self.stores, options, clock)
        self._workers.append((runtime, log))
        await runtime.start()
        if wait:
            await self.until(runtime.ready.is_set)
        return runtime

    def workers(self) -> list[Runtime]:
        """Return those that were started and not stopped."""
        return [runtime for runtime, _ in self._workers]

    async def stop(self, runtime: Runtime) -> None:
        """Stop a worker and close its connection."""
        (log,) = [log for one, log in self._workers if one is runtime]
        self._workers = [(one, log) for one, log in self._workers if one is not runtime]
        await runtime.stop()
        await log.close()

    async def die(self, runtime: Runtime) -> None:
        """End a worker as `kill -9` would: nothing is committed any more, and the others hear of it by themselves."""
        (log,) = [log for one, log in self._workers if one is runtime]
        self._workers = [(one, log) for one, log in self._workers if one is not runtime]
        for partition in runtime.partitions.values():
            partition.state = "closed"
        member = runtime.group.member_id
        await self.log.write(lambda db: _remove(db, member))
        await runtime.stop()
        await log.close()

    async def expel(self) -> None:
        """Make the group forget every member, as if all had been silent for too long."""

        def forget(db: Any) -> None:
            db.execute("delete from owners")
            db.execute("delete from members")
            db.execute("update groups set generation = generation + 1")

        await self.log.write(forget)

    async def append(self, *values: int | bytes, key: bytes | None = None) -> None:
        """Append numbers, or bytes as they are, each under its own key, or all under one."""
        batches = {number: OutgoingBatch(TOPIC, number) for number in range(PARTITIONS)}
        for value in values:
            own = key if key is not None else b"key-%d" % (self.offset % 7)
            self.offset += 1
            data = value if isinstance(value, bytes) else b"%d" % value
            batches[partition_for(own, PARTITIONS)].append(own, data, 1_000)
        await self.log.append([batch for batch in batches.values() if len(batch)])

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds; a worker whose engine has ended fails the test."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                for runtime, _ in self._workers:
                    for loop in runtime._loops:
                        if loop.done() and not loop.cancelled():
                            loop.result()
                await asyncio.sleep(0.002)

    async def until_ended(self, runtime: Runtime) -> None:
        """Wait until a worker ends by itself, and raise what ended it."""
        async with asyncio.timeout(PATIENCE_S):
            await runtime.run()

    async def positions(self) -> dict[int, Position]:
        """Return the committed position of each partition number."""
        found = await self.log.group_positions("app", [TopicPartition(TOPIC, number) for number in range(PARTITIONS)])
        return {source.partition: position for source, position in found.items()}

    async def until_done(self) -> None:
        """Wait until every agent has committed everything."""
        sources = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
        ends = {source.partition: Position(span.end) for source, span in (await self.log.offsets(sources)).items()}
        async with asyncio.timeout(PATIENCE_S):
            while {n: p for n, p in ends.items() if p.offset} != {
                n: p for n, p in (await self.positions()).items() if p.offset
            }:
                await self.until(lambda: True)
                await asyncio.sleep(0.002)

    async def records(self, topic: str) -> list[tuple[bytes | None, bytes | None]]:
        """Return key and value of all committed records of a topic, partition after partition."""
        found: list[tuple[bytes | None, bytes | None]] = []
        for number in range((await self.log.partitions([topic])).get(topic, 0)):
            source = TopicPartition(topic, number)
            offset, end = (await self.log.offsets([source]))[source]
            while offset < end:
                batch: RecordBatch = await self.log.read(source, offset, bytes_max=1 << 20, timeout_s=1.0)
                found += zip(batch.keys, batch.values, strict=True)
                offset = batch.next_offset
        return found

    async def values(self, topic: str = OUT) -> list[int]:
        """Return the numbers in a topic, sorted."""
        return sorted(int(value or 0) for _, value in await self.records(topic))

    async def table(self, name: str = "sums") -> dict[bytes, bytes]:
        """Return what a table's changelog amounts to."""
        folded: dict[bytes, bytes] = {}
        for key, value in await self.records(f"{name}-changelog"):
            if value is None:
                folded.pop(key or b"", None)
            else:
                folded[key or b""] = value
        return folded

    def stored(self, name: str = "sums", stores: MemoryStores | None = None) -> dict[bytes, bytes]:
        """Return what the stores of all partition numbers hold; no worker may run."""
        found: dict[bytes, bytes] = {}
        for number in range(PARTITIONS):
            store: Store = (stores or self.stores).open(self.stores_directory, number, [name])
            found |= dict(store.scan(name))
            store.close()
        return found

    async def close(self) -> None:
        """Stop what still runs."""
        self.troubles.commits.clear()
        for runtime, _ in list(self._workers):
            await self.stop(runtime)
        await self.log.close()


def _remove(db: Any, member_id: str) -> None:
    for table in ("owners", "members"):
        db.execute(f"delete from {table} where member_id = ?", (member_id,))
    Membership(db, "app", "").rebalance()


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[Scene]:
    """Give a scene with its topic."""
    scene = Scene(directory)
    await scene.log.open()
    await scene.log.declare([TopicSpec(TOPIC, PARTITIONS)])
    try:
        yield scene
    finally:
        await scene.close()
