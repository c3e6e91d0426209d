"""The homes of the log that its contract suite runs on: SQLite always, Kafka with --kafka or KAFKA_BOOTSTRAP.

The log in memory of `pelton.testing.Driver` has one process and one member a group, and skips what needs several.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.contract.log_scene import Scene


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "address" in metafunc.fixturenames:
        kafka = metafunc.config.getoption("--kafka") or "KAFKA_BOOTSTRAP" in os.environ
        several = next(metafunc.definition.iter_markers("several_members"), None)
        homes = ["sqlite", *([] if several else ["memory"]), *(["kafka"] if kafka else [])]
        metafunc.parametrize("address", homes, indirect=True)


@pytest.fixture
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of an empty log."""
    if request.param == "kafka":
        return f"kafka://{request.getfixturevalue('kafka')}"
    if request.param == "memory":
        return f"memory://{tmp_path}"
    return f"sqlite://{tmp_path / 'log.db'}?synchronous=off"


@pytest_asyncio.fixture
async def scene(address: str) -> AsyncIterator[Scene]:
    async with Scene(address) as opened:
        yield opened
