"""The watchdog: a worker is never alive but not consuming (invariant I6).

    well ──stands still for warn_s──▶ stuck ──for exit_s──▶ the process ends with EXIT_STATUS
      ▲                                │
      └──── moves, for warn_s ─────────┘

It is a thread of its own, so that it also sees an event loop that is blocked: it asks the loop for an answer, which the
loop gives between two of its callbacks, and with the answer come the `Findings` of what else should move. Time is
counted in its own turns: a process that was suspended as a whole has not been stuck.

A thread gets no turn while some C code keeps the interpreter's lock (a regular expression that backtracks for ever).
For that there is a second, blunt one behind it, the interpreter's own `faulthandler`: on a signal, which needs no lock,
it writes what every thread is at, and the signal ends the process. The timer that sends it counts the CPU time that the
process takes, so it stands still with a process that is suspended; one by the clock ended such a process as it woke up.
"""

from __future__ import annotations

import asyncio
import faulthandler
import io
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from pelton.runtime.measures import STEP_S, Histogram
from pelton.runtime.vitals import Condition, Findings

__all__ = ["EXIT_STATUS", "Ages", "Health", "Trouble", "Watchdog"]

logger = logging.getLogger(__name__)

#: sysexits.h's EX_TEMPFAIL: "try again"; nothing else in a worker ends with it.
EXIT_STATUS = 75
_LOOP = "loop"
_LAST_RESORT = signal.SIGVTALRM


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that stands still: what, and for how long, in seconds."""

    what: str
    for_s: float


@dataclass(frozen=True, slots=True)
class Health:
    """What `/livez` tells.

    troubles: what stands still, or did until a moment ago; the worker is alive when there are none.
    outage: why the log does not answer, "" when it does; the worker lives, and tries again.
    """

    troubles: tuple[Trouble, ...] = ()
    outage: str = ""

    @property
    def alive(self) -> bool:
        """Whether a supervisor should leave the worker alone."""
        return not self.troubles


class Ages:
    """For how long each condition has kept its mark."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Condition, float]] = {}

    def advance(self, conditions: Mapping[str, Condition], elapsed_s: float) -> Mapping[str, Trouble]:
        """Take a look that comes so long after the last one; return each condition with its age."""
        known = {name: kept for name, kept in self._known.items() if kept[0].resumes}
        for name, condition in conditions.items():
            before, age_s = self._known.get(name, (None, 0.0))
            moved = before is None or before.mark != condition.mark
            known[name] = condition, 0.0 if moved else age_s + elapsed_s
        self._known = known
        return {name: Trouble(one.text, max(0.0, known[name][1] - one.grace_s)) for name, one in conditions.items()}


