"""The engine as a service of Faust's worker: it opens the log and runs the runtime; when that fails, so does it."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mode import Service

from pelton.metrics.exposition import Snapshot
from pelton.metrics.lag import LagWatch, PartitionLag
from pelton.runtime.pauses import Pause, Pauses
from pelton.runtime.retry import until_available
from pelton.runtime.runtime import Runtime
from pelton.runtime.spec import RuntimeOptions
from pelton.runtime.vitals import Condition, Findings, Vitals
from pelton.runtime.watchdog import Health, Watchdog
from pelton.shell.channel import Channel, ChannelLane
from pelton.shell.guard import web_address
from pelton.shell.program import build_program
from pelton.shell.rebalances import Rebalances
from pelton.shell.slot import WorkerSlot
from pelton.state.contract import StoreFactory
from pelton.state.rocksdb import RocksStores
from pelton.tracing.choice import start_tracing

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["Engine"]

logger = logging.getLogger(__name__)


class Engine(Service):
    """Runs an application's agents for as long as the worker runs."""

    def __init__(self, app: App, **options: Any) -> None:
        super().__init__(**options)
        self.app = app
        self.runtime: Runtime | None = None
        config = app.config
        self._watchdog = Watchdog(warn_s=config.watchdog_warn_ms / 1000, exit_s=config.watchdog_exit_ms / 1000)
        self._vitals: Vitals | None = None
        self._lag_watch: LagWatch | None = None
        self._slot: WorkerSlot | None = None
        self._pauses: Pauses | None = None
        self._channel_lanes: list[asyncio.Task[None]] = []
        self._opening: asyncio.Task[None] | None = None

    @property
    def health(self) -> Health:
        """What the watchdog thinks of this worker."""
        return self._watchdog.health

    def pauses(self) -> Mapping[str, Pause]:
        """Return the agents that are paused, and why."""
        return self._pauses.paused if self._pauses is not None else {}

    def lags(self) -> Sequence[PartitionLag]:
        """Return how far each partition is behind that runs here, as of a moment ago."""
        return self._lag_watch.lags if self._lag_watch is not None else ()

    def snapshot(self) -> Snapshot | None:
        """Return what `/metrics` tells; None before the engine has started. Asks every store."""
        app, runtime = self.app, self.runtime
        if runtime is None:
            return None
        return Snapshot(app.conf.id, app.clock.time_ms(), runtime.statistics(), runtime.storage(), self.lags())

    def waiting(self) -> Sequence[str]:
        """Return what this worker waits for before it is ready; nothing when it is."""
        if self.should_stop:
            return ["the worker stops"]
        return self.runtime.waiting() if self.runtime is not None else ["the worker starts"]

    async def on_start(self) -> None:
        """Open the log and begin. When the worker is told to stop meanwhile, return: nothing has begun then."""
        self._settle_in()
        self._opening = asyncio.create_task(self._open(), name="pelton start")
        try:
            await self._opening
        except asyncio.CancelledError:
            if not self.should_stop:
                raise

    # What it takes of the machine; a driven application has none (`pelton.shell.driven`).

    def _settle_in(self) -> None:
        self._watchdog.start()
        _ease_collector()

    def _name(self) -> str:
        self._slot = WorkerSlot(self.app.conf.datadir)
        return self._slot.name

    def _stores(self) -> StoreFactory:
        return RocksStores(self.app.config.table_cache_bytes_max)

    def _trace(self, name: str) -> None:
        app = self.app
        system = "sqlite" if str(app.conf.broker[0]).startswith("sqlite") else "kafka"
        app.tracing = start_tracing(app.config, os.environ, app.conf.id, name, system)

    async def _end_trace(self) -> None:
        tracing, self.app.tracing = self.app.tracing, None
        if tracing is not None:
            await asyncio.to_thread(tracing.close)  # it sends what is left, if there is who takes it

    def _watch_over(self, runtime: Runtime) -> None:
        self._vitals = Vitals(
            runtime.pulse,
            self.app.log_connection,
            self.app.clock,
            ask_every_s=self.app.config.watchdog_warn_ms / 3000,
            commit_s=self.app.config.commit_interval_ms / 1000,
        )
        self._watchdog.look = self._vitals.look
        self._watchdog.delay_s = runtime.measures.loop_delay_s
        self._lag_watch = LagWatch(runtime, self.app.log_connection, self.app.clock)
        runtime.crashes.append(self._lag_watch.crash)

    async def _open(self) -> None:
        app = self.app
        await app.open_log()
        conf, name = app.conf, self._name()
        self._trace(name)
        instance_id = getattr(conf, "consumer_group_instance_id", None) or None
        options = RuntimeOptions(
            app_id=conf.id,
            directory=conf.tabledir,
            config=app.config,
            guarantee=app.guarantee,
            partitions=conf.topic_partitions,
            address=web_address(conf),
            instance_id=instance_id or name,
            returns=instance_id is not None,
            standby_replicas=conf.table_standby_replicas,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
        )
        program = await build_program(app)
        app.leadership.check(program)
        rebalances = Rebalances(app)
        runtime = Runtime(
            program, app.log_connection, self._stores(), options, app.clock, rebalances.assigned, app.tracing
        )
        pauses = self._pauses = Pauses(
            app.log_connection, conf.id, app.clock, lambda: runtime.pause(pauses.paused.keys())
        )
        runtime.crashes.append(pauses.crash)
        runtime.leading.ending = app.leadership.end
        try:
            await until_available(pauses.start, "read which agents are paused", app.clock)
            await runtime.start()
        except BaseException:
            await runtime.stop()
            raise
        self.runtime = runtime
        self._watch_over(runtime)
        self._channel_lanes = [
            asyncio.create_task(self._channel_lane(agent).run(), name=agent.name)
            for agent in app.agents.values()
            if isinstance(agent.channel, Channel)
            for _ in range(agent.concurrency)
        ]

    def _channel_lane(self, agent: Any) -> ChannelLane:
        return ChannelLane(agent.name, agent.channel, agent.run, agent.emit, lambda: agent.name in self.pauses())

    @Service.task
    async def _watch(self) -> None:
        """End the worker when the runtime ends."""
        assert self.runtime is not None
        try:
            await self.runtime.run()
        except Exception as error:
            logger.critical("the engine stopped: %s", error, exc_info=error)
            await self.crash(error)

    async def wait_until_ready(self) -> None:
        """Return when all partitions of this worker are restored and run; at once where it was told to stop before."""
        if self.runtime is not None:
            await self.runtime.ready.wait()

    async def on_stop(self) -> None:
        """Commit what is complete, leave the group, close everything."""
        self._watchdog.look = _stopping
        try:
            await self._stop()
        finally:
            self._watchdog.stop()

    async def _stop(self) -> None:
        if self._opening is not None and not self._opening.done():
            # It may wait for a broker that does not answer, and would find the log closed under it.
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._vitals is not None:
            await self._vitals.close()
        if self._lag_watch is not None:
            await self._lag_watch.close()
        if self._pauses is not None:
            await self._pauses.stop()
        for lane in self._channel_lanes:
            lane.cancel()
        await asyncio.gather(*self._channel_lanes, return_exceptions=True)
        if self.runtime is not None:
            await self.runtime.stop()
        await self.app.close_log()
        await self._end_trace()
        if self._slot is not None:
            self._slot.release()


def _stopping() -> Findings:
    return Findings({"stop": Condition(None, "the worker was told to stop, and does not come to its end")})


def _ease_collector() -> None:
    """Let Python look for garbage cycles more rarely: decoded batches are many objects, and none of them is in a cycle.

    Measured on W1: 5 % of the worker's CPU time, and pauses of tens of milliseconds, went into looking.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
