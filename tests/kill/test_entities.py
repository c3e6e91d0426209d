"""`kill -9` of a worker with entities, also while their read model is worked out anew: every event comes once."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
import pytest

from pelton.batch import Headers, OutgoingBatch, TopicPartition
from pelton.clock import SystemClock
from pelton.log.contract import Log, TopicSpec
from pelton.log.kafka import KafkaLog
from pelton.log.partitioner import partition_for
from pelton.log.sqlite import SqliteLog
from tests.kill.kill_process import ROOT, worker_environment
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.timeout(600)

PARTITIONS = 2
KEYS = [f"k{number}" for number in range(40)]
KILLS_A_MODEL = 3
LOT = 1_500


class Record(NamedTuple):
    """A record as an outsider reads it."""

    key: str
    value: Any
    time_ms: int
    headers: Mapping[str, bytes | None]


class Scene:
    """One run of the program: its log, its commands, and one worker after the other."""

    def __init__(self, broker: str, log: Log, directory: Path) -> None:
        self.broker, self.log, self.directory = broker, log, directory
        self.run = f"kill-entities-{uuid4().hex[:8]}"
        self.chance = random.Random(5)
        self.worker: subprocess.Popen[bytes] | None = None
        self._number = 0

    def start(self, model: int) -> None:
        command = [
            sys.executable,
            "-m",
            "faust",
            "-A",
            "tests.kill.entities_program",
            "worker",
            "-l",
            "info",
            "--without-web",
        ]
        environment = worker_environment(self.broker, self.run, self.directory / "data", {"KILL_MODEL": str(model)})
        with (self.directory / "workers.txt").open("ab") as output:
            self.worker = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def kill(self) -> None:
        assert self.worker is not None
        self.worker.kill()
        self.worker.wait(timeout=PATIENCE_S)
        self.worker = None

    async def append(self, count: int) -> None:
        """Append commands; of some, the id has been there before, and some come at an earlier time."""
        batches = {n: OutgoingBatch(f"{self.run}-sums-commands", n) for n in range(PARTITIONS)}
        for _ in range(count):
            self._number += 1
            key = self.chance.choice(KEYS).encode()
            command_id = self._number if self.chance.random() < 0.8 else self.chance.randrange(1, self._number + 1)
            amounts = [self.chance.randrange(-20, 30) for _ in range(self.chance.choice([1, 1, 1, 3]))]
            headers: Headers = (("pelton-command-id", b"%d" % command_id),)
            value = msgspec.json.encode({"type": "Add", "amounts": amounts})
            time_ms = self._number * 10 - self.chance.choice([0, 0, 500])
            batches[partition_for(key, PARTITIONS)].append(key, value, time_ms, headers)
        await self.log.append([batch for batch in batches.values() if len(batch)])

    async def read(self, topic: str) -> list[list[Record]]:
        """Return the committed records of each partition of a topic, in order."""
        count = (await self.log.partitions([topic])).get(topic, 0)
        return [[one async for one in self._records(TopicPartition(topic, number))] for number in range(count)]

    async def _records(self, source: TopicPartition) -> Any:
        offset, end = (await self.log.offsets([source], decided=True))[source]
        while offset < end:
            batch = await self.log.read(source, offset, bytes_max=1 << 22, timeout_s=1.0)
            headers = batch.headers or [() for _ in batch.offsets]
            for key, value, at, own in zip(batch.keys, batch.values, batch.timestamps_ms, headers, strict=True):
                yield Record((key or b"").decode("latin-1"), value, at, dict(own))
            offset = batch.next_offset

    async def size(self, topic: str) -> int:
        """Return how many offsets a topic has."""
        count = (await self.log.partitions([topic])).get(topic, 0)
        spans = await self.log.offsets([TopicPartition(topic, number) for number in range(count)])
        return sum(span.end for span in spans.values())

    async def until(self, condition: Callable[[], Any], what: str) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            while not (found := await condition()):
                assert self.worker is not None
                assert self.worker.poll() is None, self.output()
                await asyncio.sleep(0.05)
            return found

    def output(self) -> str:
        return (self.directory / "workers.txt").read_text()[-5_000:]


class Expected(NamedTuple):
    """What a partition's commands lead to: its events in order, and each key's total."""

    events: list[tuple[str, int, int, bytes, bytes]]
    totals: dict[str, int]


def replay(commands: list[Record]) -> Expected:
    """Handle commands as the program does, one after the other."""
    events: list[tuple[str, int, int, bytes, bytes]] = []
    totals: dict[str, int] = {}
    stands: dict[str, tuple[int, int]] = {}
    accepted: set[tuple[str, bytes | None]] = set()
    for command in commands:
        amounts = msgspec.json.decode(command.value)["amounts"]
        command_id = command.headers["pelton-command-id"]
        total = totals.get(command.key, 0)
        if (command.key, command_id) in accepted or total + sum(amounts) < 0:
            continue
        accepted.add((command.key, command_id))
        version, time_ms = stands.get(command.key, (0, command.time_ms))
        time_ms = max(time_ms, command.time_ms)
        for amount in amounts:
            version += 1
            value = msgspec.json.encode({"type": "Added", "amount": amount})
            events.append((command.key, version, time_ms, value, command_id or b""))
        totals[command.key] = total + sum(amounts)
        stands[command.key] = version, time_ms
    return Expected(events, totals)


def events_in(records: list[Record]) -> list[tuple[str, int, int, bytes, bytes]]:
    return [
        (
            one.key,
            int(one.headers["pelton-version"] or 0),
            one.time_ms,
            one.value,
            one.headers["pelton-command-id"] or b"",
        )
        for one in records
    ]


def folded(records: list[Record]) -> dict[str, int]:
    return {key: int(value) for key, value in {one.key: one.value for one in records}.items() if value is not None}


async def check(scene: Scene, model: int) -> None:
    """Wait until the read model is complete, then compare all that the program has written with a replay."""
    commands = await scene.read(f"{scene.run}-sums-commands")
    expected = [replay(records) for records in commands]
    totals = [{key: total * model for key, total in one.totals.items()} for one in expected]

    async def complete() -> bool:
        found = [folded(records) for records in await scene.read(f"{scene.run}-totals-v{model}-changelog")]
        return found == totals

    with suppress(TimeoutError):
        await scene.until(complete, "the read model")
    found = [events_in(records) for records in await scene.read(f"{scene.run}-sums-events")]
    assert found == [one.events for one in expected]
    assert await complete()
    for records, one in zip(await scene.read(f"{scene.run}-totals-v{model}-history-changelog"), expected, strict=True):
        versions = {record.key for record in records if record.key.startswith("V")}
        assert len(versions) == len(one.events)


@pytest.fixture(params=["sqlite", "kafka"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of a log."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'log.sqlite'}"
    else:
        yield f"kafka://{request.getfixturevalue('kafka')}"


async def test_kills_change_no_event_and_no_read_model(broker: str, tmp_path: Path) -> None:
    log: Log = (
        KafkaLog([broker.removeprefix("kafka://")])
        if broker.startswith("kafka:")
        else SqliteLog(broker, clock=SystemClock())
    )
    await log.open()
    scene = Scene(broker, log, tmp_path)
    try:
        await log.declare([TopicSpec(f"{scene.run}-sums-commands", PARTITIONS, retention_ms=-1)])
        for model in (1, 2):
            for _ in range(KILLS_A_MODEL):
                await scene.append(LOT)
                growing = f"{scene.run}-sums-events" if model == 1 else f"{scene.run}-totals-v2-changelog"
                before = await scene.size(growing)
                scene.start(model)

                async def grown(topic: str = growing, before: int = before) -> bool:
                    return await scene.size(topic) > before

                await scene.until(grown, "the next commit")
                await asyncio.sleep(scene.chance.uniform(0, 0.4))  # the moment, not a wait
                scene.kill()
            await scene.append(LOT)
            scene.start(model)
            await check(scene, model)
            scene.kill()
    finally:
        if scene.worker is not None:
            scene.kill()
        topics = [topic for topic in await log.topics() if topic.startswith(scene.run)]
        await log.delete_topics(topics)
        await log.close()