class Watchdog:
    """Watches the loop it is started on, and what `look` finds there.

    warn_s: when it tells; exit_s: when it ends the process, 0 for never.
    look: what else to watch; it is called on the loop. delay_s: observes how long the loop takes to answer.
    """

    def __init__(self, *, warn_s: float, exit_s: float) -> None:
        self.look: Callable[[], Findings] = Findings
        self.health = Health()
        self.delay_s = Histogram(STEP_S)
        self._warn_s = warn_s
        self._exit_s = exit_s
        self._turn_s = min(1.0, warn_s / 4, exit_s / 8 or 1.0)
        self._ages = Ages()
        self._ended = threading.Event()
        self._asked: int = 0
        self._answered: int = 0
        self._silent_s = 0.0
        self._findings = Findings()
        self._told: dict[str, Trouble] = {}
        self._last_resort = False
        self._well_s = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0

    def start(self) -> None:
        """Watch the running loop from now on."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        if self._exit_s and sys.__stderr__ is not None:
            with suppress(ValueError, OSError):  # a standard error that is no file: there is none to fall back on
                faulthandler.register(_LAST_RESORT, file=sys.__stderr__, chain=True)
                self._last_resort = True
        self._arm()  # code may keep the interpreter to itself before the thread has had its first turn
        threading.Thread(target=self._run, args=(self._loop,), name="pelton watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no more. Idempotent."""
        self._ended.set()
        self._disarm()

    # -- on the loop ---------------------------------------------------------------------------------------------

    def _answer(self, asked: int, asked_s: float) -> None:
        self.delay_s.observe(time.monotonic() - asked_s)
        self._answered = asked
        self._findings = self.look()

    # -- on the thread -------------------------------------------------------------------------------------------

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        before = time.monotonic()
        while not self._ended.wait(self._turn_s):
            now = time.monotonic()
            elapsed_s, before = min(now - before, 2 * self._turn_s), now
            self._arm()
            troubles = dict(self._standing_still(elapsed_s))
            try:
                if self._answered == self._asked:
                    self._asked += 1
                    loop.call_soon_threadsafe(self._answer, self._asked, time.monotonic())
            except RuntimeError:
                break  # the loop is closed: there is nothing left to watch
            self._tell(troubles, elapsed_s)
            if self._exit_s and any(trouble.for_s >= self._exit_s for trouble in troubles.values()):
                self._end(troubles)
        self._disarm()

    def _arm(self) -> None:
        """Put off the moment when the signal ends the process.

        All threads together may take what they can between two turns of this one.
        """
        if self._last_resort and not self._ended.is_set():
            cpu_s = 2 * (self._exit_s + (os.cpu_count() or 1) * self._turn_s)
            signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s)

    def _disarm(self) -> None:
        if self._last_resort:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _standing_still(self, elapsed_s: float) -> Mapping[str, Trouble]:
        """Return everything that stands still, with its age; while the loop is silent, that is the loop."""
        if self._answered != self._asked:
            self._silent_s += elapsed_s
            return {_LOOP: Trouble(f"the event loop is blocked in {self._place()}", self._silent_s)}
        self._silent_s = 0.0
        return self._ages.advance(self._findings.conditions, elapsed_s)

    def _tell(self, troubles: Mapping[str, Trouble], elapsed_s: float) -> None:
        """Log what is new, and keep the answer for `/livez`, which stays for a while when the trouble is over."""
        stuck = {name: trouble for name, trouble in troubles.items() if trouble.for_s >= self._warn_s}
        for name, trouble in stuck.items():
            if name not in self._told:
                logger.error("stuck for %.1f s: %s%s", trouble.for_s, trouble.what, self._stack_of(name))
        if stuck:
            self._told, self._well_s = stuck, 0.0
        elif self._told:
            self._well_s += elapsed_s
            if self._well_s >= self._warn_s:
                logger.warning("it goes on: %s", "; ".join(trouble.what for trouble in self._told.values()))
                self._told = {}
        self.health = Health(tuple(self._told.values()), self._findings.outage)

    def _frames(self) -> list[traceback.FrameSummary]:
        frame = sys._current_frames().get(self._loop_thread)  # pyright: ignore[reportPrivateUsage]
        return list(traceback.extract_stack(frame)) if frame is not None else []

    def _place(self) -> str:
        """Return the line that the loop's thread is at."""
        frames = self._frames()
        return f"{frames[-1].filename}:{frames[-1].lineno} ({frames[-1].name})" if frames else "an unknown place"

    def _stack_of(self, name: str) -> str:
        if name != _LOOP:
            return ""
        return "\n" + "".join(traceback.format_list(self._frames()))

    def _end(self, troubles: Mapping[str, Trouble]) -> None:
        """End the process. What is not committed was never visible, so whoever comes next goes on where this stood."""
        reasons = "; ".join(f"{trouble.what}, for {trouble.for_s:.0f} s" for trouble in troubles.values())
        logger.critical("the worker is stuck and ends with status %d: %s\n%s", EXIT_STATUS, reasons, self._stacks())
        for handler in logging.getLogger().handlers:
            handler.flush()
        os._exit(EXIT_STATUS)

    def _stacks(self) -> str:
        """Return what every thread and every task of the loop is at."""
        text = io.StringIO()
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():  # pyright: ignore[reportPrivateUsage]
            print(f"thread {names.get(ident, ident)}:", *traceback.format_stack(frame), sep="\n", end="", file=text)
        for task in asyncio.all_tasks(self._loop):
            task.print_stack(file=text)
        return text.getvalue()
