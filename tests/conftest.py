"""What tests of several kinds share: a real Kafka, one for all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pelton.testing.broker import Cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kafka", action="store_true", help="run the log's contract suite on a real Kafka too")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the bootstrap address of a real Kafka: that of KAFKA_BOOTSTRAP, or of one that ends with the tests."""
    running = os.environ.get("KAFKA_BOOTSTRAP")
    if running:
        yield running
        return
    with Cluster(directory=tmp_path_factory.mktemp("kafka"), port=0, quick_start=True) as cluster:
        yield cluster.bootstrap
