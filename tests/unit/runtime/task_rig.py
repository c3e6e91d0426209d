"""One partition number with its tasks, without a log: batches go in, what a commit would take comes out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pelton.backoff import Backoff
from pelton.batch import Headers, RecordBatch, TopicPartition
from pelton.clock import Clock, SystemClock
from pelton.codec import codec_for
from pelton.config import EngineConfig
from pelton.log.contract import Position, TopicSpec
from pelton.runtime.ahead import AheadTask
from pelton.runtime.concurrent import ConcurrentTask
from pelton.runtime.partition import Partition, StagedPartition
from pelton.runtime.pressure import Pressure
from pelton.runtime.source import SharedBatch
from pelton.runtime.spec import AgentSpec, SourceSpec, TableSpec
from pelton.runtime.task import Task
from pelton.runtime.task_options import TaskOptions
from pelton.runtime.turns import Turns
from pelton.state.memory import MemoryStores
from pelton.stream.lane import CURRENT_LANE, Lane, Send
from pelton.stream.stream import Feed, Stream
from tests.patience import PATIENCE_S

TOPIC = "numbers"
SOURCE = TopicPartition(TOPIC, 0)
LETTERS = "letters"

Agent = Callable[[Stream[Any]], AsyncGenerator[Any, None] | Awaitable[Any]]


def agent(
    function: Agent, name: str = "agent", *, concurrency: int = 1, type_: Any = int, tombstones: bool = False
) -> AgentSpec:
    """Describe an agent over TOPIC; what it yields goes to the topic "out"."""

    def run(feed: Feed, lane: Lane) -> AsyncGenerator[Any, None] | Awaitable[Any]:
        return function(Stream(feed, lane, None))  # type: ignore[arg-type]

    def emit(lane: Lane, value: Any) -> None:
        send(value)

    source = SourceSpec(TopicSpec(TOPIC, 1), codec_for(str, role="key"), codec_for(type_), tombstones)
    return AgentSpec(name, {TOPIC: source}, run, emit, concurrency, frozenset({"sums"}))


def lane() -> Lane:
    """Return the lane of the code that asks."""
    found = CURRENT_LANE.get()
    assert found is not None
    return found


def send(value: Any, topic: str = "out") -> None:
    """Send a value under the event's key."""
    lane().send(Send(topic, None, lane().raw_key, str(value).encode(), lane().timestamp_ms, ()))


def add(key: bytes, amount: int, table: str = "sums") -> int:
    """Add to a number in a table, and return the sum."""
    slot = lane().tables[table]
    total = int(slot.get(key) or 0) + amount
    slot.put(key, b"%d" % total)
    return total


def batch(
    values: Iterable[bytes | None],
    first: int = 0,
    *,
    keys: Iterable[bytes | None] | None = None,
    headers: list[Headers] | None = None,
) -> RecordBatch:
    """Return a batch of TOPIC, with offsets that count from the first."""
    column = list(values)
    size = sum(len(value or b"") for value in column)
    numbers = range(first, first + len(column))
    return RecordBatch(
        TOPIC,
        0,
        numbers,
        [1_000 + number for number in numbers],
        list(keys) if keys is not None else [b"k"] * len(column),
        column,
        first + len(column),
        headers,
        size,
    )


def numbers(*values: int, first: int = 0, keys: Iterable[bytes | None] | None = None) -> RecordBatch:
    """Return a batch of numbers as JSON."""
    return batch([b"%d" % value for value in values], first, keys=keys)


class _StillClock(SystemClock):
    """How long slices take on this machine is not to decide how often the loop goes round."""

    def monotonic(self) -> float:
        return 0.0


