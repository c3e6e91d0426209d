"""The workers of the soak: each has a directory of its own, as if it had a machine of its own."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pelton.testing.broker import free_ports
from tests.kill.kill_process import PROGRAM, ROOT, start_worker, worker_environment

#: How long a worker that was told to stop may take.
STOP_S = 60.0
_TAIL_LINES = 25
_SETTINGS = {
    # Each event of a window is put out, so that every window is judged.
    "KILL_ALERT_FROM": "1",
    "PELTON_COMMIT_INTERVAL_MS": "200",
    # A large cache is never asked to let go of anything; this one is.
    "PELTON_TABLE_CACHE_BYTES_MAX": "1 MiB",
}


@dataclass(slots=True)
class Worker:
    """One place for a worker, and the process that is there now.

    busy: a fault is under way here. port: of its web server, which lasts as the place does; 0 before it has one.
    """

    place: str
    directory: Path
    process: subprocess.Popen[bytes] | None = None
    busy: bool = False
    port: int = 0

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.directory / self.place

    @property
    def output(self) -> Path:
        """The file that takes what it prints."""
        return self.directory / f"{self.place}.txt"


class Workers:
    """All workers. What ends without being told to is noted, and started again.

    broker, run: the log's URL, and the program's name. say: is told what happens.
    settings: environment variables of all of them, beside those of the soak; with WEB_BIND they have web servers.
    named: whether each has its place for a name in the group, that it keeps it while it is away (static membership, as
        the pods of a StatefulSet).
    exits: each unexpected end, in words.
    """

    def __init__(
        self,
        broker: str,
        run: str,
        directory: Path,
        count: int,
        say: Callable[[str], None],
        *,
        settings: Mapping[str, str] | None = None,
        named: bool = False,
    ) -> None:
        self.exits: list[str] = []
        self.fixed = [Worker(f"worker-{number}", directory) for number in range(count)]
        self.extra: list[Worker] = []
        self._broker = broker
        self._run = run
        self._directory = directory
        self._say = say
        self._settings = {**_SETTINGS, **(settings or {})}
        self._named = named
        self._extras = 0

    def start(self, worker: Worker) -> None:
        """Start a worker at its place."""
        settings = dict(self._settings)
        if self._named:
            settings["CONSUMER_GROUP_INSTANCE_ID"] = worker.place
        if "WEB_BIND" in settings:
            worker.port = worker.port or free_ports(1)[0]
            settings |= {"WEB_HOST": "127.0.0.1", "WEB_PORT": str(worker.port)}
        worker.process = start_worker(self._broker, self._run, worker.data, worker.output, settings)

    def pick(self, number: int) -> Worker | None:
        """Return a worker that no fault has hold of, if possible the one of this number."""
        order = self.fixed[number:] + self.fixed[:number]
        return next((worker for worker in order if not worker.busy), None)

    def kill(self, worker: Worker) -> None:
        """End a worker by SIGKILL."""
        process, worker.process = worker.process, None
        if process is not None:
            process.kill()
            process.wait()

    def signal(self, worker: Worker, number: signal.Signals) -> None:
        """Send a worker a signal."""
        if worker.process is not None:
            worker.process.send_signal(number)

    def wipe(self, worker: Worker) -> None:
        """Delete what a worker that does not run has on disk."""
        shutil.rmtree(worker.data, ignore_errors=True)

    def join(self) -> None:
        """Start a worker more."""
        self._extras += 1
        worker = Worker(f"extra-{self._extras}", self._directory)
        self.start(worker)
        self.extra.append(worker)

    async def leave(self) -> None:
        """Stop the extra worker that is there longest."""
        worker = self.extra.pop(0)
        await self.stop(worker)
        self.wipe(worker)

    async def stop(self, worker: Worker) -> None:
        """Stop a worker as an operator does, by SIGINT; an exit status other than 0 is noted."""
        process, worker.process = worker.process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT)
        try:
            await asyncio.to_thread(process.wait, STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self._note(worker, f"did not stop within {STOP_S:g} s")
        else:
            # One that is stopped before it listens for signals ends by the signal itself, or by Python's own handler.
            if process.returncode not in (0, -signal.SIGINT, 130, 1):
                self._note(worker, f"ended with {process.returncode} when it was stopped")

    async def dismiss(self, workers: Iterable[Worker]) -> None:
        """Say of named workers that have stopped that they will not be back, as an operator does: `faust leave`."""
        words = ["leave", *(worker.place for worker in workers)]
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "faust", "-A", PROGRAM, *words],
            cwd=ROOT,
            env=worker_environment(self._broker, self._run, self._directory / "commands", self._settings),
            capture_output=True,
            text=True,
            timeout=STOP_S,
            check=False,
        )
        if done.returncode != 0:
            self._say(f"UNEXPECTED: {' '.join(words)}: {done.stdout}{done.stderr}")
            self.exits.append(f"faust {' '.join(words)} ended with {done.returncode}")

    def watch(self) -> None:
        """Note the workers that have ended by themselves, and start them again, as a supervisor does."""
        for worker in [*self.fixed, *self.extra]:
            if worker.process is not None and (status := worker.process.poll()) is not None:
                self._note(worker, f"ended by itself with {status}")
                self.start(worker)

    def _note(self, worker: Worker, what: str) -> None:
        tail = "\n".join(worker.output.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
        self._say(f"UNEXPECTED: {worker.place} {what}; the end of its output:\n{tail}")
        self.exits.append(f"{worker.place} {what}")

    def kill_all(self) -> None:
        """End whatever runs."""
        for worker in [*self.fixed, *self.extra]:
            self.kill(worker)
