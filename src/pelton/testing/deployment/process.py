"""A process of a deployment: started, started again, ended, and what it printed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from pelton.testing.broker.program import tail

__all__ = ["Process"]


class Process:
    """One place for a process, in a session of its own: Ctrl-C reaches it through its supervisor alone.

    name: for messages, and for the file of its output, `<name>.log`. environment: beside ours.
    ready: whether it does its work since it was started; set by its supervisor.
    """

    def __init__(self, name: str, command: Sequence[str], directory: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.ready = False
        self._command = command
        self._output = directory / f"{name.replace(' ', '-')}.log"
        self._environment = dict(os.environ) | dict(environment)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def started(self) -> bool:
        """Whether it was ever started."""
        return self._process is not None

    @property
    def status(self) -> int | None:
        """The exit status, None while it runs, and before it was started."""
        return self._process.returncode if self._process is not None else None

    async def start(self) -> None:
        """Start it, or start it again; what it prints is added to its file."""
        self.ready = False
        with self._output.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def wait(self) -> int:
        """Wait for its end; return the exit status."""
        assert self._process is not None
        return await self._process.wait()

    async def end(self, number: signal.Signals, timeout_s: float) -> int | None:
        """Tell it to end, and return its exit status; None when it had to be killed after the time."""
        process = self._process
        assert process is not None
        if process.returncode is None:
            process.send_signal(number)
        try:
            async with asyncio.timeout(timeout_s):
                return await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            return None

    def tail(self) -> str:
        """Return the last lines that it printed."""
        return tail(self._output)
