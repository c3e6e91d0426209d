"""Waiting for what others write into the file: how much is asked of SQLite meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from pelton.log.contract import TopicSpec
from pelton.log.sqlite import SqliteLog
from pelton.log.sqlite.database import Database
from pelton.log.sqlite.waiting import Ends
from tests.patience import PATIENCE_S
from tests.unit.log.scene import SOURCE, batch_of

LOOKS = 20


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - SQLite tells nobody
            await asyncio.sleep(0.001)


async def test_a_file_that_nobody_writes_is_not_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = SqliteLog(path)
    await log.open()
    await log.declare([TopicSpec(SOURCE.topic, 1)])
    watcher, said = Database(path, "off"), list[str]()
    ends = Ends(watcher, asyncio.Event())
    watcher.connection.set_trace_callback(said.append)
    try:
        first = asyncio.create_task(ends.moved(SOURCE, 0, PATIENCE_S))
        await until(lambda: len(said) >= LOOKS)
        asked = [statement for statement in said if not statement.startswith("PRAGMA data_version")]
        assert sum(statement.startswith("SELECT") for statement in asked) == 1

        said.clear()  # who begins to wait is looked after, though the file is as it was
        await asyncio.wait_for(ends.moved(SOURCE, 7, PATIENCE_S), PATIENCE_S / 2)
        assert not first.done()

        await log.append([batch_of([(b"k", b"one")])])
        await asyncio.wait_for(first, PATIENCE_S / 2)
    finally:
        await ends.close()
        watcher.close()
        await log.close()
