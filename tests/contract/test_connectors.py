"""What every connector is held to, on either log, with workers that are killed by kill -9 while they are at it.

A source's records are in the topic once each, in order where it has one; a sink's rows are on the other side once each.
Where the other side cannot send again (syslog), what was sent while a worker lives arrives once.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiomqtt
import polars as pl
import psycopg
import pytest
import pytest_asyncio

from tests.lifecycle.worker_processes import Scene, Worker, opened
from tests.patience import PATIENCE_S
from tests.servers import free_port, mosquitto, postgres

PROGRAM = "tests.contract.connect_program"
SECRET = "what-the-sender-and-we-know"
#: How many records there are in each of the three parts of a test.
PART = 150

pytestmark = [pytest.mark.timeout(300), pytest.mark.several_members]


@pytest_asyncio.fixture
async def scene(broker_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(broker_url, tmp_path, PROGRAM, "CONNECT") as running:
        yield running


# -- the other sides of sources --------------------------------------------------------------------


class Files:
    """Log files that are rotated: one is renamed and another begun every fifty lines, in the middle of a line."""

    resumes = True

    def __init__(self, scene: Scene) -> None:
        self.directory = scene.directory / "logs"
        self.directory.mkdir()
        self.place = str(self.directory)
        self.rotations = 0

    async def put(self, numbers: Sequence[int], worker: Callable[[], Worker]) -> None:
        for place, number in enumerate(numbers):
            path = self.directory / "app.log"
            with path.open("ab") as file:
                file.write(f"{number}"[:1].encode())
                file.flush()
                file.write(f"{number}\n"[1:].encode())
            if place % 50 == 49:
                self.rotations += 1
                path.rename(self.directory / f"app.log.{self.rotations}")
            await asyncio.sleep(0.001)

    async def close(self) -> None:
        pass


class Deliveries:
    """A sender of webhooks that tries until it hears that a delivery was accepted."""

    resumes = True
    place = ""

    def __init__(self, scene: Scene) -> None:
        pass

    async def put(self, numbers: Sequence[int], worker: Callable[[], Worker]) -> None:
        for number in numbers:
            while (await self.post(worker(), number))[0] != 202:  # noqa: ASYNC110 - as senders do
                await asyncio.sleep(0.02)

    async def post(self, worker: Worker, number: int) -> tuple[int, Any]:
        body, at = str(number).encode(), str(int(time.time()))
        signed = hmac.new(SECRET.encode(), f"msg-{number}.{at}.".encode() + body, sha256).digest()
        headers = {
            "webhook-id": f"msg-{number}",
            "webhook-timestamp": at,
            "webhook-signature": f"v1,{b64encode(signed).decode()}",
        }
        return await worker.request("hook", "POST", data=body, headers=headers)

    async def close(self) -> None:
        pass


class Devices:
    """Devices that publish with QoS 1, and their broker."""

    resumes = True

    def __init__(self, scene: Scene) -> None:
        self.run = f"{scene.run} 1 {scene.run}/#"  # as the broker notes a subscription
        self.topic = scene.run
        self.context = mosquitto()
        self.broker = self.context.__enter__()
        self.place = f"mqtt://127.0.0.1:{self.broker.port}"

    async def put(self, numbers: Sequence[int], worker: Callable[[], Worker]) -> None:
        async with aiomqtt.Client("127.0.0.1", self.broker.port) as client:
            for number in numbers:
                await client.publish(f"{self.topic}/{number % 3}", str(number), qos=1)

    async def close(self) -> None:
        self.context.__exit__(None, None, None)


class Machines:
    """Machines that send syslog messages over TCP; what they have sent is gone for them."""

    resumes = False

    def __init__(self, scene: Scene) -> None:
        self.port = free_port()
        self.place = str(self.port)

    async def put(self, numbers: Sequence[int], worker: Callable[[], Worker]) -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                break
            except ConnectionError:
                await asyncio.sleep(0.02)
        for number in numbers:
            message = f"<14>1 2026-01-01T00:00:00Z host app - - - {number}".encode()
            writer.write(b"%d %s" % (len(message), message) if number % 2 else message + b"\n")
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def close(self) -> None:
        pass


SOURCES: dict[str, Any] = {"files": Files, "webhook": Deliveries, "mqtt": Devices, "syslog": Machines}


@pytest.mark.parametrize("kind", SOURCES)
async def test_each_record_of_a_source_arrives_once_whatever_is_killed(scene: Scene, kind: str) -> None:
    other_side = SOURCES[kind](scene)
    try:
        variables = {"CONNECT_KIND": kind, "CONNECT_PLACE": other_side.place}
        await _run_a_source(scene, other_side, scene.start(**variables))
    finally:
        await other_side.close()


async def _run_a_source(scene: Scene, other_side: Any, worker: Worker) -> None:
    workers = [worker]
    if isinstance(other_side, Devices):  # a broker keeps nothing for a session it has not seen
        await _subscribed(other_side)
    await other_side.put(range(PART), lambda: workers[-1])
    await scene.until_values("arrived", 1 if other_side.resumes else PART)
    putting: asyncio.Task[None] | None = None
    if other_side.resumes:
        putting = asyncio.create_task(other_side.put(range(PART, 2 * PART), lambda: workers[-1]))
        await scene.until_values("arrived", PART + PART // 3)
    await workers[-1].kill()
    workers.append(scene.start(**workers[-1]._variables))
    if putting is not None:
        await putting
    await other_side.put(range(2 * PART, 3 * PART), lambda: workers[-1])
    expected = [*range(PART), *(range(PART, 2 * PART) if other_side.resumes else ()), *range(2 * PART, 3 * PART)]
    found = await scene.until_values("arrived", len(expected))
    await workers[-1].stop()
    found = await scene.values("arrived")
    assert sorted(found) == expected


async def _subscribed(devices: Devices) -> None:
    """Wait until the worker has its session at the broker."""

    async def found() -> bool:
        return devices.run in devices.broker.output.read_text()

    await _until(found)


# -- the other sides of sinks ----------------------------------------------------------------------


class Database:
    """A table of numbers, without a constraint that would hide a row that came twice."""

    constraint = ""

    def __init__(self, directory: Path, url: str) -> None:
        self.place = url
        self.again = False

    async def prepare(self) -> None:
        async with await psycopg.AsyncConnection.connect(self.place, autocommit=True) as connection:
            await connection.execute("DROP TABLE IF EXISTS numbers")
            await connection.execute(f"CREATE TABLE numbers (n bigint {self.constraint})".encode())

    async def rows(self) -> list[int]:
        async with await psycopg.AsyncConnection.connect(self.place) as connection:
            return [row[0] for row in await (await connection.execute("SELECT n FROM numbers")).fetchall()]


class KeyedDatabase(Database):
    """A table of numbers, which are unique."""

    constraint = "PRIMARY KEY"


class Directory:
    """A directory of Parquet files."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory / "warehouse"
        self.place = str(self.directory)

    async def prepare(self) -> None:
        pass

    async def rows(self) -> list[int]:
        files = list(self.directory.glob("*.parquet")) if self.directory.exists() else []
        return pl.read_parquet(files)["n"].to_list() if files else []


