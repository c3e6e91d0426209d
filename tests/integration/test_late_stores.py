"""A worker comes back with its stores when the log does not say any more which keys were deleted meanwhile."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest_asyncio

import pelton
from tests.compat.harness import until, worker
from tests.integration.kafka_scene import Scene, opened
from tests.patience import PATIENCE_S

#: Deletions are forgotten as soon as the cleaner has seen them twice, half a second apart.
QUICK = {
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.001",
    "min.compaction.lag.ms": "0",
    "delete.retention.ms": "500",
}
DELETED, KEPT, LATER = ["a", "b", "c"], "kept", "later"


@pytest_asyncio.fixture
async def scene(kafka: str) -> AsyncIterator[Scene]:
    async with opened(kafka) as made:
        yield made


class Program:
    """A program that keeps what it is told about each key, and forgets it when it is told nothing."""

    def __init__(self, scene: Scene) -> None:
        self.id = f"late-{uuid.uuid4().hex[:8]}"
        self.changelog = f"{self.id}-notes-changelog"
        self._scene = scene
        scene.topics += [f"{self.id}-told", self.changelog, f"{self.id}-dlq"]

    @asynccontextmanager
    async def running(self, directory: Path) -> AsyncIterator[tuple[pelton.App, pelton.Table[str, str], Any]]:
        """Run a worker on the stores in a directory; gives the table, and what tells it something."""
        app = pelton.App(
            self.id,
            broker=f"kafka://{self._scene.bootstrap}",
            datadir=str(directory),
            topic_partitions=1,
            web_enabled=False,
        )
        notes: pelton.Table[str, str] = app.Table(
            "notes", key_type=str, value_type=str, partitions=1, extra_topic_configs=QUICK
        )
        topic = app.topic(f"{self.id}-told", key_type=str, value_type=str, partitions=1)

        async def note(stream: Any) -> None:
            async for key, value in stream.items():
                if value:
                    notes[key] = value
                else:
                    notes.pop(key, None)

        app.agent(topic, name="note")(note)
        async with worker(app):
            yield app, notes, topic

    async def changelog_keys(self) -> set[bytes | None]:
        return {row[1] for row in await self._scene.everything(self.changelog)}


async def test_what_was_deleted_while_it_was_away_stays_deleted(scene: Scene, tmp_path: Path) -> None:
    program = Program(scene)
    async with program.running(tmp_path / "first") as (_, notes, topic):
        for key in (*DELETED, KEPT):
            await topic.send(key=key, value="here")
        await until(lambda: set(notes) == {*DELETED, KEPT})

    async with program.running(tmp_path / "second") as (_, notes, topic):
        await until(lambda: set(notes) == {*DELETED, KEPT})
        for key in DELETED:
            await topic.send(key=key, value="")
        await until(lambda: set(notes) == {KEPT})
        async with asyncio.timeout(PATIENCE_S):  # new records close segments, which the cleaner then looks at
            while await program.changelog_keys() & {key.encode() for key in DELETED}:
                await topic.send(key=LATER, value="here")
                await asyncio.sleep(0.2)

    async with program.running(tmp_path / "first") as (app, notes, _):
        await until(app.runtime.ready.is_set)
        assert set(notes) == {KEPT, LATER}