class Rig:
    """Partition 0 with one table, `sums`, and its tasks.

    before: another one, whose committed state this one begins with, as after a crash. tables: further ones.
    also: where every agent begins in partitions of further topics.
    """

    def __init__(
        self,
        *agents: AgentSpec,
        starts: Mapping[str, int] | None = None,
        retries: int = 0,
        tables: Iterable[str] = (),
        before: Rig | None = None,
        clock: Clock | None = None,
        also: Mapping[TopicPartition, int] | None = None,
    ) -> None:
        names = ["sums", *tables]
        specs = {name: TableSpec(name, TopicSpec(f"{name}-changelog", 1)) for name in names}
        store = MemoryStores().open(Path("/"), 0, names) if before is None else before.partition.store
        self.partition = Partition(0, store, specs)
        self.partition.open_caches(dict.fromkeys([SOURCE, *(also or {})], Position(0)))
        self.news = asyncio.Event()
        backoff = Backoff(retries=retries, first=0.001)
        pressure = Pressure(EngineConfig(), lambda: self.partition.staged_bytes)
        priorities = [source.priority for spec in agents for source in spec.sources.values()]
        turns = Turns(clock or _StillClock(), 0.02, priorities)
        options = TaskOptions(clock or SystemClock(), backoff, LETTERS, self.news.set, pressure, turns)
        for index, spec in enumerate(agents):
            kind = ConcurrentTask if spec.concurrency > 1 else AheadTask
            start = {SOURCE: (starts or {}).get(spec.name, 0), **(also or {})}
            duty = frozenset(spec.sources) if index == 0 else frozenset[str]()
            self.tasks.append(kind(spec, 0, self.partition.caches, self.partition, start, duty, options))

    @property
    def tasks(self) -> list[Task]:
        return self.partition.tasks

    def put(self, records: RecordBatch) -> None:
        """Hand a batch to every task."""
        shared = SharedBatch(records)
        for task in self.tasks:
            task.put(shared)
        self.news.clear()

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the tasks run until a condition holds; a lane that crashed fails the test."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                for task in self.tasks:
                    if (error := task.crash()) is not None:
                        raise error
                await asyncio.sleep(0)

    async def idle(self) -> None:
        """Let the tasks do all that they were given."""
        await self.until(lambda: self.partition.idle)

    async def done(self, records: RecordBatch) -> StagedPartition:
        """Hand out a batch, let the tasks do it, and take what came of it."""
        self.put(records)
        await self.idle()
        return self.take()

    def take(self) -> StagedPartition:
        """Take what a commit would; it succeeds at once."""
        staged = self.partition.stage(0)
        assert staged is not None
        self.store(staged)
        return staged

    def store(self, staged: StagedPartition) -> None:
        """Have what was taken succeed."""
        self.partition.store.write(self.partition.committed(staged, dict.fromkeys(staged.changelogs, 1)))
        self.partition.stored(1 << 20)


def position(staged: StagedPartition) -> Position:
    """Return the position that a commit would save."""
    return staged.positions[SOURCE]


def sums(staged: StagedPartition) -> dict[bytes, bytes | None]:
    """Return what a commit would write to the changelog of `sums`."""
    changelog = staged.changelogs.get("sums")
    return dict(zip(changelog.keys, changelog.values, strict=True)) if changelog is not None else {}


def sent(staged: StagedPartition, topic: str = "out") -> list[bytes | None]:
    """Return the values that a commit would send to a topic, in order."""
    return [message.value for message in staged.sends if message.topic == topic]


def letters(staged: StagedPartition) -> list[tuple[int, str, str]]:
    """Return offset, agent and kind of the dead letters that a commit would send, in order."""
    found: list[tuple[int, str, str]] = []
    for message in staged.sends:
        if message.topic == LETTERS:
            why = {name: content.decode() for name, content in message.headers}
            found.append((int(why["pelton-dlq-offset"]), why["pelton-dlq-agent"], why["pelton-dlq-kind"]))
    return found


@asynccontextmanager
async def running(
    *agents: AgentSpec, starts: Mapping[str, int] | None = None, retries: int = 0, clock: Clock | None = None
) -> AsyncIterator[Rig]:
    """Run agents over partition 0; they are stopped at the end."""
    rig = Rig(*agents, starts=starts, retries=retries, clock=clock)
    for task in rig.tasks:
        task.start()
    try:
        yield rig
    finally:
        for task in rig.tasks:
            await task.cancel()
