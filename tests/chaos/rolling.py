"""Workers that come and go as planned, under load: started, scaled 1 -> 4 -> 2, and restarted one after the other.

    python -m tests.chaos.rolling --rate 400 --static       # or: make rolling ARGS="--static"

What the soak does with faults this does with orderly stops alone. Its program, events and oracle are the soak's, the
workers' settings those of the chart (deploy/cluster.env); of workers with names that last, those that will not be back
are told to the group (`faust leave`). What is asked here is how long each partition stands still at each step. The last
line of the output is a JSON object; the exit status is 1 when anything is missing, double or foreign, or a worker did
not end as it was told to.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from pelton.batch import TopicPartition
from pelton.shell.guard import TOKEN_VARIABLE
from pelton.testing.broker import Cluster
from pelton.testing.deployment.__main__ import read_settings
from tests.chaos.ending import DIRECTORY, REPORT, run
from tests.chaos.judging import judge
from tests.chaos.producing import Producer
from tests.chaos.progress import Progress
from tests.chaos.report import Report
from tests.chaos.soak import BROKERS, JVM_HEAP_MIB, until_done
from tests.chaos.workers import Worker, Workers
from tests.kill.kill_oracle import PARTITIONS
from tests.kill.kill_process import ROOT, Scene, opened

__all__ = ["Phase", "RollingOptions", "RollingReport", "roll"]

#: How long a step may take before the run gives up.
STEP_S = 240.0
_LOOK_S = 0.2
_FEWEST, _MOST, _FEWER = 1, PARTITIONS, PARTITIONS // 2
#: Events a partition at the very end, which the last worker must process with what it has restored.
_LAST_EVENTS = 50


@dataclass(frozen=True, slots=True)
class RollingOptions:
    """How a run goes. directory: for everything that is written.

    rate: events a second. rest_s: how long each step is left alone, before and after it.
    named: static membership: a worker that stops keeps its place, so its partitions wait for it.
    settings: of the workers, as environment variables.
    """

    directory: Path
    rate: float = 400.0
    seed: int = 1
    rest_s: float = 5.0
    named: bool = False
    settings: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Phase:
    """A step: how long it took until all was at rest again, and the longest standstill of each partition in it."""

    name: str
    took_s: float
    standstills_s: Mapping[TopicPartition, float]

    @property
    def longest_s(self) -> float:
        """The longest standstill of any partition."""
        return max(self.standstills_s.values())


@dataclass(slots=True)
class RollingReport:
    """What came of a run. judged: by the soak's oracle."""

    judged: Report
    phases: list[Phase] = field(default_factory=list[Phase])

    @property
    def clean(self) -> bool:
        """Whether nothing is missing, doubled or misordered, and every worker ended as it was told to."""
        return self.judged.clean

    def lines(self) -> Iterator[str]:
        """Yield the report, a JSON object last."""
        yield f"{'step':<34} {'took s':>7}   longest time without progress, s: each partition"
        for phase in self.phases:
            each = " ".join(f"{seconds:6.1f}" for _, seconds in sorted(phase.standstills_s.items()))
            yield f"{phase.name:<34} {phase.took_s:>7.1f}   {each}"
        yield ""
        yield from self.judged.judged()
        yield from (f"FAILURE: {failure}" for failure in self.judged.failures)
        yield ""
        yield "nothing lost, nothing doubled" if self.clean else "NOT CLEAN"
        longest = {phase.name: round(phase.longest_s, 1) for phase in self.phases}
        figures = self.judged.figures()
        kept = ("events", "outputs", "missing", "duplicate", "foreign", "misordered", "failures")
        yield json.dumps({"longest_without_progress_s": longest, **{name: figures[name] for name in kept}})


