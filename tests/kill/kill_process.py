"""The program that is killed, as its users run it: worker processes on one log, and payments that keep coming."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from uuid import uuid4

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.log.contract import Log, TopicSpec
from pelton.log.kafka import KafkaLog
from pelton.log.partitioner import partition_for
from pelton.log.sqlite import SqliteLog
from pelton.state.rocksdb import RocksStores
from pelton.window import window_key_suffix, window_start_of
from tests.kill.kill_oracle import PARTITIONS, Expected, generate, replay
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
PROGRAM = "tests.kill.kill_program"

#: As quick as it goes: Kafka's brokers take no session shorter than six seconds.
_SESSIONS = {"sqlite": ("2", "0.3"), "kafka": ("6", "1")}


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a topic, as an outsider reads it."""

    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


def worker_environment(broker: str, run: str, data: Path, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a worker process that is to be killed; see `start_worker`."""
    session_s, heartbeat_s = _SESSIONS[broker.partition(":")[0]]
    environment = dict(os.environ) | {
        "KILL_APP": run,
        "BROKER_URL": broker,
        "BROKER_SESSION_TIMEOUT": session_s,
        "BROKER_HEARTBEAT_INTERVAL": heartbeat_s,
        "APP_DATADIR": str(data),
        "PELTON_COMMIT_INTERVAL_MS": "30",
        "PELTON_AGENT_RETRIES_MAX": "1",
        "PELTON_AGENT_RETRY_BACKOFF_MS": "1",
        "PELTON_TABLE_CACHE_BYTES_MAX": "1 MiB",
        **(settings or {}),
    }
    # A program that is started again and again must not compile its libraries each time.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def start_worker(
    broker: str, run: str, data: Path, output: Path, settings: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start the program as a worker process, with a web server if a setting says on which port.

    run: its name. data: its data directory. output: a file that what it prints is added to.
    settings: further environment variables.
    """
    environment = worker_environment(broker, run, data, settings)
    web = [] if settings is not None and "WEB_PORT" in settings else ["--without-web"]
    command = [sys.executable, "-m", "faust", "-A", PROGRAM, "worker", "-l", "info", *web]
    with output.open("ab") as file:
        # A session of its own: Ctrl-C is for the one who started it.
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )


