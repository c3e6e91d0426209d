"""Runs a compatibility program as a real worker, in a directory of its own.

A program is a file of `tests/compat/programs` that differs from a Faust program only in `pelton.App`. It is loaded
anew for each test, so that nothing is left of the last one; what it decides at run time comes from the environment, as
in production.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import msgspec

from pelton import App, TopicPartition
from pelton.batch import RecordBatch
from tests.patience import PATIENCE_S

PROGRAMS = Path(__file__).parent / "programs"


def environment(directory: Path) -> dict[str, str]:
    """Return the variables under which a program works in this directory, without a web page."""
    return {
        "APP_DATADIR": str(directory / "data"),
        "BROKER_URL": f"sqlite:///{directory / 'log.sqlite'}",
        "APP_WEB_ENABLED": "no",
        "PELTON_AGENT_RETRY_BACKOFF_MS": "1",
    }


def load(name: str, directory: Path = PROGRAMS) -> ModuleType:
    """Return a program as a new module."""
    file = directory / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_{uuid4().hex}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # models resolve their annotations through it
    spec.loader.exec_module(module)
    return module


async def until(condition: Callable[[], Any], what: str = "") -> Any:
    """Return the condition's value once it is true; it is asked again and again."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:g} s for {what or condition}"
        await asyncio.sleep(0.005)
    return found


@asynccontextmanager
async def worker(app: App) -> AsyncIterator[None]:
    """Run an application as `faust worker` does, from ready to stopped."""
    try:
        await app.start()
        await until(lambda: app.started or app.crashed, "the worker to start")
        assert not app.crashed, app.crash_reason
        yield
    finally:
        await app.stop()


async def records(app: App, topic: str) -> list[RecordBatch]:
    """Return all committed records of a topic, in batches that hold some."""
    log = app.log_connection
    found: list[RecordBatch] = []
    for number in range((await log.partitions([topic])).get(topic, 0)):
        source = TopicPartition(topic, number)
        span = (await log.offsets([source]))[source]
        position = span.start
        while position < span.end:
            batch = await log.read(source, position, bytes_max=1 << 20, timeout_s=PATIENCE_S)
            found += [batch] if len(batch) else []
            position = batch.next_offset
    return found


async def values(app: App, topic: str, count: int) -> list[Any]:
    """Wait until a topic holds so many committed records, and return their values, from JSON."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        raw = [value for batch in await records(app, topic) for value in batch.values]
        if len(raw) >= count:
            return [None if value is None else msgspec.json.decode(value) for value in raw]
        assert time.monotonic() < deadline, f"{topic} holds {len(raw)} records, expected {count}: {raw}"
        await asyncio.sleep(0.005)


async def settled(app: App, count: int) -> None:
    """Wait until so many events are committed by this worker."""

    def done() -> bool:
        statistics = app.statistics()
        return statistics is not None and statistics.committed_records >= count

    await until(done, f"{count} committed events")


def command(program: str, *words: str, **variables: str) -> str:
    """Run `faust -A <program> …` as a process to its end, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "faust", "-A", f"{program}:app", *words],
        cwd=PROGRAMS,
        env=os.environ | variables,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