class Rolling:
    """One run under way."""

    def __init__(self, options: RollingOptions, scene: Scene, say: Callable[[str], None]) -> None:
        self.phases: list[Phase] = []
        self._options = options
        self._scene = scene
        self._say = say
        self._producer = Producer(scene, options.seed, options.rate, say)
        self._progress = Progress(scene.committed, self._producer.sent)
        self._workers = Workers(
            scene.broker, scene.run, options.directory, _MOST, say, settings=options.settings, named=options.named
        )
        self._running: list[Worker] = []

    async def run(self) -> RollingReport:
        """Go through all steps, and judge."""
        began_s = time.monotonic()
        others = [asyncio.create_task(one) for one in (self._producer.produce(), self._progress.watch())]
        try:
            await self._steps()
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            report = Report(time.monotonic() - began_s, self._options.seed)
            await self._settle(report)
        finally:
            for task in others:
                task.cancel()
            self._workers.kill_all()
        report.failures += self._workers.exits
        self._say("judging")
        await judge(self._scene, self._options.seed, self._running[0].place, report)
        return RollingReport(report, self.phases)

    async def _steps(self) -> None:
        self._start(self._workers.fixed[0])
        await self._until_settled()
        await self._phase("one worker, nothing happens", self._rest)
        await self._phase(f"scaling {_FEWEST} -> {_MOST}", self._scale_up)
        await self._phase(f"{_MOST} workers, nothing happens", self._rest)
        for number, worker in enumerate(self._workers.fixed, 1):
            await self._phase(f"rolling restart, {number} of {_MOST}", lambda one=worker: self._restart(one))
        await self._phase(f"scaling {_MOST} -> {_FEWER}", self._scale_down)

    async def _phase(self, name: str, step: Callable[[], object]) -> None:
        """Take one step, wait until all partitions go on, and note how long each stood still."""
        self._progress.begin_again()
        began_s = time.monotonic()
        done = step()
        if asyncio.iscoroutine(done):
            await done
        await self._until_settled()
        took_s = time.monotonic() - began_s
        await asyncio.sleep(self._options.rest_s)
        await self._progress.until_moved()
        phase = Phase(name, took_s, dict(self._progress.standstills_s))
        self.phases.append(phase)
        self._say(f"{name}: {took_s:.1f} s, longest without progress {phase.longest_s:.1f} s")

    async def _rest(self) -> None:
        await asyncio.sleep(self._options.rest_s)

    async def _scale_up(self) -> None:
        for worker in self._workers.fixed[_FEWEST:]:
            self._start(worker)

    async def _restart(self, worker: Worker) -> None:
        await self._stop(worker)
        self._start(worker)

    async def _scale_down(self) -> None:
        await self._leave(self._workers.fixed[_FEWER:])

    def _start(self, worker: Worker) -> None:
        self._workers.start(worker)
        self._running.append(worker)

    async def _stop(self, worker: Worker) -> None:
        self._running.remove(worker)
        await self._workers.stop(worker)

    async def _leave(self, workers: Sequence[Worker]) -> None:
        """Stop workers that will not be back; of those that keep their place, say so, as docs/deployment.md does."""
        await asyncio.gather(*(self._stop(worker) for worker in workers))
        if self._options.named:
            await self._workers.dismiss(workers)

    async def _until_settled(self) -> None:
        """Wait until as many members as there are workers share all partitions, and each partition has moved."""
        async with asyncio.timeout(STEP_S):
            while not (all(map(_has_come, self._running)) and await self._shared_out()):
                self._workers.watch()
                await asyncio.sleep(_LOOK_S)
            await self._progress.until_moved()

    async def _shared_out(self) -> bool:
        members = await self._scene.log.group_members(self._scene.run)
        numbers = sorted(number for member in members for number in member.tasks)
        with_work = sum(bool(member.tasks) for member in members)
        return with_work == len(self._running) and numbers == list(range(PARTITIONS))

    async def _settle(self, report: Report) -> None:
        """Have all that was sent processed; leave one worker alone, give it a little more, and stop it."""
        await until_done(self._scene, report, self._say)
        last, *others = self._running
        await self._leave(others)
        await self._producer.send({source: sent + _LAST_EVENTS for source, sent in self._producer.sent.items()})
        await until_done(self._scene, report, self._say)
        await self._workers.stop(last)


def _has_come(worker: Worker) -> bool:
    """Whether the process that is there now has got partitions: by its name alone, the group knows its predecessor."""
    pid = worker.process.pid if worker.process is not None else 0
    return f"[{pid}] [INFO] assigned partitions" in worker.output.read_text(errors="replace")


async def roll(options: RollingOptions, say: Callable[[str], None]) -> RollingReport:
    """Run it on three brokers of its own."""
    cluster = Cluster(
        BROKERS, options.directory / "kafka", port=0, heap_mib=JVM_HEAP_MIB, quick_start=True, progress=say
    )
    await asyncio.to_thread(cluster.start)
    try:
        broker = ";".join(f"kafka://{address}" for address in cluster.bootstrap.split(","))
        async with opened(broker, options.directory, seed=options.seed) as scene:
            return await Rolling(options, scene, say).run()
    finally:
        await asyncio.to_thread(cluster.stop)


@click.command(help=__doc__)
@click.option("--rate", default=400.0, show_default=True, help="Events a second.")
@click.option("--seed", default=1, show_default=True, help="Of the events.")
@click.option("--rest", default=5.0, show_default=True, help="Seconds between the steps.")
@click.option("--static", "named", is_flag=True, help="Workers keep their place in the group while they restart.")
@click.option("--standbys", default=0, show_default=True, help="Warm copies of each partition.")
@click.option("--session", default=30.0, show_default=True, help="Session timeout in seconds.")
@click.option("--heartbeat", default=3.0, show_default=True, help="Seconds between heartbeats.")
@REPORT
@DIRECTORY
def main(
    rate: float,
    seed: int,
    rest: float,
    named: bool,
    standbys: int,
    session: float,
    heartbeat: float,
    report: Path | None,
    directory: Path | None,
) -> None:
    """Run it, and tell what came of it."""
    settings = {
        **read_settings(ROOT / "deploy" / "cluster.env"),
        TOKEN_VARIABLE: secrets.token_urlsafe(32),
        "PELTON_LOGGING": "text",  # which `_has_come` reads
        "BROKER_SESSION_TIMEOUT": f"{session:g}",
        "BROKER_HEARTBEAT_INTERVAL": f"{heartbeat:g}",
        "TABLE_STANDBY_REPLICAS": str(standbys),
    }
    run(
        "rolling",
        directory,
        report,
        lambda place, say: roll(RollingOptions(place, rate, seed, rest, named, settings), say),
    )


if __name__ == "__main__":
    main()
