"""An event loop in virtual time, whose tasks belong to processes that can be stopped or killed between any two steps.

A step is one run of a callback: what asyncio does between two awaits. Within a process steps run in asyncio's order;
which process runs next is drawn. When nobody can run, time jumps to the next timer. There are no threads: what is
handed to an executor runs whole, at a later moment, in the process that asked for it.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from asyncio import BaseEventLoop, Future, Handle, Task, TimerHandle
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from typing import Any, TypeVar, TypeVarTuple, Unpack

from pelton.testing.simulation.chance import Chance

__all__ = ["Killed", "Process", "SimulatedLoop", "Stuck", "current_process", "process_name"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: What one step takes, in seconds of virtual time.
_STEP_S = 2e-6
#: More steps than any run needs: a run that takes more goes round in circles.
_STEPS_MAX = 1_000_000
#: More rounds than the tasks of any run need to end when they are cancelled.
_UNWINDING_MAX = 10_000


class Killed(BaseException):
    """The process has just died; whoever catches this must not go on in its name."""


class Stuck(Exception):
    """Nothing will ever happen any more, or always the same."""


class Process:
    """What stands for a process of the operating system: all tasks and timers that were started within it.

    running ⇄ stopped ──▶ dead
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready: deque[Handle] = deque()
        self.stopped = False
        self.dead = False
        self.steps = 0
        self.fate: tuple[int, Callable[[], None]] | None = None
        self.context = copy_context()
        self.context.run(_PROCESS.set, self)

    def meet_fate(self, steps: int, end: Callable[[], None]) -> None:
        """Call a function, which kills or stops the process, once it has done so many more steps."""
        self.fate = (self.steps + steps, end)

    @property
    def runs(self) -> bool:
        """Whether it does anything."""
        return not (self.dead or self.stopped)

    def __repr__(self) -> str:
        return f"<Process {self.name}>"


_PROCESS: ContextVar[Process] = ContextVar("simulated_process")


def current_process() -> Process:
    """Return the process that the running code belongs to. Raises: Killed when it is dead."""
    process = _PROCESS.get()
    if process.dead:
        raise Killed(process.name)
    return process


def process_name() -> str:
    """Return the name of the process that the running code belongs to; "" when it belongs to none."""
    process = _PROCESS.get(None)
    return process.name if process is not None else ""


