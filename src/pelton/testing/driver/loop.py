"""An event loop whose time stands still until somebody moves it, and that is run for a while, within another one too.

    run ──▶ steps, until nothing is ready ──▶ rest: let time pass to the next timer, or give control back

It is asyncio's own loop with another clock and a selector that never waits. What is handed to the default executor
runs at once, on this thread. Sockets and other executors work, and are waited for in real time, a moment each.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, TypeVarTuple, Unpack

from pelton.clock import wait_for
from pelton.errors import UserCodeError

__all__ = ["VirtualClock", "VirtualLoop"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: How long the engine may wait between attempts before a test is told that it never comes to rest, in virtual seconds.
_PATIENCE_S = 300.0
#: How long the outside world is waited for, once nothing else is to be done, in real seconds.
_OUTSIDE_S, _SOCKETS_S = 10.0, 0.05
#: How many turns go by before the sockets are looked at again while there is something else to do.
_LOOK_OUT_EVERY = 16
#: How often a task is cancelled that goes on all the same.
_CANCELLATIONS = 3
#: Two times that are so close are one, in seconds.
_SAME_S = 1e-9


class _Selector(selectors.DefaultSelector):
    """Looks at the sockets, and never waits for time to pass. loop: set before the first look."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready. timeout: how far away the loop's next timer is; None when there is none."""
        self.loop.turned()
        if timeout == 0 and self.loop.turns % _LOOK_OUT_EVERY:
            return []
        found = super().select(0)
        if found or timeout == 0:
            return found
        patience = self.loop.outside_s()
        if patience and (found := super().select(patience)):
            return found
        self.loop.rest(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop of one life of a worker.

    now: what its time is at the beginning, in seconds. turns: how often it has gone round; between two of its turns
    anything may happen to the worker.
    """

    def __init__(self, now: float = 0.0) -> None:
        selector = _Selector()
        self.turns = 0
        self._now = now
        self._horizon = self._limit = now
        self._turns_max: int | None = None
        self._done: Callable[[], bool] = _never
        self._pauses: list[float] = []
        self._looks: dict[asyncio.Timeout, float] = {}
        self._elsewhere = 0
        self._sockets = selector.get_map()
        selector.loop = self
        super().__init__(selector)

    # -- running -----------------------------------------------------------------------------------

    def settle(self) -> None:
        """Do all that can be done now. Time passes only where the engine waits before it tries something again.

        Raises: UserCodeError when that has no end.
        """
        self._run(0.0, _never)

    def advance(self, seconds: float) -> None:
        """Let so much time pass, and do all that falls due. Raises: UserCodeError."""
        self.settle()
        self._run(seconds, _never)

    def run_task(self, task: asyncio.Task[T], within_s: float) -> T:
        """Run until a task is done, letting as much time pass as it waits for.

        Raises: what the task raises; UserCodeError when it is not done within so much virtual time.
        """
        self._run(within_s, task.done)
        if not task.done():
            task.cancel()
            self.settle()
            raise UserCodeError(
                f"{task.get_name()} was not done within {within_s:g} s of virtual time",
                hint="what it waits for never comes, or later: send that first, or give it a timeout of its own",
            )
        return task.result()

    def unwind(self, within_s: float) -> None:
        """Cancel all tasks, let them end, and close the loop; one that swallows it is left behind after so long."""
        self.set_exception_handler(_ignore)
        for _ in range(_CANCELLATIONS):
            for task in asyncio.all_tasks(self):
                task.cancel()
            with suppress(UserCodeError):
                self.advance(within_s)
        self.run_task(self.create_task(self.shutdown_asyncgens()), within_s)
        self.close()

    def turn(self, turns: int) -> None:
        """Go round so many times at most, or until nothing more can be done."""
        self._turns_max = self.turns + turns
        try:
            if turns:
                self.settle()
        finally:
            self._turns_max = None

    def _run(self, seconds: float, done: Callable[[], bool]) -> None:
        self._horizon, self._done = self._now + seconds, done
        self._limit = self._horizon + _PATIENCE_S
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(None)  # a test may have a loop of its own, which stands still meanwhile
        try:
            self.run_forever()
        finally:
            asyncio._set_running_loop(outer)

    def turned(self) -> None:
        """Count a turn."""
        self.turns += 1
        if self._turns_max is not None and self.turns >= self._turns_max:
            self.stop()

    def outside_s(self) -> float:
        """Return how long the outside world may be waited for, in real seconds."""
        if self._elsewhere:
            return _OUTSIDE_S
        return _SOCKETS_S if len(self._sockets) > 1 else 0.0  # one of them is the loop's own

    def rest(self, timer: float | None) -> None:
        """Nothing is ready: let time pass, or give control back. Raises: UserCodeError."""
        target = float("inf") if timer is None else self._now + timer
        if self._done():
            self.stop()
        elif self._pauses and target > self._horizon:
            if target > self._limit:
                raise UserCodeError(
                    f"the application does not come to rest: it has tried again for {_PATIENCE_S:g} s of virtual time",
                    hint="an agent fails before its first event, or ends at once; the log tells more",
                )
            self._move(target)
        elif self._now < self._horizon - _SAME_S:
            self._move(min(target, self._horizon))
        else:
            self.stop()

    def _move(self, now: float) -> None:
        self._now = now
        for timeout, when in self._looks.items():
            if when <= now + _SAME_S:
                timeout.reschedule(now)

    # -- what the engine waits for -----------------------------------------------------------------

    @contextmanager
    def pausing(self, seconds: float) -> Generator[None]:
        """Say that the engine waits so long before it tries something again: `settle` lets that much time pass."""
        until = self._now + seconds
        self._pauses.append(until)
        try:
            yield
        finally:
            self._pauses.remove(until)

    @contextmanager
    def looking(self, timeout: asyncio.Timeout, seconds: float) -> Generator[None]:
        """Say that the engine looks again after so long: that is no reason to stop there on the way to a later time."""
        self._looks[timeout] = self._now + seconds
        try:
            yield
        finally:
            del self._looks[timeout]

    # -- asyncio's interface -----------------------------------------------------------------------

    def time(self) -> float:
        """Return virtual seconds."""
        return self._now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run a function at once, on this thread; in an executor that the caller brings, where there is one."""
        if executor is not None:
            outside = super().run_in_executor(executor, func, *args)
            self._elsewhere += 1
            outside.add_done_callback(self._came_back)
            return outside
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def _came_back(self, _: asyncio.Future[Any]) -> None:
        self._elsewhere -= 1


class VirtualClock:
    """The clocks of an application on a `VirtualLoop`.

    now: returns that loop's time, in seconds. start_s: what the wall clock shows when it is 0.
    """

    def __init__(self, now: Callable[[], float], start_s: float) -> None:
        self._now = now
        self._start_s = start_s

    def time_ms(self) -> int:
        """Return the wall clock in milliseconds since the epoch."""
        return round((self._start_s + self._now()) * 1000)

    def monotonic(self) -> float:
        """Return seconds since the beginning."""
        return self._now()

    async def sleep(self, seconds: float, *, idle: bool = False) -> None:
        """Return after so many virtual seconds, which pass by themselves unless it is idle."""
        if idle:
            await self.wait(asyncio.Event(), seconds)
            return
        with _loop().pausing(seconds):
            await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float, *, due: bool = False) -> None:
        """Return when an event is set, or when time has moved by so much; by itself where something is due then."""
        if due:
            with _loop().pausing(seconds):
                await wait_for(event, seconds)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as timeout:
                with _loop().looking(timeout, seconds):
                    await event.wait()


def _loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def _ignore(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Take no notice: it comes from a worker that is dead."""


def _never() -> bool:
    return False
