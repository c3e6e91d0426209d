"""Standbys: warm copies of partition numbers that other workers own.

A worker with a standby for number n keeps the store of n open and applies the changelogs to it as they grow: committed
records only, so that the copy is what any restore would make of them (invariant I3). When n becomes active, its store
is taken over as it is, and only the tail is replayed. One coroutine serves all copies, a small batch at a time, and
rests for as long as it has worked: what is active comes first. Which numbers, the group decides; what is active is
never written here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pelton.batch import TopicPartition
from pelton.clock import Clock
from pelton.errors import OffsetOutOfRangeError, StateCorruptedError, UnavailableError
from pelton.log.contract import Log, OffsetRange
from pelton.runtime.facts import note_current, notes_every_ms
from pelton.runtime.restore import begin_anew, changelog_writes, forgotten, starting_position, tell_too_slow
from pelton.runtime.spec import TableSpec
from pelton.runtime.threads import in_thread
from pelton.state.contract import Store

__all__ = ["StandbyStatistics", "StandbyStores", "Standbys", "Warm"]

logger = logging.getLogger(__name__)

#: How often the ends of the changelogs are looked at when all copies stand there.
_POLL_S = 0.25
#: The first wait after the log, or a disk, was unavailable; doubled each time.
_RETRY_S = 0.5
_RETRY_MAX_S = 5.0
#: What one step reads and writes: little, as the agents wait while RocksDB applies it.
_STEP_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StandbyStatistics:
    """Where a warm copy stands.

    lag: table -> records between the copy and the end of its changelog partition, as last heard.
    applied: changelog records written to it since it became one.
    """

    number: int
    lag: Mapping[str, int]
    applied: int


@dataclass(frozen=True, slots=True)
class StandbyStores:
    """How a standby comes by its store.

    open: number -> its store, opened if need be. discard: close and delete it. tables: number -> what it holds.
    """

    open: Callable[[int], Awaitable[Store]]
    discard: Callable[[int], Awaitable[None]]
    tables: Callable[[int], Iterable[TableSpec]]


@dataclass(slots=True)
class _Copy:
    number: int
    specs: Mapping[str, TableSpec]
    changelogs: Mapping[str, TopicPartition]
    notes_every_ms: float | None
    store: Store | None = None
    positions: dict[str, int] = field(default_factory=dict[str, int])
    lag: dict[str, int] = field(default_factory=dict[str, int])
    heard_at_s: float = 0.0
    #: When the store last noted of each table that it is up to date, by the wall clock.
    noted_ms: dict[str, int] = field(default_factory=dict[str, int])
    #: How often each was found to be too old since then: the first time it is begun anew.
    too_old: Counter[str] = field(default_factory=Counter[str])
    applied: int = 0
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Warm:
    """A copy as it stands: its store, and how far it is behind.

    lag: see `StandbyStatistics`; heard_at_s: when, by `Clock.monotonic`, the ends of the changelogs were last heard.
    """

    store: Store
    lag: Mapping[str, int]
    heard_at_s: float


class Standbys:
    """The warm copies of one worker.

    busy: whether something active is being restored; the copies wait for that.
    """

    def __init__(self, log: Log, stores: StandbyStores, clock: Clock, busy: Callable[[], bool]) -> None:
        self._log = log
        self._stores = stores
        self._clock = clock
        self._busy = busy
        self._copies: dict[int, _Copy] = {}
        #: Held while a store is opened, written or discarded: a number that leaves must not be touched any more.
        self._touching = asyncio.Lock()
        self._loop: asyncio.Task[None] | None = None

    async def keep(self, numbers: Collection[int]) -> None:
        """Let go of all other copies; once this returns, nothing here touches their stores, which stay open."""
        async with self._touching:
            for number in self._copies.keys() - set(numbers):
                del self._copies[number]

    def follow(self, numbers: Iterable[int]) -> None:
        """Keep copies of these numbers too."""
        for number in sorted(set(numbers) - self._copies.keys()):
            specs = {spec.name: spec for spec in self._stores.tables(number)}
            sources = {name: TopicPartition(spec.changelog.name, number) for name, spec in specs.items()}
            self._copies[number] = _Copy(
                number, MappingProxyType(specs), MappingProxyType(sources), notes_every_ms(specs.values())
            )
        if self._copies and self._loop is None:
            self._loop = asyncio.create_task(self._run(), name="pelton standbys")

    def warm(self, number: int) -> Warm | None:
        """Return a copy; None where there is none, or one that has not been heard of yet."""
        copy = self._copies.get(number)
        if copy is None or copy.store is None or copy.lag.keys() != copy.changelogs.keys():
            return None
        return Warm(copy.store, copy.lag, copy.heard_at_s)

    async def stop(self) -> None:
        """Let go of all copies. Idempotent."""
        await self.keep(())
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    def crash(self) -> BaseException | None:
        """Return the error that ended the following, if one did."""
        loop = self._loop
        return loop.exception() if loop is not None and loop.done() and not loop.cancelled() else None

    def statistics(self) -> tuple[StandbyStatistics, ...]:
        """Return where each copy stands."""
        return tuple(StandbyStatistics(one.number, dict(one.lag), one.applied) for one in self._copies.values())

    async def _run(self) -> None:
        delay = _RETRY_S
        while True:
            started = self._clock.monotonic()
            try:
                moved = not self._busy() and await self._round()
            except UnavailableError as error:
                logger.warning("standbys cannot follow, trying again in %.1f s: %s", delay, error)
                await self._clock.sleep(delay)
                delay = min(delay * 2, _RETRY_MAX_S)
                continue
            delay = _RETRY_S
            await self._clock.sleep(self._clock.monotonic() - started if moved else _POLL_S, idle=True)

    async def _round(self) -> bool:
        """Take each copy a step further. Returns: False when all stand at the end."""
        copies = list(self._copies.values())
        asked_at_s, asked_ms = self._clock.monotonic(), self._clock.time_ms()
        spans = await self._log.offsets([source for copy in copies for source in copy.changelogs.values()])
        moved = False
        for copy in copies:
            copy.heard_at_s = asked_at_s
            try:
                moved |= await self._step(copy, spans, asked_ms)
            except OffsetOutOfRangeError:
                copy.positions.clear()  # trimmed meanwhile: the next round begins where the changelog does
            except StateCorruptedError as error:
                logger.error("the standby of partition %d is discarded and restored: %s", copy.number, error)
                await self._begin_again(copy)
        return moved

    async def _step(self, copy: _Copy, spans: Mapping[TopicPartition, OffsetRange], asked_ms: int) -> bool:
        moved = False
        for table, source in copy.changelogs.items():
            position = await self._position(copy, table, spans[source], asked_ms)
            if position is None:
                return False
            copy.lag[table] = spans[source].end - position
            if copy.lag[table]:
                moved |= await self._apply(copy, table, position, spans[source])
        await self._note(copy, asked_ms)
        if not moved and not copy.complete:
            copy.complete = True
            logger.info("the standby of partition %d has caught up: %d records", copy.number, copy.applied)
        return moved

    async def _note(self, copy: _Copy, asked_ms: int) -> None:
        """Note now and then which tables of a copy hold all that there was when the log was asked."""
        every_ms = copy.notes_every_ms
        if every_ms is None:
            return
        due = {
            table: copy.specs[table]
            for table, lag in copy.lag.items()
            if not lag and asked_ms - copy.noted_ms.get(table, 0) >= every_ms
        }
        if not due:
            return
        async with self._touching:
            if copy.store is not None and self._has(copy):
                await in_thread(note_current, copy.store, due, asked_ms)
                copy.noted_ms |= dict.fromkeys(due, asked_ms)
                for table in due:
                    del copy.too_old[table]

    async def _position(self, copy: _Copy, table: str, span: OffsetRange, asked_ms: int) -> int | None:
        """Return where a table of a copy stands; None when the copy is none any more."""
        if table in copy.positions:
            return copy.positions[table]
        async with self._touching:
            if not self._has(copy):
                return None
            if copy.store is None:
                copy.store = await self._stores.open(copy.number)
            position = await starting_position(copy.store, copy.specs[table], span, copy.changelogs[table], asked_ms)
        copy.positions[table] = position
        del copy.too_old[table]
        return position

    async def _apply(self, copy: _Copy, table: str, position: int, span: OffsetRange) -> bool:
        """Read some records and write them to the copy."""
        spec, source = copy.specs[table], copy.changelogs[table]
        batch = await self._log.read(source, position, bytes_max=_STEP_BYTES, timeout_s=_POLL_S)
        if batch.next_offset <= position:
            return False
        async with self._touching:
            if copy.store is None or not self._has(copy):
                return False
            if forgotten(copy.store, table, spec, batch, position, self._clock.time_ms()):
                copy.too_old[table] += 1
                if copy.too_old[table] == 1:
                    now_ms = self._clock.time_ms()
                    copy.positions[table] = await begin_anew(copy.store, spec, span, source, now_ms)
                    copy.lag[table] = span.end - span.start
                    return True
                if copy.too_old[table] == 2:
                    tell_too_slow(source)
            await in_thread(copy.store.write, {table: changelog_writes(batch, spec.format)})
        copy.lag[table] = max(0, copy.lag[table] - (batch.next_offset - position))
        copy.positions[table] = batch.next_offset
        copy.applied += len(batch)
        return True

    async def _begin_again(self, copy: _Copy) -> None:
        async with self._touching:
            if self._has(copy):
                await self._stores.discard(copy.number)
        copy.store = None
        copy.positions.clear()
        copy.lag.clear()

    def _has(self, copy: _Copy) -> bool:
        return self._copies.get(copy.number) is copy
