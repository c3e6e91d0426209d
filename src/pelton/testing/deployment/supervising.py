"""The supervisor: it starts everything in order, watches over it, and ends it in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from pelton.errors import UnavailableError
from pelton.shell.guard import TOKEN_VARIABLE
from pelton.testing.broker import Cluster
from pelton.testing.deployment.environment import TOKEN_FILE, web_token, worker_environment
from pelton.testing.deployment.process import Process
from pelton.testing.deployment.prometheus import prometheus_command

__all__ = ["Deployment", "DeploymentOptions"]

_LOOK_S = 0.5
_READY_S = 300.0
#: What a worker may take to end: the chart's time for unfinished events, and for the last commit.
STOP_S = 34.0


@dataclass(frozen=True, slots=True)
class DeploymentOptions:
    """What is deployed. application: the module of the `pelton.App`, as in `faust -A`.

    directory: for data, logs and settings; what is found there is continued.
    brokers, workers: how many. kafka_port, web_port, prometheus_port: of the first of each; the others follow.
    settings: environment variables of every worker. feeds: commands of the application that run beside the workers.
    services: modules of further applications, of which each gets one worker, without a page.
    monitoring: the folder with Prometheus' configuration; without one, or without the program, there is none.
    """

    application: str
    directory: Path
    brokers: int = 3
    workers: int = 3
    kafka_port: int = 9092
    web_port: int = 6066
    prometheus_port: int = 9090
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    feeds: Sequence[Sequence[str]] = ()
    services: Sequence[str] = ()
    monitoring: Path | None = None


class Deployment:
    """The brokers, workers, feeds and Prometheus of one deployment. say: is told what happens, a line each."""

    def __init__(self, options: DeploymentOptions, say: Callable[[str], None]) -> None:
        self._options = options
        self._say = say
        options.directory.mkdir(parents=True, exist_ok=True)
        self._cluster = Cluster(
            options.brokers, options.directory / "kafka", options.kafka_port, quick_start=True, progress=say
        )
        # Of every process, also of commands: workers that are asked for rows want the token.
        self._common = {
            "BROKER_URL": ";".join(f"kafka://{address}" for address in self._cluster.bootstrap.split(",")),
            TOKEN_VARIABLE: web_token(options.directory, {**os.environ, **options.settings}),
        }
        self._workers = [self._worker(number) for number in range(options.workers)]
        self._services = [self._service(module) for module in options.services]
        self._feeds = [
            Process(f"feed {words[0]}", _faust(options.application, *words), options.directory, self._environment())
            for words in options.feeds
        ]
        self._prometheus: Process | None = None
        self._stop = asyncio.Event()

    def interrupt(self) -> None:
        """Have `run` end everything, in order, and return."""
        self._stop.set()

    async def run(self) -> int:
        """Run until interrupted; return the exit status: 0 when everything ended as it was told to.

        Raises: UnavailableError, ConfigurationError when something does not start; nothing is left running then.
        """
        await asyncio.to_thread(self._cluster.start)
        try:
            if not self._stop.is_set():
                await self._start()
                self._tell_addresses()
                await self._watch()
        finally:
            clean = await self._end()
            await asyncio.to_thread(self._cluster.stop)
        self._say("everything has ended" if clean else "not everything ended by itself: see above")
        return 0 if clean else 1

    # -- starting ----------------------------------------------------------------------------------

    async def _start(self) -> None:
        self._say("topics: bringing them to what is declared")
        topics = Process(
            "topics",
            _faust(self._options.application, "topics", "apply", "--yes"),
            self._options.directory,
            self._environment(),
        )
        await topics.start()
        if (status := await topics.wait()) != 0:
            raise UnavailableError(f"could not apply the topics (status {status}):\n{topics.tail()}")
        for worker in self._workers:
            await worker.start()
        if self._options.monitoring is not None:
            await self._start_prometheus(self._options.monitoring)
        await self._until_ready()
        for process in [*self._services, *self._feeds]:
            await process.start()

    async def _start_prometheus(self, monitoring: Path) -> None:
        options = self._options
        directory = options.directory / "prometheus"
        pages = [f"127.0.0.1:{options.web_port + number}" for number in range(options.workers)]
        token = options.directory / TOKEN_FILE
        command = prometheus_command(monitoring, directory, pages, token, options.prometheus_port)
        if command is None:
            self._say("prometheus: not installed (apt install prometheus), so there is none")
            return
        self._prometheus = Process("prometheus", command, directory, {})
        await self._prometheus.start()

    async def _until_ready(self) -> None:
        """Wait until every worker runs all of its partitions, and tell of each."""
        deadline_s = time.monotonic() + _READY_S
        while not self._stop.is_set():
            await self._look_who_is_ready()
            waiting = [worker for worker in self._workers if not worker.ready]
            if not waiting:
                return
            for worker in waiting:
                if worker.status is not None:
                    raise UnavailableError(f"{worker.name} ended with {worker.status}:\n{worker.tail()}")
            if time.monotonic() > deadline_s:
                raise UnavailableError(f"{waiting[0].name} was not ready after {_READY_S:g} s:\n{waiting[0].tail()}")
            await self._pause(_LOOK_S)

    async def _look_who_is_ready(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            for number, worker in enumerate(self._workers):
                if not worker.ready and await _is_ready(session, self._options.web_port + number):
                    worker.ready = True
                    self._say(f"{worker.name}: ready")

    def _tell_addresses(self) -> None:
        if self._stop.is_set():
            return
        options = self._options
        pages = [f"http://127.0.0.1:{options.web_port + number}/" for number in range(options.workers)]
        lines = ["", *(f"  {worker.name}  {page}" for worker, page in zip(self._workers, pages, strict=True))]
        lines += [f"  metrics   {pages[0]}metrics", f"  queries   {pages[0]}api/openapi.json"] if pages else []
        if self._prometheus is not None:
            lines += [f"  prometheus  http://127.0.0.1:{options.prometheus_port}/alerts"]
        lines += [f"  token     in {options.directory / TOKEN_FILE}: sign in with it"] if pages else []
        lines += [f"  brokers   {self._cluster.bootstrap}", f"  logs      {options.directory}", "", "  Ctrl-C ends", ""]
        self._say("\n".join(lines))

    # -- running -----------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Start again what ends by itself, until interrupted; a broker that ends is the end."""
        while not self._stop.is_set():
            if len(self._cluster.running()) < self._options.brokers:
                raise UnavailableError("a broker has ended", hint=f"see broker.log under {self._options.directory}")
            for process in [*self._workers, *self._services, *self._feeds]:
                if process.status is not None:
                    self._say(f"{process.name}: ended with {process.status}, it is started again")
                    await process.start()
            await self._look_who_is_ready()
            await self._pause(_LOOK_S)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    # -- ending ------------------------------------------------------------------------------------

    async def _end(self) -> bool:
        """End what feeds, then all workers, then Prometheus; return whether all ended by themselves, with status 0."""
        clean = all(await asyncio.gather(*(self._end_one(feed) for feed in self._feeds)))
        clean &= all(await asyncio.gather(*(self._end_one(worker) for worker in [*self._workers, *self._services])))
        if self._prometheus is not None:
            clean &= await self._end_one(self._prometheus)
        return clean

    async def _end_one(self, process: Process) -> bool:
        if not process.started:
            return True
        status = await process.end(signal.SIGTERM if process is self._prometheus else signal.SIGINT, STOP_S)
        committed = ", all that was complete is committed" if process in self._workers and status == 0 else ""
        self._say(f"{process.name}: {'killed' if status is None else f'ended with {status}'}{committed}")
        # A worker, or a command, that was still starting ends by Python's own handler: it had nothing to commit.
        return status == 0 or (status is not None and not process.ready)

    # -- commands ----------------------------------------------------------------------------------

    def _worker(self, number: int) -> Process:
        options = self._options
        name = f"worker-{number}"
        lasting, data = f"{options.application}-{number}", options.directory / name
        environment = worker_environment(options.settings, self._common, lasting, data, options.web_port + number)
        return Process(name, _faust(options.application, "worker", "-l", "info"), options.directory, environment)

    def _service(self, module: str) -> Process:
        command = _faust(module, "worker", "-l", "warn", "--without-web")
        environment = self._environment() | dict(self._options.settings)
        return Process(f"service {module}", command, self._options.directory, environment)

    def _environment(self) -> dict[str, str]:
        return {**self._common, "APP_DATADIR": str(self._options.directory / "commands")}


def _faust(application: str, *words: str) -> list[str]:
    return [sys.executable, "-m", "faust", "-A", application, *words]


async def _is_ready(session: aiohttp.ClientSession, port: int) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