class SimulatedLoop(BaseEventLoop):
    """The loop of one run.

    thread_delay: how long a process waits for work that it hands to a thread, in seconds.
    """

    def __init__(self, chance: Chance) -> None:
        super().__init__()
        self.thread_delay: Callable[[Process], float] = lambda _: 0.0
        self.steps = 0
        self._chance = chance
        self._now = 0.0
        self._timers: list[tuple[float, int, Process, TimerHandle]] = []
        self._timer_count = 0
        self._runnable: list[Process] = []
        self._tasks: list[tuple[Process, Task[Any]]] = []
        self._error: BaseException | None = None
        self._closed = False

    # -- running ---------------------------------------------------------------------------------------------------

    def run(self, process: Process, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in a process until it is done, and everything else meanwhile.

        Raises: what it raises, or what was handed to `fail`; Stuck.
        """
        hooks, collecting = sys.get_asyncgen_hooks(), gc.isenabled()
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        sys.set_asyncgen_hooks(finalizer=self._finalize)
        gc.disable()  # whose finalizers would otherwise run at moments that depend on the runs before
        try:
            task = self.spawn(process, main)
            while not task.done() and self._error is None:
                self._step()
            if self._error is not None:
                raise self._error
            return task.result()
        finally:
            self._dispose()
            if collecting:
                gc.enable()
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(before)

    def fail(self, error: BaseException) -> None:
        """End the run with an error after the step under way."""
        if self._error is None:
            self._error = error

    def spawn(self, process: Process, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Start a task in a process."""
        return self.create_task(coroutine, context=process.context.copy())

    def _step(self) -> None:
        timers, runnable = self._timers, self._runnable
        if not runnable:
            if not timers:
                raise Stuck("every task waits for something that nobody will do")
            self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            _, _, process, timer = heappop(timers)
            if not timer.cancelled():
                self._make_ready(process, timer)
        if not runnable:
            return
        process = self._chance.pick(runnable) if len(runnable) > 1 else runnable[0]
        handle = process.ready.popleft()
        if not process.ready:
            runnable.remove(process)
        if handle.cancelled():
            return
        self._count(process)
        if not process.runs:
            process.ready.appendleft(handle)
            return
        self._now += _STEP_S
        handle._run()  # pyright: ignore[reportPrivateUsage]

    def _count(self, process: Process) -> None:
        self.steps += 1
        if self.steps > _STEPS_MAX:
            raise Stuck(f"{_STEPS_MAX:,} steps and no end")
        process.steps += 1
        if process.fate is not None and process.steps >= process.fate[0]:
            end, process.fate = process.fate[1], None
            end()

    def _make_ready(self, process: Process, handle: Handle) -> None:
        if not process.ready and process.runs:
            self._runnable.append(process)
        process.ready.append(handle)

    # -- what happens to processes ---------------------------------------------------------------------------------

    def kill(self, process: Process) -> None:
        """Let a process do nothing any more, not even finish what it was at."""
        process.dead = True
        if process in self._runnable:
            self._runnable.remove(process)

    def stop_process(self, process: Process) -> None:
        """Let a process stand still (SIGSTOP): its timers come due, and nothing of it runs."""
        process.stopped = True
        if process in self._runnable:
            self._runnable.remove(process)

    def continue_process(self, process: Process) -> None:
        """Let a process that stands still go on (SIGCONT)."""
        if process.stopped and not process.dead:
            process.stopped = False
            if process.ready:
                self._runnable.append(process)

    # -- asyncio's interface ---------------------------------------------------------------------------------------

    def time(self) -> float:
        """Return seconds since the beginning of the run."""
        return self._now

    def call_soon(self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None) -> Handle:
        """Run a callback as the next step of its process."""
        handle = Handle(callback, args, self, context)
        process = _PROCESS.get() if context is None else context[_PROCESS]
        self._make_ready(process, handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> TimerHandle:
        """Run a callback at a time."""
        timer = TimerHandle(when, callback, args, self, context)
        process = _PROCESS.get() if context is None else context[_PROCESS]
        self._timer_count += 1
        heappush(self._timers, (when, self._timer_count, process, timer))
        return timer

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> TimerHandle:
        """Run a callback after so many seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_future(self) -> Future[Any]:
        """Return a future of this loop."""
        return Future(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Context | None = None) -> Task[Any]:
        """Start a task in the process that the context belongs to."""
        task: Task[Any] = Task(coro, loop=self, name=name, context=context)
        # A dead process's tasks must not be finalized, for that would run their code.
        self._tasks.append((_PROCESS.get() if context is None else context[_PROCESS], task))
        return task

    def run_in_executor(self, executor: Any, func: Callable[[Unpack[Ts]], T], *args: *Ts) -> Future[T]:
        """Run a function later, whole, in the process that asks; when that dies meanwhile, it does not run."""
        future: Future[T] = self.create_future()
        self.call_later(self.thread_delay(current_process()), _run_whole, future, func, args)
        return future

    def is_running(self) -> bool:
        """Return whether the loop runs; it has no other state that anybody could see."""
        return not self._closed

    def is_closed(self) -> bool:
        """Return whether the run is over."""
        return self._closed

    def get_debug(self) -> bool:
        """Return False: asyncio's debug mode measures real time."""
        return False

    def set_debug(self, enabled: bool) -> None:
        """Do nothing, for the same reason."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Fail the run: an exception that nobody took is a fault of the engine or of the simulation."""
        if not self._closed:
            error = context.get("exception")
            self.fail(error if error is not None else RuntimeError(context["message"]))

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        """Do nothing: a cancelled timer is dropped when its time comes."""

    def _finalize(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Close a generator that was left, as every loop does."""
        if not self._closed:
            self.create_task(generator.aclose())

    def _dispose(self) -> None:
        """Cancel every task, also of the dead, and let it unwind: whatever its code still tries ends in Killed.

        Left to the garbage collector, coroutines would be closed at awaits that they may not end at.
        """
        self._closed = True
        for process, task in list(self._tasks):
            process.dead = True
            task.cancel()
        for _ in range(_UNWINDING_MAX):
            ready = [(process, process.ready) for process in dict(self._tasks) if process.ready]
            for _, handles in ready:
                handle = handles.popleft()
                if not handle.cancelled():
                    handle._run()  # pyright: ignore[reportPrivateUsage]
            if not ready:
                if not self._timers:
                    break
                _, _, process, timer = heappop(self._timers)
                self._make_ready(process, timer)
        self._tasks.clear()


def _run_whole(future: Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        result = func(*args)
    except Killed:
        future.cancel()
    except Exception as error:
        if not future.done():
            future.set_exception(error)
    else:
        if not future.done():
            future.set_result(result)
