"""One run of the fuzz program: records in, a worker as its users run it, and the verdict of an outsider.

The verdict reads the log alone: each record must have, from each agent that reads it, either a receipt or a dead
letter, exactly one of the two, by its offset; and a dead letter must be the record, byte for byte.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

from pelton.batch import Headers, OutgoingBatch, RecordBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.log.contract import Log, TopicSpec
from pelton.log.kafka import KafkaLog
from pelton.log.partitioner import partition_for
from pelton.log.sqlite import SqliteLog
from tests.fuzz.fuzz_records import NAMES, FuzzRecord, Outcome, certain, records

__all__ = ["Report", "run"]

ROOT = Path(__file__).parents[2]
PARTITIONS = 2
#: A worker whose committed positions stand still for so long has stalled.
STALL_S = 120.0
LOT = 5_000
#: topic -> what each agent that reads it can bear.
AGENTS = {
    "structs": {"structs": Outcome()},
    "records": {"records": Outcome()},
    "dicts": {"dicts": Outcome(delicate=True)},
    "raw": {"raw": Outcome(raw=True)},
    "many": {"many": Outcome(delicate=True, keyed=True)},
    "shared": {"shared": Outcome(), "shared-too": Outcome()},
}
#: An agent's function is called otherwise than its receipts.
FUNCTIONS = {
    "structs": "of_structs",
    "records": "of_records",
    "dicts": "of_dicts",
    "raw": "of_bytes",
    "many": "of_many",
    "shared": "of_shared",
    "shared-too": "of_shared_too",
}
CONFIG = {"message.timestamp.after.max.ms": str(2**63 - 1), "max.message.bytes": str(16 * 1024 * 1024)}


@dataclass
class Report:
    """What went in, what came out, and what is wrong; processed and dead_lettered count each agent's events."""

    records: int
    seed: int
    log: str
    processed: int = 0
    dead_lettered: int = 0
    missing: int = 0
    doubled: int = 0
    altered: int = 0
    misjudged: int = 0
    foreign: int = 0
    seconds: float = 0.0
    examples: list[str] = field(default_factory=list[str])

    @property
    def right(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.missing or self.doubled or self.altered or self.misjudged or self.foreign)

    def wrong(self, kind: str, what: str) -> None:
        """Count a fault, and keep the first ones as examples."""
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.examples) < 10:
            self.examples.append(f"{kind}: {what}")

    def as_json(self) -> dict[str, Any]:
        """Return the report as one object."""
        return asdict(self) | {"right": self.right}


class Stalled(AssertionError):
    """The worker ended, or its positions stand still."""


