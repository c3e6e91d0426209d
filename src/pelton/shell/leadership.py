"""What only one worker may do at a time: `@app.task`, `@app.timer` and `@app.crontab` with `on_leader=True`.

Which worker that is, and how it is sure of it, is in `pelton.runtime.leading`.
"""

# pyright: basic
# Faust is only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta, tzinfo
from functools import wraps
from typing import Any

from pelton.errors import ConfigurationError
from pelton.runtime.runtime import Runtime
from pelton.runtime.spec import Program

__all__ = ["LeaderOnly", "Leadership"]

logger = logging.getLogger(__name__)

#: How often a task looks whether this worker leads, in seconds.
_LOOK_S = 0.1
#: How long work may take to clean up once it is cancelled, in seconds.
_PATIENCE_S = 5.0

Work = Callable[..., Awaitable[Any]]


class Leadership:
    """Runs work while this worker leads, and cancels it before another one does."""

    def __init__(self, runtime: Callable[[], Runtime | None]) -> None:
        self._runtime = runtime
        self._under_way: set[asyncio.Task[None]] = set()
        self._work: list[Work] = []

    def add(self, work: Work) -> None:
        """Note that a function is for the leader alone."""
        self._work.append(work)

    def check(self, program: Program) -> None:
        """Make sure that a worker can lead. Raises: ConfigurationError for work that would never be done."""
        if self._work and not program.agents:
            names = ", ".join(getattr(work, "__name__", repr(work)) for work in self._work)
            raise ConfigurationError(
                f"{names} is for the leader alone, which owns partition 0, and this program has no partitions: "
                "no agent reads a topic",
                hint="declare an agent on a topic, or leave on_leader out and run one worker",
            )

    def holds(self) -> bool:
        """Return whether this worker leads, as far as it knows."""
        runtime = self._runtime()
        return runtime is not None and runtime.leading.leads()

    def epoch(self) -> int | None:
        """Return a number that is greater for each later leader; None when this worker is none."""
        runtime = self._runtime()
        return None if runtime is None else runtime.leading.epoch()

    async def run(self, work: Work, *args: Any) -> bool:
        """Do work once, if the group takes this worker for the leader now.

        Returns: whether it came to its end; not when another worker leads, or is going to.
        """
        runtime = self._runtime()
        if runtime is None or not self.holds() or not await runtime.leading.confirm():
            return False
        begun = False

        async def begin() -> None:
            nonlocal begun
            if begun := runtime.leading.sure():  # asked last of all: the process may be suspended at any point
                await work(*args)

        task = asyncio.create_task(begin(), name=f"leader {getattr(work, '__name__', work)}")
        self._under_way.add(task)
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            self._under_way.discard(task)
        if task.cancelled():
            return False
        task.result()
        return begun

    async def end(self) -> None:
        """Cancel what is under way, and wait until it has ended."""
        tasks = self._under_way - {asyncio.current_task()}  # it may be work itself that found out
        for task in tasks:
            task.cancel()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=_PATIENCE_S)
            if left:
                logger.error("leader-only work swallows its cancellation: another worker may begin it now: %s", left)


class LeaderOnly:
    """The decorators of an application whose functions may be for its leader alone; a part of `pelton.App`."""

    leadership: Leadership

    def is_leader(self) -> bool:
        """Return whether this worker is the one that runs leader-only tasks, as far as it knows."""
        return self.leadership.holds()

    def leader_epoch(self) -> int | None:
        """Return a number that is greater for each later leader; None when this worker is none.

        Whatever a leader changes outside can refuse a number lower than one that it has seen (a fencing token).
        """
        return self.leadership.epoch()

    def task(self, fun: Work | None = None, *, on_leader: bool = False, traced: bool = True) -> Any:
        """Run an async function at the start of the worker; with on_leader, whenever it becomes the leader.

        Leader-only work is cancelled before another worker may lead; it begins anew there.
        """
        parent: Any = super()
        if not on_leader:
            return parent.task(fun, traced=traced) if fun is not None else parent.task(traced=traced)

        def decorate(fun: Work) -> Any:
            self.leadership.add(fun)

            @wraps(fun)
            async def whenever_leader(*args: Any) -> None:
                app: Any = self
                while not app.should_stop:
                    if await self.leadership.run(fun, *args):
                        while self.is_leader() and not app.should_stop:
                            await app.sleep(_LOOK_S)
                    else:
                        await app.sleep(_LOOK_S)

            return parent.task(whenever_leader, traced=traced)

        return decorate(fun) if fun is not None else decorate

    def timer(self, interval: float | timedelta, on_leader: bool = False, **options: Any) -> Callable[[Work], Any]:
        """Run an async function at intervals; with on_leader, on one worker at a time. options: Faust's."""
        parent: Any = super()
        return lambda fun: parent.timer(interval, **options)(self._guarded(fun) if on_leader else fun)

    def crontab(
        self, cron_format: str, *, timezone: tzinfo | None = None, on_leader: bool = False, traced: bool = True
    ) -> Callable[[Work], Any]:
        """Run an async function at the times of a cron line; with on_leader, on one worker at a time."""
        parent: Any = super()
        decorate = parent.crontab(cron_format, timezone=timezone, traced=traced)
        return lambda fun: decorate(self._guarded(fun) if on_leader else fun)

    def _guarded(self, fun: Work) -> Work:
        self.leadership.add(fun)

        @wraps(fun)
        async def on_the_leader(*args: Any) -> None:
            await self.leadership.run(fun, *args)

        return on_the_leader
