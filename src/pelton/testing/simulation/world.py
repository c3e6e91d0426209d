"""One run: the world that a seed makes, its workers, their fates, and the verdict."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from pathlib import Path

from pelton.errors import FencedError, StateCorruptedError, UnavailableError
from pelton.log.contract import TopicSpec
from pelton.runtime.runtime import Runtime
from pelton.runtime.spec import RuntimeOptions
from pelton.testing.simulation.broker import Broker
from pelton.testing.simulation.chance import Chance
from pelton.testing.simulation.coordinator import Coordinator
from pelton.testing.simulation.disk import Disk
from pelton.testing.simulation.effects import Failures
from pelton.testing.simulation.log import Server, SimulatedClock, SimulatedLog
from pelton.testing.simulation.loop import Process, SimulatedLoop, Stuck, process_name
from pelton.testing.simulation.network import Network
from pelton.testing.simulation.oracle import Oracle, Violation
from pelton.testing.simulation.plan import draw_plan
from pelton.testing.simulation.program import APP, make_program
from pelton.testing.simulation.trace import Trace, TraceHandler
from pelton.testing.simulation.weather import draw_weather

__all__ = ["Outcome", "simulate", "simulate_all"]

#: How long a run may take once all faults have ended, in seconds of virtual time.
_PATIENCE_S = 60.0
_SESSION_MS, _HEARTBEAT_MS = 500, 150
#: The errors that a worker may end of; another one is started then.
_ENDS = (FencedError, UnavailableError, StateCorruptedError)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run. failure: what was broken, None when nothing was. trace: the hash of all that happened."""

    seed: int
    failure: str | None
    trace: str
    steps: int
    virtual_s: float
    commits: int
    deaths: int


def simulate(seed: int, show: Callable[[str], None] | None = None) -> Outcome:
    """Run one seed. show: called with each line of the trace."""
    world = _World(seed, Trace(show))
    logger = logging.getLogger("pelton")
    level, propagates = logger.level, logger.propagate
    handler = TraceHandler(world.remark)
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.INFO if world.trace.shown else logging.CRITICAL + 1)
    try:
        return world.run()
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
        logger.setLevel(level)


def simulate_all(seeds: Iterable[int]) -> list[Outcome]:
    """Run several seeds, one after the other."""
    return [simulate(seed) for seed in seeds]


class _Slot:
    """The place of a worker: it is started here again when it has died, as long as it is wanted."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.wanted = True
        self.worker: _Worker | None = None
        self.started = 0


class _Worker:
    """One life of a worker."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.stop = asyncio.Event()