SINKS: dict[str, Any] = {"postgres": Database, "postgres-upsert": KeyedDatabase, "parquet": Directory}


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    with postgres() as (url, _):
        yield url


@pytest.mark.parametrize("kind", SINKS)
async def test_each_record_is_written_by_a_sink_once_whatever_is_killed(
    scene: Scene, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue("database") if kind.startswith("postgres") else ""
    other_side = SINKS[kind](tmp_path, url)
    await other_side.prepare()
    variables = {"CONNECT_KIND": kind, "CONNECT_PLACE": other_side.place}
    await scene.append("numbers", 2, *_numbered(range(PART)))
    worker = scene.start(**variables)
    await _until_rows(other_side.rows, 1)
    await scene.append("numbers", 2, *_numbered(range(PART, 2 * PART)))
    await _until_rows(other_side.rows, PART // 2)
    await worker.kill()
    worker = scene.start(**variables)
    await scene.append("numbers", 2, *_numbered(range(2 * PART, 3 * PART)))
    await _until_rows(other_side.rows, 3 * PART)
    await worker.stop()
    assert sorted(await other_side.rows()) == list(range(3 * PART))


def _numbered(numbers: Sequence[int]) -> list[tuple[str, dict[str, int]]]:
    return [(str(number), {"n": number}) for number in numbers]


async def _until_rows(rows: Callable[[], Awaitable[list[int]]], count: int) -> None:
    async def enough() -> bool:
        return len(set(await rows())) >= count

    await _until(enough)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - what is outside tells nobody
            await asyncio.sleep(0.05)