class Scene:
    """A log, the topics of one run, the worker."""

    def __init__(self, broker: str, log: Log, directory: Path) -> None:
        self.broker = broker
        self.log = log
        self.directory = directory
        self.run = f"fuzz-{uuid4().hex[:8]}"
        self.ends: Counter[TopicPartition] = Counter()
        #: The kind of each record, by its offset.
        self.kinds: dict[TopicPartition, bytearray] = {}
        self.worker: subprocess.Popen[bytes] | None = None

    def sources(self, topic: str) -> list[TopicPartition]:
        """Return all partitions of a topic of this run."""
        return [TopicPartition(f"{self.run}-{topic}", number) for number in range(PARTITIONS)]

    async def declare(self) -> None:
        """Make the input's topics."""
        specs = [TopicSpec(f"{self.run}-{topic}", PARTITIONS, retention_ms=-1, config=CONFIG) for topic in AGENTS]
        await self.log.declare(specs)
        self.kinds = {source: bytearray() for topic in AGENTS for source in self.sources(topic)}

    async def append(self, lot: list[FuzzRecord], first: int) -> None:
        """Append records, dealt to the topics in turn."""
        batches = {source: OutgoingBatch(*source) for source in self.kinds}
        topics = list(AGENTS)
        for number, record in enumerate(lot, first):
            partition = number % PARTITIONS if record.key is None else partition_for(record.key, PARTITIONS)
            source = TopicPartition(f"{self.run}-{topics[number % len(topics)]}", partition)
            batches[source].append(record.key, record.value, record.timestamp_ms, record.headers)
            self.kinds[source].append(record.kind)
        for source, batch in batches.items():
            if len(batch):
                (base,) = await self.log.append([batch])
                assert base == self.ends[source], "the topic is not this run's own"
                self.ends[source] += len(batch)

    def start(self) -> None:
        """Start the worker; its output goes to worker.txt."""
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
            "FUZZ_APP": self.run,
            "BROKER_URL": self.broker,
            "APP_DATADIR": str(self.directory / "data"),
            "PELTON_AGENT_RETRIES_MAX": "1",
            "PELTON_AGENT_RETRY_BACKOFF_MS": "0",
        }
        command = [sys.executable, "-m", "faust", "-A", "tests.fuzz.fuzz_program", "worker", "-l", "error"]
        with (self.directory / "worker.txt").open("wb") as output:
            self.worker = subprocess.Popen(
                [*command, "--without-web"], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
            )

    def stop(self) -> None:
        """End the worker."""
        if self.worker is not None:
            self.worker.terminate()
            try:
                self.worker.wait(30)
            except subprocess.TimeoutExpired:
                self.worker.kill()
                self.worker.wait()

    def check_alive(self) -> None:
        """Raise Stalled when the worker has ended."""
        if self.worker is not None and self.worker.poll() is not None:
            raise Stalled(f"the worker ended with {self.worker.returncode}\n{self.output()}")

    def output(self) -> str:
        """Return the end of what the worker has printed."""
        return (self.directory / "worker.txt").read_text(errors="replace")[-4_000:]

    async def until_done(self, tell: Callable[[str], None]) -> None:
        """Wait until all agents have committed everything. Raises: Stalled."""
        before: object = None
        moved = time.monotonic()
        while True:
            found = await self.log.group_positions(self.run, self.kinds)
            if {source: (position.offset, position.metadata) for source, position in found.items()} == {
                source: (self.ends[source], "") for source in self.kinds
            }:
                return
            self.check_alive()
            if found != before:
                before, moved = found, time.monotonic()
                tell(f"committed {sum(position.offset for position in found.values()):,}")
            elif time.monotonic() - moved > STALL_S:
                at = {str(source): (tuple(found.get(source, ())), self.ends[source]) for source in self.kinds}
                raise Stalled(f"no progress in {STALL_S:g} s: {at}\n{self.output()}")
            await asyncio.sleep(0.2)

    async def read(self, source: TopicPartition) -> AsyncIterator[RecordBatch]:
        """Yield all committed records of a partition."""
        span = (await self.log.offsets([source]))[source]
        offset = span.start
        while offset < span.end:
            batch = await self.log.read(source, offset, bytes_max=1 << 22, timeout_s=1.0)
            yield batch
            offset = batch.next_offset


Place = tuple[str, str, int]
"""(agent, topic, partition)."""


