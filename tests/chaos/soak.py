"""The soak: three brokers, three workers, a producer, and everything that goes wrong with them."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pelton.errors import UnavailableError
from pelton.testing.broker import Cluster
from tests.chaos.judging import judge
from tests.chaos.producing import Producer
from tests.chaos.progress import Progress
from tests.chaos.report import Report
from tests.chaos.schedule import BROKERS, WORKERS, Fault, schedule
from tests.chaos.workers import Worker, Workers
from tests.kill.kill_process import Scene, opened

#: A partition that stands still for so long, while all brokers are there, is a stall.
STALL_S = 120.0
#: No fault is added to what has stood still for so long: a slow machine must not be kept from recovering, and a stall
#: that no fault prolongs is the program's own.
BREATHER_S = 30.0
#: How long the workers may take over what is left at the end.
DRAIN_S = 300.0
#: Events a partition at the very end, which the last worker must process with what it has restored.
_LAST_EVENTS = 50
_LOOK_S = 0.1
_TELL_S = 10.0
JVM_HEAP_MIB = 320


@dataclass(frozen=True, slots=True)
class SoakOptions:
    """How long, with which seed, and how many events a second. directory: for everything that is written."""

    seconds: float
    seed: int
    rate: float
    directory: Path


class Soak:
    """One soak under way."""

    def __init__(self, options: SoakOptions, cluster: Cluster, scene: Scene, say: Callable[[str], None]) -> None:
        self.faults: Counter[str] = Counter()
        self.failures: list[str] = []
        self._options = options
        self._cluster = cluster
        self._scene = scene
        self._say = say
        self._producer = Producer(scene, options.seed, options.rate, say)
        self._workers = Workers(scene.broker, scene.run, options.directory, WORKERS, say)
        self._progress = Progress(scene.committed, self._producer.sent)
        self._began_s = asyncio.get_running_loop().time()
        self._stop = asyncio.Event()

    def interrupt(self) -> None:
        """End the faults and the events now; what there is so far is judged."""
        self._say("interrupted: coming to an end, and judging what there is")
        self._stop.set()

    async def run(self) -> Report:
        """Run it to its end, or until interrupted, and judge."""
        try:
            for worker in self._workers.fixed:
                self._workers.start(worker)
            await self._rage()
            report = Report(self._elapsed_s, self._options.seed, failures=self.failures)
            await self._settle(report)
        finally:
            self._workers.kill_all()
        report.faults = self.faults
        report.recoveries = self._progress.recoveries
        report.standstill_s = self._progress.standstill_s
        report.outage_standstill_s = self._progress.outage_standstill_s
        report.failures += self._workers.exits
        self._say("judging")
        await judge(self._scene, self._options.seed, self._workers.fixed[0].place, report)
        return report

    @property
    def _elapsed_s(self) -> float:
        return asyncio.get_running_loop().time() - self._began_s

    # -- the time of faults ----------------------------------------------------------------------------------------

    async def _rage(self) -> None:
        """Produce, and apply the faults, until the time is over; then let the faults under way come to their end."""
        others = [
            asyncio.create_task(one) for one in (self._producer.produce(), self._progress.watch(), self._supervise())
        ]
        lanes: list[asyncio.Task[None]] = []
        try:
            await self._until_moved("at the start")
            self._began_s = asyncio.get_running_loop().time()
            faults = schedule(self._options.seed, self._options.seconds)
            lanes += [asyncio.create_task(self._lane(lane)) for lane in faults]
            await self._pause(self._options.seconds)
            self._stop.set()
            await asyncio.gather(*lanes, return_exceptions=True)  # each has noted what it failed with
            await self._until_moved("after the last fault")
        finally:
            for task in [*lanes, *others]:
                task.cancel()
            for outcome in await asyncio.gather(*others, return_exceptions=True):
                if isinstance(outcome, Exception):
                    self.failures.append(f"the soak itself: {outcome!r}")

    async def _until_moved(self, when: str) -> None:
        """Wait until every partition has committed something more."""
        try:
            async with asyncio.timeout(STALL_S):
                await self._progress.until_moved()
        except TimeoutError:
            self.failures.append(f"a partition stands still {when}: {self._progress.positions}")

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until the end."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    async def _supervise(self) -> None:
        """Start again what ended by itself, tell how it goes, and note a stall."""
        told_s, stalled = 0.0, False
        while True:
            self._workers.watch()
            if abs(self._elapsed_s - told_s) > _TELL_S:
                told_s = self._elapsed_s
                faults = " ".join(f"{kind}={count}" for kind, count in sorted(self.faults.items()))
                done, sent = self._progress.committed, sum(self._producer.sent.values())
                standing = f"{self._progress.standing_s:.1f} s without progress"
                self._say(f"{told_s:5.0f} s: {done:,} of {sent:,} events committed, {standing}; {faults}")
            if self._progress.standing_s > STALL_S and not stalled:
                stalled = True
                self.failures.append(f"a partition stood still for {STALL_S:g} s at {self._elapsed_s:.0f} s")
                self._say(f"STALL: {self._progress.positions}")
            await asyncio.sleep(0.5)

    # -- faults ----------------------------------------------------------------------------------------------------

    async def _lane(self, faults: list[Fault]) -> None:
        apply = {
            "worker_kills": self._kill,
            "zombies": self._zombie,
            "broker_kills": self._kill_broker,
            "broker_outages": self._outage,
            "storms": self._storm,
        }
        for fault in faults:
            await self._pause(fault.at_s - self._elapsed_s)
            while not self._stop.is_set() and self._progress.standing_s > BREATHER_S:
                await self._pause(_LOOK_S)
            if self._stop.is_set():
                return
            try:
                await apply[fault.kind](fault)
            except Exception as error:
                self.failures.append(f"the soak itself, at {fault}: {error!r}")
                self._say(self.failures[-1])

    def _apply(self, fault: Fault, to: str) -> None:
        self.faults[fault.kind] += 1
        self._say(f"{self._elapsed_s:5.0f} s: {fault.kind} {to}{', state deleted' if fault.wipe else ''}")

    async def _kill(self, fault: Fault) -> None:
        if (worker := self._workers.pick(fault.target)) is not None:
            self._apply(fault, worker.place)
            self._progress.fault(fault.kind)
            await self._replace(worker, fault)

    async def _replace(self, worker: Worker, fault: Fault) -> None:
        """Kill a worker, and start it again after a while, with or without its state."""
        worker.busy = True
        self._workers.kill(worker)
        if fault.wipe:
            await asyncio.to_thread(self._workers.wipe, worker)
        await asyncio.sleep(0 if fault.steps else fault.lasts_s)
        self._workers.start(worker)
        worker.busy = False

    async def _zombie(self, fault: Fault) -> None:
        if (worker := self._workers.pick(fault.target)) is None:
            return
        worker.busy = True
        self._apply(fault, f"{worker.place} for {fault.lasts_s:.1f} s")
        self._progress.fault(fault.kind)
        self._workers.signal(worker, signal.SIGSTOP)
        await asyncio.sleep(fault.lasts_s)
        self._workers.signal(worker, signal.SIGCONT)
        worker.busy = False

    async def _kill_broker(self, fault: Fault) -> None:
        self._apply(fault, f"broker {fault.target}")
        self._progress.fault(fault.kind)
        await asyncio.to_thread(self._cluster.kill, fault.target)
        await asyncio.sleep(fault.lasts_s)
        await self._restart(fault.target)

    async def _restart(self, broker: int) -> None:
        """Start a broker again, however long that takes on a machine that is busy."""
        while True:
            try:
                await asyncio.to_thread(self._cluster.restart, broker)
                return
            except UnavailableError as error:
                self._say(f"broker {broker} is slow to come back: {error.message.splitlines()[0]}")

    async def _outage(self, fault: Fault) -> None:
        """Leave one broker alone, so that nothing can be written; recovery counts from when all are back."""
        others = [broker for broker in range(1, BROKERS + 1) if broker != fault.target]
        self._apply(fault, f"all but broker {fault.target} for {fault.lasts_s:.1f} s")
        with self._progress.outage():
            for broker in others:
                await asyncio.to_thread(self._cluster.kill, broker)
            await asyncio.sleep(fault.lasts_s)
            for broker in others:
                await self._restart(broker)
        self._progress.fault(fault.kind)

    async def _storm(self, fault: Fault) -> None:
        """Let workers join and leave, while one restores its whole state."""
        self._apply(fault, f"of {len(fault.steps)} steps")
        self._progress.fault(fault.kind)
        if (worker := self._workers.pick(fault.target)) is not None:
            await self._replace(worker, fault)
        leaving: list[asyncio.Task[None]] = []
        for step in fault.steps:
            if len(self._workers.extra) < 2:
                self._workers.join()
            else:
                leaving.append(asyncio.create_task(self._workers.leave()))
            await asyncio.sleep(step)
        leaving += [asyncio.create_task(self._workers.leave()) for _ in self._workers.extra]
        await asyncio.gather(*leaving)

    # -- the end ---------------------------------------------------------------------------------------------------

    async def _settle(self, report: Report) -> None:
        """Let everything be processed; leave one worker alone, let it process a little more, and stop it."""
        self._say("the faults are over, waiting for what is left to be processed")
        await until_done(self._scene, report, self._say)
        last, *others = self._workers.fixed
        await asyncio.gather(*(self._workers.stop(worker) for worker in others))
        await self._producer.send({source: sent + _LAST_EVENTS for source, sent in self._producer.sent.items()})
        await until_done(self._scene, report, self._say)
        await self._workers.stop(last)


async def until_done(scene: Scene, report: Report, say: Callable[[str], None]) -> None:
    """Wait until all that was sent is processed; note a failure when that takes too long."""
    deadline = time.monotonic() + DRAIN_S
    while time.monotonic() < deadline:
        try:
            await scene.until_done()
            return
        except TimeoutError:
            say(f"still waiting: {await scene.committed()}")
    report.failures.append(f"not everything was processed within {DRAIN_S:g} s")


async def soak(options: SoakOptions, say: Callable[[str], None]) -> Report:
    """Run a soak; SIGINT and SIGTERM bring it to an early end."""
    cluster = Cluster(
        BROKERS, options.directory / "kafka", port=0, heap_mib=JVM_HEAP_MIB, quick_start=True, progress=say
    )
    await asyncio.to_thread(cluster.start)
    try:
        broker = ";".join(f"kafka://{address}" for address in cluster.bootstrap.split(","))
        async with opened(broker, options.directory, seed=options.seed) as scene:
            running = Soak(options, cluster, scene, say)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, running.interrupt)
            return await running.run()
    finally:
        await asyncio.to_thread(cluster.stop)
