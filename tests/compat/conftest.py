"""Every compatibility program works in a directory of its own, and is configured by the environment alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from pelton.log.kafka import KafkaLog
from pelton.testing.broker import Cluster
from tests.compat.harness import environment
from tests.retention import KEEP_ALL

VERSIONS = count(2)


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the test's directory; the log and the data of its program are there."""
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture(scope="session")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a real Kafka that these tests have to themselves: their programs name topics as people do."""
    with Cluster(directory=tmp_path_factory.mktemp("kafka"), port=0, quick_start=True, properties=KEEP_ALL) as cluster:
        yield cluster.bootstrap


@pytest.fixture
def each_log(request: pytest.FixtureRequest, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Let the programs of a test work on each of the logs in turn: an empty one, and with --kafka on Kafka."""
    if request.param == "sqlite":
        yield environment(directory)["BROKER_URL"]
        return
    bootstrap: str = request.getfixturevalue("own_kafka")
    monkeypatch.setenv("BROKER_URL", f"kafka://{bootstrap}")
    monkeypatch.setenv("APP_VERSION", str(next(VERSIONS)))  # the group of the test before is remembered
    yield f"kafka://{bootstrap}"
    asyncio.run(empty(bootstrap))


async def empty(bootstrap: str) -> None:
    """Delete all topics."""
    log = KafkaLog(bootstrap)
    await log.open()
    await log.delete_topics(await log.topics())
    await log.close()
