"""What tests of several kinds share: a real Kafka, one for all of them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pelton.testing.broker import Cluster
from tests.retention import KEEP_ALL

#: The application's hub follows files of a directory: that of whoever works here is not the tests' own.
os.environ["HUB_DIRECTORY"] = tempfile.mkdtemp(prefix="pelton-hub-")
#: Its topics keep all, for the same reason as the brokers of tests do.
os.environ["BANK_RETENTION_S"] = "-1"


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["HUB_DIRECTORY"], ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kafka", action="store_true", help="run the log's contract suite on a real Kafka too")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    kafka = metafunc.config.getoption("--kafka") or "KAFKA_BOOTSTRAP" in os.environ
    for name in {"broker_url", "each_log"}.intersection(metafunc.fixturenames):
        metafunc.parametrize(name, ["sqlite", "kafka"] if kafka else ["sqlite"], indirect=True)


@pytest.fixture
def broker_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a log as programs name it: an empty SQLite file always, Kafka too with --kafka."""
    if request.param == "kafka":
        return f"kafka://{request.getfixturevalue('kafka')}"
    return f"sqlite:///{tmp_path / 'log.sqlite'}?synchronous=off"


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the bootstrap address of a real Kafka: that of KAFKA_BOOTSTRAP, or of one that ends with the tests."""
    running = os.environ.get("KAFKA_BOOTSTRAP")
    if running:
        yield running
        return
    with Cluster(directory=tmp_path_factory.mktemp("kafka"), port=0, quick_start=True, properties=KEEP_ALL) as cluster:
        yield cluster.bootstrap
