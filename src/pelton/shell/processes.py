"""A worker of several processes: the same command so many times, kept running and ended together.

CPython runs one thread of Python at a time, so one process is one core's worth of work. Each process here is a whole
worker, a member of the group with partitions of its own, on the same data directory; nothing is shared but the log.
This module starts them, passes signals on, and starts one anew that ends by itself; it knows nothing of what they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence

__all__ = ["PARENT", "end_with_parent", "run_processes"]

logger = logging.getLogger(__name__)

#: A process that ends sooner than this after its start is not started anew: what ended it would end it again.
EARLY_S = 10.0
#: The wait before a process is started anew.
RESTART_S = 1.0
#: How often a process looks whether the one that started it is still there.
ORPHAN_LOOK_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: The variable that tells a process who started it, and without whom it ends.
PARENT = "PELTON_PARENT_PID"


def run_processes(commands: Sequence[tuple[Sequence[str], Mapping[str, str]]], *, early_s: float = EARLY_S) -> int:
    """Run these commands until a signal ends them, or until one of them ends soon after its start.

    commands: the words of each, and what its environment has besides ours. SIGINT and SIGTERM go to all of them.
    Returns: the exit status, 0 when all ended in order.
    """
    return asyncio.run(_Family(commands, early_s).run())


def end_with_parent() -> None:
    """End this process in order, as by SIGTERM, when the one that started it for `run_processes` is gone.

    It was killed, and whoever starts it again gets processes of its own.
    """
    parent = os.environ.get(PARENT)
    if parent is not None:
        threading.Thread(target=_watch, args=(int(parent),), name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)


class _Family:
    """The processes, by the place of their command."""

    def __init__(self, commands: Sequence[tuple[Sequence[str], Mapping[str, str]]], early_s: float) -> None:
        self._commands = commands
        self._early_s = early_s
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._stop = asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for signum in _SIGNALS:
            loop.add_signal_handler(signum, self._pass_on, signum)
        try:
            statuses = await asyncio.gather(*(self._keep(index) for index in range(len(self._commands))))
        finally:
            for signum in _SIGNALS:
                loop.remove_signal_handler(signum)
        return next((status for status in statuses if status), 0)

    async def _keep(self, index: int) -> int:
        """Run one command, anew when it ends by itself; returns its last status."""
        words, variables = self._commands[index]
        environment = {**os.environ, **variables, PARENT: str(os.getpid())}
        while True:
            started = time.monotonic()
            # A session of its own: Ctrl-C reaches it through us alone, once.
            process = await asyncio.create_subprocess_exec(*words, start_new_session=True, env=environment)
            self._processes[index] = process
            if self._stop.is_set():
                _signal(process, signal.SIGTERM)
            status = await process.wait()
            if self._stop.is_set():
                return status
            early = time.monotonic() - started < self._early_s
            then = "so soon that all end" if early else "it is started anew"
            logger.error("process %d of %d ended with status %d, %s", index + 1, len(self._commands), status, then)
            if early:
                self._pass_on(signal.SIGTERM)
                return status
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RESTART_S):
                    await self._stop.wait()

    def _pass_on(self, signum: int) -> None:
        """End all of them in order."""
        self._stop.set()
        for process in self._processes.values():
            _signal(process, signum)


def _signal(process: asyncio.subprocess.Process, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signum)