class _World:
    """Everything that a seed makes; its own coroutines are a process that nothing happens to."""

    def __init__(self, seed: int, trace: Trace) -> None:
        chance = Chance(str(seed))
        self.seed = seed
        self.trace = trace
        self.loop = SimulatedLoop(chance.of("loop"))
        self.chance = chance.of("world")
        self.weather = draw_weather(chance.of("weather"))
        self.process = Process("world")
        self.deaths = 0
        self.plan = draw_plan(seed, chance.of("program"))
        coordinator = Coordinator(self.loop.time, self.weather.eager)
        network = Network(self.loop, chance.of("network"), self.weather, trace)
        show_later = network.after(self.weather.undecided_s) if self.weather.undecided_s else None
        cleaning = chance.of("cleaning")
        self.broker = Broker(
            self.loop.time,
            coordinator,
            gaps=self.weather.gaps,
            show_later=show_later,
            cleans=lambda: cleaning.happens(self.weather.compaction),
            deletions_s=inf if self.weather.deletions_ms is None else self.weather.deletions_ms / 1000,
        )
        self.server = Server(self.broker, network, chance.of("log"), self.weather, self.plan.weight)
        self.disk = Disk(chance.of("disk"), self.weather, network.note, self.kill)
        self.oracle = Oracle(self.broker, self.plan.agents, self.plan.partitions, self.plan.style.order, self.violated)
        self.broker.auditor = self.oracle
        self.disk.auditor = self.oracle
        self.loop.thread_delay = lambda _: self.chance.around(self.weather.disk_s)
        self.workers: list[_Worker] = []
        self.slots = [_Slot(number) for number in range(self.plan.workers)]

    # -- the run ---------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        failure: str | None = None
        try:
            self.loop.run(self.process, self._main())
        except (Violation, Stuck) as error:
            failure = str(error)
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
        if failure is not None:
            self.note("FAILED: " + failure)
        return Outcome(
            self.seed, failure, self.trace.digest(), self.loop.steps, self.loop.time(), self.broker.commits, self.deaths
        )

    async def _main(self) -> None:
        self.note(f"{self.plan}")
        self.note(f"{self.weather}")
        self.broker.declare([TopicSpec(one.topic, one.partitions) for one in self.plan.workloads])
        feeding = asyncio.create_task(self._feed())
        troubling = asyncio.create_task(self._trouble())
        keeping = [asyncio.create_task(self._keep(slot)) for slot in self.slots]
        await feeding
        await troubling
        self.note("all faults end")
        self.weather.calm()
        await self._until(lambda: not self.oracle.lacking(), self.oracle.lacking)
        for task in keeping:
            task.cancel()
        for slot in self.slots:
            slot.wanted = False
        for worker in self.workers:
            worker.stop.set()
        await self._until(lambda: all(worker.process.dead for worker in self.workers), lambda: "workers do not stop")
        self.oracle.finish()
        self.disk.audit()

    async def _until(self, condition: Callable[[], bool], lacking: Callable[[], str]) -> None:
        deadline = self.loop.time() + _PATIENCE_S
        while not condition():
            if self.loop.time() > deadline:
                raise Violation(f"no end within {_PATIENCE_S:.0f} s after the last fault: {lacking()}")
            await asyncio.sleep(0.05)

    async def _feed(self) -> None:
        """Append the input, in pieces."""
        chance = self.chance.of("feed")
        places = [(workload, number) for workload in self.plan.workloads for number in range(workload.partitions)]
        done = [0] * len(places)
        pause, piece = chance.pick([(0.0, 60), (0.001, 20), (0.05, 20), (0.1, 5)])
        while any(count < workload.records for count, (workload, _) in zip(done, places, strict=True)):
            place = chance.between(0, len(places) - 1)
            workload, number = places[place]
            end = min(done[place] + chance.between(1, piece), workload.records)
            if end > done[place]:
                self.broker.append([workload.batch(number, range(done[place], end))])
                self.note(f"{workload.topic}[{number}] has {end} records")
                done[place] = end
            await asyncio.sleep(chance.around(pause))

    # -- workers ---------------------------------------------------------------------------------------------------

    async def _keep(self, slot: _Slot) -> None:
        """Have a worker run in a slot for as long as it is wanted."""
        while True:
            if slot.wanted and (slot.worker is None or slot.worker.process.dead):
                self._start(slot)
            if not slot.wanted and slot.worker is not None:
                slot.worker.stop.set()
            await asyncio.sleep(self.chance.around(0.1))

    def _start(self, slot: _Slot) -> None:
        slot.started += 1
        process = Process(f"w{slot.number}.{slot.started}")
        worker = slot.worker = _Worker(process)
        self.workers.append(worker)
        self.note(f"starts {process.name}")
        self.loop.spawn(process, self._work(worker, slot))
        if self.chance.happens(self.weather.deaths):
            process.meet_fate(1 + int(self.chance.around(self.weather.life_steps)), lambda: self.kill(process))
        elif self.chance.happens(self.weather.freezes):
            steps = 1 + int(self.chance.around(self.weather.life_steps))
            process.meet_fate(steps, lambda: self._freeze(slot, process))

    def kill(self, process: Process) -> None:
        """Kill a process (SIGKILL, or the power)."""
        self.deaths += 1
        self.note(f"kills {process.name}")
        self._bury(process, power_cut=self.chance.happens(self.weather.power_cuts))

    def _bury(self, process: Process, *, power_cut: bool) -> None:
        self.loop.kill(process)
        self.disk.died(process, power_cut=power_cut)

    def _freeze(self, slot: _Slot, process: Process) -> None:
        """Let a process stand still, perhaps for longer than its session lasts; its successor may start meanwhile."""
        seconds = self.chance.uniform(0.0, 3 * _SESSION_MS / 1000)
        self.note(f"freezes {process.name} for {seconds:.1f} s")
        self.loop.stop_process(process)
        self.loop.call_later(seconds, self._thaw, process, context=self.process.context)
        if self.chance.happens(0.3):
            slot.worker = None

    def _thaw(self, process: Process) -> None:
        self.note(f"thaws {process.name}")
        self.loop.continue_process(process)

    async def _work(self, worker: _Worker, slot: _Slot) -> None:
        """Be a worker: run the engine until it is told to stop, or ends of an error that a supervisor is to see to."""
        name = worker.process.name
        chance = self.chance.of(name)
        # Whether a store is too old is told by the clock of its machine, which hardly goes wrong in so short a time.
        deletions_ms = self.weather.deletions_ms
        skew_ms = self.plan.skew_ms if deletions_ms is None else min(self.plan.skew_ms, deletions_ms // 50)
        clock = SimulatedClock(chance.between(-skew_ms, skew_ms))
        log = SimulatedLog(self.server, name, clock)
        failures = Failures(chance, lambda what: self.violated(Violation(what)))
        plan = self.plan
        program = make_program(
            plan.agents, plan.partitions, plan.concurrency, plan.style, plan.sharing, failures, deletions_ms
        )
        options = RuntimeOptions(
            APP,
            Path("disk" if self.weather.shared_disk else f"disk{slot.number}"),
            self.plan.config,
            partitions=self.plan.partitions,
            instance_id=f"slot{slot.number}" if self.weather.names else None,
            session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=_HEARTBEAT_MS,
            standby_replicas=self.weather.standbys,
        )
        runtime = Runtime(program, log, self.disk, options, clock)
        try:
            await _run_until(runtime, worker.stop)
        except _ENDS as error:
            self.trace.note(self.loop.time(), name, f"ends: {type(error).__name__}")
        except Exception as error:
            self.loop.fail(error)
            raise
        self._bury(worker.process, power_cut=False)

    async def _trouble(self) -> None:
        """Have workers come and go, for a while."""
        chance = self.chance.of("trouble")
        for _ in range(self.weather.comings_and_goings):
            await asyncio.sleep(chance.around(0.3))
            slot = chance.pick(self.slots)
            slot.wanted = not slot.wanted
            self.note(f"wants slot {slot.number}: {slot.wanted}")
        await asyncio.sleep(chance.around(0.5))
        if not any(slot.wanted for slot in self.slots):
            self.slots[0].wanted = True

    # -- what others tell ------------------------------------------------------------------------------------------

    def note(self, what: str) -> None:
        """Note in the trace what the world does."""
        self.trace.note(self.loop.time(), "world", what)

    def remark(self, what: str) -> None:
        """Let the reader of the trace see a line of the engine's log."""
        self.trace.remark(self.loop.time(), process_name(), what)

    def violated(self, violation: Violation) -> None:
        """End the run: a promise was broken."""
        self.loop.fail(violation)


async def _run_until(runtime: Runtime, stop: asyncio.Event) -> None:
    """Run an engine until it is to stop, or ends by itself. Raises: what it ended of."""
    try:
        await runtime.start()
        running = asyncio.create_task(runtime.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if running.done():
            running.result()
    finally:
        await runtime.stop()
