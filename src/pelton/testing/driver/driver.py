"""`Driver`: an application run by a test, with its own engine, on a log in memory and in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast, overload

import msgspec
from aiohttp.web import Application

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.errors import ConfigurationError, UnavailableError
from pelton.log.contract import TopicSpec
from pelton.log.partitioner import partition_for
from pelton.runtime.letters import Letter, LetterBox, LetterQuery
from pelton.runtime.statistics import RuntimeStatistics
from pelton.shell.agent import Agent
from pelton.shell.app import App
from pelton.shell.channel import Channel
from pelton.shell.driven import Stage
from pelton.shell.table import Table
from pelton.shell.topic import HeadersArg, Topic
from pelton.state.memory import MemoryStores
from pelton.testing.driver.log import MemoryLog
from pelton.testing.driver.loop import VirtualClock, VirtualLoop
from pelton.testing.driver.pages import Answer, answer_to
from pelton.testing.driver.records import Records
from pelton.window import as_ms, seconds

__all__ = ["Driver", "Record", "Sent"]

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

#: What the wall clock shows when a driver begins: 2024-01-01T00:00:00Z. The same in every run.
_START_S = 1_704_067_200.0
#: How long a coroutine may take that the driver runs, in virtual seconds.
_RUN_S = 3_600.0
#: How long what is left of a life may take to unwind, in virtual seconds.
_UNWIND_S = 30.0
_READ_BYTES = 1 << 62


@dataclass(frozen=True, slots=True)
class Record(Generic[K, V]):
    """A record as it lies in a topic, decoded. value: None for a tombstone. timestamp: seconds since the epoch."""

    key: K
    value: V
    timestamp: float
    topic: str = ""
    partition: int = 0
    offset: int = 0
    headers: dict[str, bytes | None] = field(default_factory=dict["str", "bytes | None"])


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a record went. It is there, and was processed, already: awaiting this only returns it."""

    topic: str
    partition: int
    offset: int
    timestamp: float

    def __await__(self) -> Generator[Any, None, Self]:
        return self
        yield  # pragma: no cover - makes this a generator


class _Done:
    """What may be awaited, and is over."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield  # pragma: no cover - makes this a generator


_DONE = _Done()


class _Driven:
    """An application, and what is its own: the stage, the stores, and while it runs its connection to the log."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.stage = Stage(app)
        self.stores = MemoryStores()
        self.log: MemoryLog | None = None

    async def start(self, records: Records, clock: VirtualClock) -> None:
        self.log = MemoryLog(records, clock)
        await self.log.open()
        self.stage.enter(self.log, self.stores, clock, lambda: MemoryLog(records, clock))
        await self.app.start()

    async def stop(self) -> None:
        try:
            await self.app.stop()
        finally:
            self.log = None

    def crash(self) -> None:
        self.stores.crash()
        if self.log is not None:
            self.log.cut()
            self.log = None


def _staged(*apps: App) -> list[_Driven]:
    """Return applications on their stages. Raises: ConfigurationError, and then all are as they were."""
    driven: list[_Driven] = []
    try:
        for app in apps:
            driven.append(_Driven(app))
    except BaseException:
        for one in driven:
            one.stage.leave()
        raise
    return driven


