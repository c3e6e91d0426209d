"""An embedded log in a directory of its own, under a wall clock that can be set."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from pelton.log.sqlite import SqliteLog
from tests.unit.log.scene import SettableClock


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest_asyncio.fixture
async def log(tmp_path: Path, clock: SettableClock) -> AsyncIterator[SqliteLog]:
    opened = SqliteLog(f"sqlite://{tmp_path / 'log.db'}?synchronous=off", clock)
    await opened.open()
    yield opened
    await opened.close()