class Verdict:
    """Compares what came out of a run with what went in."""

    def __init__(self, scene: Scene, report: Report) -> None:
        self._scene = scene
        self._report = report
        self._receipts: dict[Place, Counter[int]] = {}
        self._letters: dict[Place, dict[int, bytes]] = {}
        self._names = {function: name for name, function in FUNCTIONS.items()}

    async def judge(self) -> None:
        """Read everything and count what is wrong."""
        scene = self._scene
        for topic, agents in AGENTS.items():
            for agent in agents:
                for number in range(PARTITIONS):
                    place = agent, f"{scene.run}-{topic}", number
                    self._receipts[place], self._letters[place] = Counter(), {}
        for source in scene.sources("receipts"):
            async for batch in scene.read(source):
                for value in batch.values:
                    self._take_receipt((value or b"").decode().split())
        for number in range((await scene.log.partitions([f"{scene.run}-dlq"]))[f"{scene.run}-dlq"]):
            async for batch in scene.read(TopicPartition(f"{scene.run}-dlq", number)):
                for digest, headers in _rows(batch, own=False):
                    self._take_letter(digest, headers)
        for topic, agents in AGENTS.items():
            for source in scene.sources(topic):
                await self._judge_source(source, agents)
        await self._judge_copies()

    def _take_receipt(self, words: list[str]) -> None:
        agent, topic, partition, offset = words
        found = self._receipts.get((agent, topic, int(partition)))
        if found is None:
            self._report.wrong("foreign", f"receipt {words}")
        else:
            found[int(offset)] += 1

    def _take_letter(self, digest: bytes, headers: dict[str, bytes]) -> None:
        function = headers["pelton-dlq-agent"].decode().rpartition(".")[2]
        topic, partition = headers["pelton-dlq-topic"].decode(), int(headers["pelton-dlq-partition"])
        found = self._letters.get((self._names.get(function, function), topic, partition))
        offset = int(headers["pelton-dlq-offset"])
        if found is None:
            self._report.wrong("foreign", f"letter {headers}")
        elif offset in found:
            self._report.wrong("doubled", f"letter {headers}")
        else:
            found[offset] = digest

    async def _judge_source(self, source: TopicPartition, agents: dict[str, Outcome]) -> None:
        kinds = self._scene.kinds[source]
        async for batch in self._scene.read(source):
            for offset, key, (digest, _) in zip(batch.offsets, batch.keys, _rows(batch, own=True), strict=True):
                for agent, sort in agents.items():
                    place = agent, *source
                    must = certain(NAMES[kinds[offset]], key, sort)
                    self._judge(f"{place}@{offset} ({NAMES[kinds[offset]]})", place, offset, digest, must)

    def _judge(self, what: str, place: Place, offset: int, digest: bytes, must: bool | None) -> None:
        report = self._report
        processed, letter = self._receipts[place].pop(offset, 0), self._letters[place].pop(offset, None)
        report.processed += processed
        report.dead_lettered += letter is not None
        if processed == 0 and letter is None:
            report.wrong("missing", what)
        elif processed + (letter is not None) > 1:
            report.wrong("doubled", what)
        elif letter is not None and letter != digest:
            report.wrong("altered", what)
        elif must is not None and must != bool(processed):
            report.wrong("misjudged", f"{what} was {'processed' if processed else 'dead-lettered'}")

    async def _judge_copies(self) -> None:
        """What the agent of raw bytes sent on must be its input, record by record."""
        for number in range(PARTITIONS):
            source, copy = self._scene.sources("raw")[number], self._scene.sources("copies")[number]
            wanted = [d async for batch in self._scene.read(source) for d, _ in _rows(batch, own=True)]
            found = [d async for batch in self._scene.read(copy) for d, _ in _rows(batch, own=True)]
            if wanted != found:
                self._report.wrong("altered", f"copies of {source}: {len(found)} of {len(wanted)}, or others")
        for place, left in [*self._receipts.items(), *self._letters.items()]:
            for offset in left:
                self._report.wrong("foreign", f"{place}@{offset} does not exist")


def _rows(batch: RecordBatch, *, own: bool) -> Iterator[tuple[bytes, dict[str, bytes]]]:
    """Yield a digest of each record, and its headers by name. own: whether all of its headers are the record's own."""
    none: list[Headers] = [()] * len(batch)
    columns = zip(batch.keys, batch.values, batch.timestamps_ms, batch.headers or none, strict=True)
    for key, value, timestamp_ms, headers in columns:
        original = headers if own else headers[: _first_of_ours(headers)]
        data = repr((key, timestamp_ms, original)).encode(errors="surrogatepass") + b"|" + repr(value).encode()
        yield hashlib.blake2b(data, digest_size=12).digest(), dict(headers)


def _first_of_ours(headers: Headers) -> int:
    """Return the index of the first header that the engine added to a dead letter: the last of its name."""
    return max(index for index, (name, _) in enumerate(headers) if name == "pelton-dlq-topic")


async def run(
    broker: str, directory: Path, *, count: int, seed: int, tell: Callable[[str], None] = lambda _: None
) -> Report:
    """Throw so many records at the program and judge what came of them. Raises: Stalled."""
    log: Log = (
        SqliteLog(broker, clock=SystemClock())
        if broker.startswith("sqlite")
        else KafkaLog(broker.removeprefix("kafka://"))
    )
    await log.open()
    report = Report(count, seed, broker.partition(":")[0])
    scene = Scene(broker, log, directory)
    started = time.monotonic()
    try:
        await scene.declare()
        scene.start()
        source = records(seed, count)
        for first in range(0, count, LOT):
            await scene.append(list(islice(source, LOT)), first)
            scene.check_alive()
            tell(f"appended {first:,}")
        await scene.until_done(tell)
        scene.stop()
        await Verdict(scene, report).judge()
    finally:
        scene.stop()
        await log.close()
    report.seconds = round(time.monotonic() - started, 1)
    return report