class Driver:
    """Runs an application in a test: the real tasks, commits and tables, without a broker, a disk or real time.

        with Driver(app) as driver:
            driver.send("orders", "ann", Order("ann", 5.0), ts=100)
            assert [record.value for record in driver.read("totals")] == [5.0]

    Each call does all that can be done and returns then; time passes only in `advance` (and where the engine waits
    before it tries an event again). Calls may be awaited or not: it makes no difference.
    start: what the wall clock shows at the beginning, as a datetime or in seconds since the epoch.
    others: applications that run beside it, on the same log, each with a group and stores of its own. Topics, tables
        and dead letters are those of all of them; pages and statistics are the first one's.
    """

    def __init__(self, app: App, *others: App, start: datetime | float = _START_S) -> None:
        self.app = app
        self._driven = _staged(app, *others)
        self._records = Records()
        self._life: VirtualLoop | None = None
        self._ended_at = 0.0
        start_s = as_ms(start) / 1000 if isinstance(start, datetime) else start
        self._clock = VirtualClock(self._time, start_s)
        self._read: dict[TopicPartition, int] = {}
        self._turn = 0
        self._web: Application | None = None

    # -- life --------------------------------------------------------------------------------------

    def start(self, app: App | None = None) -> Self:
        """Start the worker: its tables are restored, its agents run, its timers count. Idempotent.

        app: of several applications, the one to be started; all of them when None.
        """
        starting = [one for one in self._chosen(app) if one.log is None]
        if not starting:
            return self
        if self._life is None:
            self._life = VirtualLoop(self._ended_at)
        try:
            self._run(self._each(one.start(self._records, self._clock) for one in starting), "the start")
        except BaseException:
            self.crash()
            raise
        return self

    def stop(self, app: App | None = None) -> None:
        """Stop the worker in order: it finishes and commits what it is at. The log and the tables stay. Idempotent.

        app: of several applications, the one to be stopped, while the others go on; all of them when None.
        """
        if self._life is None:
            return
        stopping = [one for one in self._chosen(app) if one.log is not None]
        try:
            self._run(self._each(one.stop() for one in stopping), "the stop")
        finally:
            if all(one.log is None for one in self._driven):
                self._end()

    async def _each(self, steps: Iterable[Coroutine[Any, Any, None]]) -> None:
        for step in steps:
            await step

    def _chosen(self, app: App | None) -> list[_Driven]:
        """Return one of the applications, or all. Raises: ConfigurationError."""
        chosen = [one for one in self._driven if app is None or one.app is app]
        if not chosen and app is not None:
            raise ConfigurationError(f"application {app.conf.id} is none of the driven ones")
        return chosen

    def crash(self, after: int = 0) -> int:
        """Kill the worker: nothing is finished, committed or flushed. The log and the tables stay as they are.

        after: have the worker take so many turns of its event loop first, and die there: in the middle of an event, of
            a commit, or between a commit and the stores, wherever that is.
        Returns: the turns that it took; fewer than `after` when there was no more to do.
        """
        if self._life is None:
            return 0
        before = self._loop.turns
        self._loop.turn(after)
        turns = self._loop.turns - before
        for one in self._driven:
            one.crash()
        self._end()
        return turns

    def restart(self) -> None:
        """Start the worker again, after a `crash`, or after stopping it in order."""
        self.stop()
        self.start()

    def lose_disk(self) -> None:
        """Lose all local state, as a new machine would: the next start restores it from the changelogs.

        Raises: UnavailableError while the worker runs.
        """
        if self._life is not None:
            raise UnavailableError(
                "the driven worker has its stores open", hint="driver.crash() or driver.stop() first"
            )
        for one in self._driven:
            one.stores = MemoryStores()

    def close(self) -> None:
        """End the worker, and leave the application as it was found. Idempotent."""
        self.crash()
        for one in self._driven:
            one.stage.leave()

    def _end(self) -> None:
        """Let what is left of a life unwind: it has no log and no stores any more, and nothing of it is seen."""
        loop, self._life, self._web = self._loop, None, None
        self._ended_at = loop.time()
        loop.unwind(_UNWIND_S)

    @property
    def _loop(self) -> VirtualLoop:
        """The loop of this life. Raises: UnavailableError while the worker is down."""
        if self._life is None:
            raise UnavailableError("the driven worker is down", hint="driver.start() or driver.restart() starts it")
        return self._life

    def _time(self) -> float:
        return self._ended_at if self._life is None else self._life.time()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- time --------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """What the application's wall clock shows, in seconds since the epoch."""
        return self._clock.time_ms() / 1000

    @property
    def turns(self) -> int:
        """How often the event loop of this life has gone round: a measure of work that no machine's speed changes."""
        return 0 if self._life is None else self._life.turns

    def advance(self, time: float | timedelta) -> Awaitable[None]:
        """Let time pass, and everything happen that falls due: timers, `take(within=)`, sleeps, timeouts.

        time: seconds or a timedelta.
        """
        if self._life is None:
            self._ended_at += seconds(time)
        else:
            self._drive(lambda loop: loop.advance(seconds(time)))
        return _DONE

    def settle(self) -> Awaitable[None]:
        """Do all that can be done now. Only needed behind what another than the driver has put in motion."""
        self._drive(VirtualLoop.settle)
        return _DONE

    # -- in ----------------------------------------------------------------------------------------

    @overload
    def send(
        self,
        topic: Topic[K, V],
        key: K | bytes | None = None,
        value: V | bytes | None = None,
        ts: float | datetime | None = None,
        *,
        partition: int | None = None,
        headers: HeadersArg | None = None,
        settle: bool = True,
    ) -> Sent: ...

    @overload
    def send(
        self,
        topic: str | Agent[Any] | Channel[Any],
        key: Any = None,
        value: Any = None,
        ts: float | datetime | None = None,
        *,
        partition: int | None = None,
        headers: HeadersArg | None = None,
        settle: bool = True,
    ) -> Sent: ...

    def send(
        self,
        topic: Any,
        key: Any = None,
        value: Any = None,
        ts: float | datetime | None = None,
        *,
        partition: int | None = None,
        headers: HeadersArg | None = None,
        settle: bool = True,
    ) -> Sent:
        """Put a record into a topic and have it processed, with all that follows from it.

        topic: a topic, the name of one, an agent or a channel. key, value: typed, or bytes as they are to lie there.
        ts: the record's time, as a datetime or in seconds since the epoch; `now` when None.
        settle: False leaves the record in the topic, for whatever the driver does next; so does a worker that is down.
        """
        target = self._topic_of(topic)
        if isinstance(target, Channel):
            self.run(target.send(key=key, value=value, headers=headers))  # pyright: ignore[reportUnknownMemberType]
            return Sent("", 0, -1, self.now)
        return self._append(target, [(key, value, ts)], partition, headers, settle=settle)[0]

    def send_many(
        self,
        topic: Topic[Any, Any] | str | Agent[Any],
        records: Iterable[tuple[Any, Any] | tuple[Any, Any, Any]],
        *,
        settle: bool = True,
    ) -> list[Sent]:
        """Put several records, (key, value) or (key, value, ts), into a topic at once, and have them processed.

        settle: see `send`.
        """
        target = self._topic_of(topic)
        if isinstance(target, Channel):
            raise ConfigurationError("send_many: expected a topic, got a channel", hint="send its values one by one")
        rows = [(record[0], record[1], record[2] if len(record) > 2 else None) for record in records]  # pyright: ignore
        return self._append(target, rows, settle=settle)

    def _append(
        self,
        topic: Topic[Any, Any],
        rows: Iterable[tuple[Any, Any, float | datetime | None]],
        partition: int | None = None,
        headers: HeadersArg | None = None,
        *,
        settle: bool,
    ) -> list[Sent]:
        name = topic.get_topic_name()
        count = self._partitions(topic)
        batches: dict[int, OutgoingBatch] = {}
        places: list[tuple[int, int, float]] = []
        for key, value, ts in rows:
            timestamp = as_ms(ts) / 1000 if isinstance(ts, datetime) else self.now if ts is None else ts
            message = topic.outgoing(key, value, timestamp=timestamp, headers=headers)
            number = self._choose(message.key, count) if partition is None else partition
            batch = batches.setdefault(number, OutgoingBatch(name, number))
            places.append((number, len(batch), timestamp))
            batch.append(message.key, message.value, message.timestamp_ms, message.headers)
        bases = dict(zip(batches, self._records.append(list(batches.values()), self._clock.time_ms()), strict=True))
        if self._life is not None and settle:
            self._drive(VirtualLoop.settle)
        return [Sent(name, number, bases[number] + row, timestamp) for number, row, timestamp in places]

    def _choose(self, key: bytes | None, count: int) -> int:
        if key is not None:
            return partition_for(key, count)
        self._turn += 1
        return (self._turn - 1) % count

    def _partitions(self, topic: Topic[Any, Any]) -> int:
        name = topic.get_topic_name()
        if name not in self._records.counts():
            spec = next((spec for spec in topic.specs() if spec.partitions is not None), TopicSpec(name))
            known = [one for declared in self._declared() for one in declared.specs() if one.name == name]
            counts = [one.partitions for one in (spec, *known) if one.partitions is not None]
            partitions = max(counts, default=int(self.app.conf.topic_partitions))
            best = known[0] if known else spec
            self._records.declare(TopicSpec(name, partitions, cleanup_policy=best.cleanup_policy, config=best.config))
        return self._records.counts()[name]

    def _topic_of(self, place: Any) -> Any:
        """Return the topic, or channel, that a name or an agent stands for."""
        if isinstance(place, Agent):
            return place.channel  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if isinstance(place, Topic | Channel):
            return place  # pyright: ignore[reportUnknownVariableType]
        if isinstance(place, str):
            declared = [topic for topic in self._declared() if tuple(topic.topics) == (place,)]
            typed = [topic for topic in declared if topic.value_type is not None or topic.value_serializer]
            return (typed or declared or [Topic[Any, Any](self.app, (place,))])[0]
        raise ConfigurationError(
            f"expected a topic, the name of one, an agent or a channel, got {place!r}", hint='write "orders"'
        )

    def _declared(self) -> list[Topic[Any, Any]]:
        return [topic for one in self._driven for topic in one.app.declared_topics]

    # -- out ---------------------------------------------------------------------------------------

    @overload
    def read(self, topic: Topic[K, V], *, again: bool = False) -> list[Record[K, V]]: ...

    @overload
    def read(self, topic: str, *, again: bool = False) -> list[Record[Any, Any]]: ...

    def read(self, topic: Any, *, again: bool = False) -> list[Record[Any, Any]]:
        """Return what has come into a topic since it was read last, in the order in which it was written.

        again: from the beginning on; what `read` returns next does not change by that.
        Raises: what decoding a record raises.
        """
        target = self._topic_of(topic)
        decode_key, decode = (codec.decode for codec in target.codecs())
        found: list[tuple[int, Record[Any, Any]]] = []
        for name in target.topics:
            for number in range(self._records.counts().get(name, 0)):
                source = TopicPartition(name, number)
                batch = self._records.look(source, 0 if again else self._read.get(source, 0), _READ_BYTES)
                headers: Any = batch.headers or [()] * len(batch)
                for offset, key, value, ms, pairs in zip(
                    batch.offsets, batch.keys, batch.values, batch.timestamps_ms, headers, strict=True
                ):
                    record = Record(
                        None if key is None else decode_key(key),
                        None if value is None else decode(value),
                        ms / 1000,
                        name,
                        number,
                        offset,
                        dict(pairs),
                    )
                    found.append((self._records.order(source, offset), record))
                if not again:
                    self._read[source] = batch.next_offset
        return [record for _, record in sorted(found, key=lambda one: one[0])]

    @overload
    def table(self, name: Table[K, V]) -> Table[K, V]: ...

    @overload
    def table(self, name: Any) -> Any: ...

    def table(self, name: Any) -> Any:
        """Return a table, by its name or itself, to be read as a web page would: the state after the complete events.

        Raises: ConfigurationError when there is none such; UnavailableError while the worker is down.
        """
        _ = self._loop
        known: dict[str, Any] = {}
        for one in reversed(self._driven):
            known |= one.app.tables
        if not isinstance(name, str):
            return name
        if name not in known:
            raise ConfigurationError(
                f'application {self.app.conf.id} has no table "{name}"', hint=f"it has {', '.join(sorted(known))}"
            )
        return known[name]

    def dead_letters(self) -> list[Letter]:
        """Return the dead letters of the application, with what each record was and why it failed."""
        _ = self._loop
        running = [(one.log, str(one.app.conf.id)) for one in self._driven if one.log is not None]
        boxes = [LetterBox(log, app_id) for log, app_id in running]

        async def find() -> list[Letter]:
            return [letter for box in boxes async for letter in box.find(LetterQuery())]

        return self._run(find(), "the search for dead letters")

    def statistics(self) -> RuntimeStatistics:
        """Return the engine's counters, for instance how many events came late (`.tasks[0].late_events`)."""
        _ = self._loop
        return cast(RuntimeStatistics, self.app.statistics())

    # -- whatever else -----------------------------------------------------------------------------

    def ask(self, agent: Agent[Any], value: Any = None, *, key: Any = None, timeout: float | None = None) -> Any:
        """Send a request to an agent and return its answer.

        Raises: TimeoutError; UserCodeError when the request was dead-lettered, or nothing answers.
        """
        return self.run(agent.ask(value, key=key, timeout=timeout))

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask one of the application's pages, as `driver.request("GET", "/totals?account=ann")`.

        json: what the body says, as JSON. body: it as it is. The request passes the same guard as over a socket.
        Raises: ConfigurationError for an answer that needs a connection.
        """
        named = dict(headers or {})
        if json is not None:
            body = msgspec.json.encode(json)
            named.setdefault("Content-Type", "application/json")
        web = self._web = self._web or self._driven[0].stage.web_application()
        return self.run(answer_to(web, method, path, body, named))

    def run(self, coroutine: Coroutine[Any, Any, T], *, within: float | timedelta = _RUN_S) -> T:
        """Run a coroutine in the application's own event loop and return its result; time passes as it waits.

        within: how long it may take, in seconds of virtual time or as a timedelta.
        Raises: what it raises; UserCodeError when it takes longer.
        """
        return self._run(coroutine, getattr(coroutine, "__qualname__", "the coroutine"), seconds(within))

    def _run(self, coroutine: Coroutine[Any, Any, T], name: str, within_s: float = _RUN_S) -> T:
        try:
            loop = self._loop
        except UnavailableError:
            coroutine.close()
            raise
        result = loop.run_task(loop.create_task(coroutine, name=name), within_s)
        self._drive(VirtualLoop.settle)
        return result

    def _drive(self, go: Callable[[VirtualLoop], None]) -> None:
        go(self._loop)
        for app in (one.app for one in self._driven):
            if app.crashed and app.crash_reason is not None:
                error, app.crash_reason = app.crash_reason, None
                self.crash()
                raise error
