"""The engine as a service of Faust's worker: it opens the log and runs the runtime; when that fails, so does it."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import asyncio
import gc
import logging
from typing import TYPE_CHECKING, Any

from mode import Service

from pelton.runtime.runtime import Runtime, RuntimeOptions
from pelton.shell.channel import Channel, ChannelLane
from pelton.shell.program import build_program
from pelton.shell.rebalances import Rebalances
from pelton.shell.slot import WorkerSlot
from pelton.state.rocksdb import RocksStores

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
        self._slot: WorkerSlot | None = None
        self._channel_lanes: list[asyncio.Task[None]] = []

    async def on_start(self) -> None:
        """Open the log and begin."""
        app = self.app
        _ease_collector()
        await app.open_log()
        conf = app.conf
        self._slot = WorkerSlot(conf.datadir)
        instance_id = getattr(conf, "consumer_group_instance_id", None) or None
        options = RuntimeOptions(
            app_id=conf.id,
            directory=conf.tabledir,
            config=app.config,
            guarantee=app.guarantee,
            partitions=conf.topic_partitions,
            address=f"{conf.web_host}:{conf.web_port}" if conf.web_enabled else "",
            instance_id=instance_id or self._slot.name,
            returns=instance_id is not None,
            standby_replicas=conf.table_standby_replicas,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
        )
        stores = RocksStores(app.config.table_cache_bytes_max)
        program = await build_program(app)
        runtime = Runtime(program, app.log_connection, stores, options, app.clock, Rebalances(app).assigned)
        await runtime.start()
        self.runtime = runtime
        self._channel_lanes = [
            asyncio.create_task(ChannelLane(agent.name, agent.channel, agent.run, agent.emit).run(), name=agent.name)
            for agent in app.agents.values()
            if isinstance(agent.channel, Channel)
            for _ in range(agent.concurrency)
        ]

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
        """Return when every partition of this worker has been restored and runs."""
        assert self.runtime is not None
        await self.runtime.ready.wait()

    async def on_stop(self) -> None:
        """Commit what is complete, leave the group, close everything."""
        for lane in self._channel_lanes:
            lane.cancel()
        await asyncio.gather(*self._channel_lanes, return_exceptions=True)
        if self.runtime is not None:
            await self.runtime.stop()
        await self.app.close_log()
        if self._slot is not None:
            self._slot.release()


def _ease_collector() -> None:
    """Let Python look for garbage cycles more rarely: decoded batches are many objects, and none of them is in a cycle.

    Measured on W1: 5 % of the worker's CPU time, and pauses of tens of milliseconds, went into looking.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