class Scene:
    """One run of the program: its log, its payments, and any number of workers.

    broker: the log's URL. lot: how many payments are appended at once, every `PACE_S`.
    """

    PACE_S = 0.05

    def __init__(self, broker: str, log: Log, directory: Path, seed: int, lot: int = 60) -> None:
        self.broker = broker
        self.log = log
        self.directory = directory
        self.run = f"kill-{uuid4().hex[:8]}"
        self.workers: list[subprocess.Popen[bytes]] = []
        self._payments = generate(seed)
        self._lot = lot
        self._feeding: asyncio.Task[None] | None = None

    # -- workers -----------------------------------------------------------------------------------

    def start(self, settings: Mapping[str, str] | None = None, *, data: str = "data") -> subprocess.Popen[bytes]:
        """Start a worker on a data directory; its output goes to workers.txt. settings: environment variables."""
        output = self.directory / "workers.txt"
        worker = start_worker(self.broker, self.run, self.directory / data, output, settings)
        self.workers.append(worker)
        return worker

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """End a worker with SIGKILL."""
        self.end(worker, signal.SIGKILL)

    def end(self, worker: subprocess.Popen[bytes], signum: int = signal.SIGINT) -> int:
        """End a worker and return its exit status."""
        worker.send_signal(signum)
        self.workers.remove(worker)
        return worker.wait(timeout=PATIENCE_S)

    async def until_dead(self, worker: subprocess.Popen[bytes]) -> int:
        """Wait until a worker has ended by itself, and return its exit status."""
        async with asyncio.timeout(PATIENCE_S):
            while (status := worker.poll()) is None:  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.02)
        self.workers.remove(worker)
        return status

    def output(self) -> str:
        """Return what the workers have printed."""
        return (self.directory / "workers.txt").read_text()

    # -- payments ----------------------------------------------------------------------------------

    def source(self, number: int) -> TopicPartition:
        """Return one partition of the payments."""
        return TopicPartition(f"{self.run}-payments", number)

    @property
    def sources(self) -> list[TopicPartition]:
        """All partitions of the payments."""
        return [self.source(number) for number in range(PARTITIONS)]

    async def append(self, count: int) -> None:
        """Append so many payments."""
        batches = {number: OutgoingBatch(*self.source(number)) for number in range(PARTITIONS)}
        for key, value in islice(self._payments, count):
            batches[partition_for(key, PARTITIONS)].append(key, value, 0)
        await self.log.append([batch for batch in batches.values() if len(batch)])

    def feed(self) -> None:
        """Append payments until `end_of_payments`."""

        async def feed() -> None:
            while True:
                await self.append(self._lot)
                await asyncio.sleep(self.PACE_S)

        self._feeding = asyncio.create_task(feed())

    async def end_of_payments(self) -> None:
        """Append no more."""
        assert self._feeding is not None
        self._feeding.cancel()
        await asyncio.gather(self._feeding, return_exceptions=True)

    # -- progress ----------------------------------------------------------------------------------

    async def committed(self) -> dict[TopicPartition, int]:
        """Return the program's committed positions."""
        found = await self.log.group_positions(self.run, self.sources)
        return {source: found[source].offset if source in found else 0 for source in self.sources}

    async def until_committed(self, condition: Callable[[dict[TopicPartition, int]], bool]) -> None:
        """Wait until the committed positions fulfil a condition."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition(await self.committed()):
                dead = [worker for worker in self.workers if worker.poll() is not None]
                assert not dead, self.output()
                await asyncio.sleep(0.02)

    async def until_assigned(self, worker: subprocess.Popen[bytes], numbers: int) -> None:
        """Wait until a worker's latest assignment has so many partition numbers."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self._assigned(worker) or ()) != numbers:
                assert worker.poll() is None, self.output()
                await asyncio.sleep(0.05)

    async def until_done(self) -> None:
        """Wait until every agent has committed every payment, and every worker has restored what it was given.

        There may be nothing left for the last one: a signal while Python starts would be no orderly end, and one
        during its restore would leave stores that are behind their changelogs.
        """
        await self._until_all_committed()
        async with asyncio.timeout(PATIENCE_S):
            for worker in self.workers:
                while not self._restored(worker):
                    assert worker.poll() is None, self.output()
                    await asyncio.sleep(0.05)

    def _assigned(self, worker: subprocess.Popen[bytes]) -> set[int] | None:
        """Return the partition numbers that a worker was given last, None before it was given any."""
        told = re.findall(rf"\[{worker.pid}\] \[INFO\] assigned partitions \[(.*?)\]", self.output())
        return {int(number) for number in told[-1].split(",") if number} if told else None

    def _restored(self, worker: subprocess.Popen[bytes]) -> bool:
        """Return whether a worker was given partitions, and has said of each that its tables are there."""
        assigned = self._assigned(worker)
        told = re.findall(rf"\[{worker.pid}\] \[INFO\] restored partition (\d+):", self.output())
        return assigned is not None and assigned <= set(map(int, told))

    async def _until_all_committed(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                # Asked anew each time: payments that were being appended when the feeding was cancelled may still come.
                spans = await self.log.offsets(self.sources)
                found = await self.log.group_positions(self.run, self.sources)
                ends = [(position.offset, position.metadata) for _, position in sorted(found.items())]
                if ends == [(spans[source].end, "") for source in self.sources]:
                    return
                await asyncio.sleep(0.02)

    # -- results -----------------------------------------------------------------------------------

    async def read(self, topic: str) -> list[list[Record]]:
        """Return the committed records of each partition of a topic, in order."""
        count = (await self.log.partitions([topic]))[topic]
        return [await self._read(TopicPartition(topic, number)) for number in range(count)]

    async def _read(self, source: TopicPartition) -> list[Record]:
        offset, end = (await self.log.offsets([source], decided=True))[source]
        found: list[Record] = []
        while offset < end:
            batch = await self.log.read(source, offset, bytes_max=1 << 22, timeout_s=1.0)
            headers = batch.headers or [() for _ in batch.offsets]
            found += map(Record, batch.keys, batch.values, map(dict, headers))
            offset = batch.next_offset
        return found

    async def expected(self) -> list[Expected]:
        """Return what each partition of the payments leads to."""
        partitions = await self.read(f"{self.run}-payments")
        return [replay([record.value or b"" for record in records], PROGRAM) for records in partitions]

    def state(self, data: str = "data") -> list[dict[str, dict[bytes, bytes]]]:
        """Return what the local stores under a data directory hold: for each partition number, the tables.

        No worker may run there.
        """
        return [dict(self._tables(data, number)) for number in range(PARTITIONS)]

    def _tables(self, data: str, number: int) -> Iterator[tuple[str, dict[bytes, bytes]]]:
        names = ["windows", "sums"]
        (directory,) = self.directory.glob(f"{data}/**/tables")
        store = RocksStores().open(directory, number, names)
        try:
            for name in names:
                yield name, dict(store.scan(name))
        finally:
            store.close()


async def check_results(scene: Scene) -> None:
    """Compare everything the program put out and remembers with the oracle, byte for byte."""
    expected = await scene.expected()
    assert sum(len(one.warnings) for one in expected) > 100, "the run was too short to show anything"
    for topic, wanted in (
        ("warnings", [one.warnings for one in expected]),
        ("copies", [one.copies for one in expected]),
    ):
        found = [[record.value for record in records] for records in await scene.read(f"{scene.run}-{topic}")]
        assert found == wanted, topic
    letters = [(number, *letter) for number, one in enumerate(expected) for letter in one.letters]
    assert sorted(await read_letters(scene)) == sorted(letters)
    for tables, one in zip(await folded_state(scene), expected, strict=True):
        assert windows_in(tables) == one.windows
        assert sums_in(tables) == one.sums


async def read_letters(scene: Scene) -> list[tuple[int, int, str]]:
    """Return (partition, offset, agent) of each dead letter."""
    return [
        (int(letter.headers["pelton-dlq-partition"]), int(letter.headers["pelton-dlq-offset"]), agent.decode())
        for records in await scene.read(f"{scene.run}-dlq")
        for letter in records
        if (agent := letter.headers["pelton-dlq-agent"])
    ]


def windows_in(tables: dict[str, dict[bytes, bytes]]) -> dict[tuple[int, str], bytes]:
    """Return (start in seconds, account) -> what a partition number's table of windows holds."""
    return {(window_start_of(k) // 1000, window_key_suffix(k).decode()): v for k, v in tables["windows"].items()}


def sums_in(tables: dict[str, dict[bytes, bytes]]) -> dict[str, int]:
    """Return account -> what a partition number's table of sums holds."""
    return {key.decode(): int(value) for key, value in tables["sums"].items()}


async def _fold(scene: Scene, number: int) -> dict[str, dict[bytes, bytes]]:
    """Return what the changelogs of a partition number amount to."""
    tables: dict[str, dict[bytes, bytes]] = {}
    for name in ("windows", "sums"):
        folded: dict[bytes, bytes] = {}
        for record in (await scene.read(f"{scene.run}-{name}-changelog"))[number]:
            assert record.key is not None
            if record.value is None:
                folded.pop(record.key, None)
            else:
                folded[record.key] = record.value
        tables[name] = folded
    return tables


async def folded_state(scene: Scene) -> list[dict[str, dict[bytes, bytes]]]:
    """Return what the changelogs amount to, partition number after partition number."""
    return [await _fold(scene, number) for number in range(PARTITIONS)]


@asynccontextmanager
async def opened(
    broker: str, directory: Path, *, seed: int, lot: int = 60, config: Mapping[str, str] | None = None
) -> AsyncIterator[Scene]:
    """Give a scene with its topic of payments; what still runs at the end is killed. config: of that topic."""
    log: Log = (
        SqliteLog(broker, clock=SystemClock())
        if broker.startswith("sqlite")
        else KafkaLog([address.removeprefix("kafka://") for address in broker.split(";")])
    )
    await log.open()
    scene = Scene(broker, log, directory, seed, lot)
    # The payments' timestamps are old, and retention goes by them.
    await log.declare([TopicSpec(scene.source(0).topic, PARTITIONS, retention_ms=-1, config=config or {})])
    try:
        yield scene
    finally:
        for worker in list(scene.workers):
            scene.kill(worker)
        await log.close()
