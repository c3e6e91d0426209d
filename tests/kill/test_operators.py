"""Windows and joins in workers that are killed while they work, on both logs, against models of each operator.

The models are those of the property tests, which try many more inputs, batches and crashes, on stores in memory.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
import pytest

from pelton.batch import OutgoingBatch
from pelton.log.contract import TopicSpec
from pelton.log.partitioner import partition_for
from pelton.stream.windowing import hopping, session, sliding, tumbling
from tests.compat.harness import environment, load, records
from tests.property.test_asof import model as asof_model
from tests.property.test_dedupe import Payment as Paid
from tests.property.test_dedupe import model as dedupe_model
from tests.property.test_joining import Event
from tests.property.test_joining import Model as JoinModel
from tests.property.test_windowing import Model as WindowModel
from tests.property.test_windowing import Payment, SlidingModel

HERE = Path(__file__).parent
KEYS = ("a", "b", "c", "d")
#: Topics whose contents do not hang on how the program's topics interleave, and on when commits were made.
RESULTS = ("closed", "pairs", "alone", "latest", "sessions", "slid", "hopped", "framed", "counted")
EVENTS, ROUNDS, PATIENCE_S = 240, 4, 120.0
pytestmark = pytest.mark.timeout(600)


class Told(NamedTuple):
    """An event as it is sent. topic: t for trades, right for quotes, as the models of joins have it."""

    topic: str
    key: str
    time_ms: int
    number: int
    id: int


def told(seed: int) -> list[Told]:
    """Return events that are out of order by some seconds and come twice at times, then some that close all."""
    draw = random.Random(seed)
    events: list[Told] = []
    for number in range(EVENTS):
        time_ms = number * 500 + draw.randint(-8_000, 0)
        topic = draw.choice(("t", "right"))
        events.append(Told(topic, draw.choice(KEYS), time_ms, number, draw.randint(0, number)))
    ends = [(topic, key, time_ms) for time_ms in (10**6, 2 * 10**6) for key in KEYS for topic in ("t", "right")]
    return events + [Told(*end, EVENTS + index, -index) for index, end in enumerate(ends)]


def expected(events: list[Told]) -> dict[str, Counter[Any]]:
    """Return what each topic must hold, worked out a partition at a time."""
    found: dict[str, Counter[Any]] = {name: Counter() for name in RESULTS}
    for number in range(2):
        mine = [event for event in events if partition_for(event.key.encode(), 2) == number]
        trades = {event.number: event for event in mine if event.topic == "t"}
        through, _ = dedupe_model([Paid(one.id, one.time_ms, one.number) for one in trades.values()], 20_000)
        found["closed"].update(closed_in(WindowModel(tumbling(10), 5_000), [trades[one.number] for one in through]))
        found["sessions"].update(closed_in(WindowModel(session(3), 5_000), trades.values()))
        found["slid"].update(closed_in(SlidingModel(sliding(4), 5_000), trades.values()))
        found["hopped"].update(closed_in(WindowModel(hopping(10, 4), 5_000), trades.values()))
        found["counted"].update(counted_off(list(trades.values())))
        joined = [Event(one.topic, one.key, one.time_ms, one.number) for one in mine]
        pairs = JoinModel("join", (5_000, 5_000), 5_000).results(joined)
        found["pairs"].update((key, left, right) for key, left, right, _ in pairs.elements())
        every = JoinModel("outer_join", (1_000, 2_000), 5_000).results(joined)
        found["alone"].update((key, left, right) for key, left, right, _ in every.elements())
        latest = asof_model(joined, None, 5_000)[0]
        found["latest"].update((key, left, right) for key, left, right, _ in latest.elements())
    return found | {"framed": found["hopped"]}


def closed_in(model: WindowModel, events: Iterable[Told]) -> list[Any]:
    """Return the windows that a model closes: key, start, count and sum."""
    for one in events:
        model.take(Payment(one.key, one.time_ms, one.number))
    return [(key, window.start_ms, *of) for key, window, *of in model.closed]


def counted_off(events: list[Told]) -> list[Any]:
    """Return the windows of five events of a key, in the order of the log."""
    mine = [[event for event in events if event.key == key] for key in KEYS]
    fives = [of[start : start + 5] for of in mine for start in range(0, len(of) - 4, 5)]
    return [(five[0].key, min(one.time_ms for one in five), 5, sum(one.number for one in five)) for five in fives]


def joined_rows(events: list[Told]) -> dict[str, tuple[Any, ...]]:
    """Return the join of the last trade and the last quote of each key."""
    last = {(event.topic, event.key): event.number for event in events}
    return {key: (key, last["t", key], last["right", key]) for key in KEYS}


@contextmanager
def process(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker as a process of its own, until it is killed."""
    with (directory / "worker.log").open("ab") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "faust", "-A", "operators_program:app", "worker", "--without-web", "-l", "warn"],
            cwd=HERE,
            env=os.environ | {"PYTHONPATH": str(HERE)},
            stdout=log,
            stderr=log,
        )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()


async def results(program: ModuleType) -> dict[str, Counter[Any]]:
    """Return what the topics hold that is committed."""
    found: dict[str, Counter[Any]] = {}
    for name in RESULTS:
        found[name] = Counter(await held(program, name))
    return found


async def held(program: ModuleType, name: str) -> list[tuple[Any, ...]]:
    """Return what one of the program's topics holds that is committed."""
    batches = await records(program.app, str(getattr(program, name)))
    values = [msgspec.json.decode(value) for batch in batches for value in batch.values if value is not None]
    return [tuple(value.values()) for value in values]


async def until_rows(program: ModuleType, wanted: dict[str, tuple[Any, ...]]) -> None:
    """Wait until the changes of the joined tables, folded, come to these rows."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := {row[0]: row for row in await held(program, "rows")}) != wanted:
        assert time.monotonic() < deadline, f"expected {wanted}, got {found}"
        await asyncio.sleep(0.1)


async def tell(program: ModuleType, events: list[Told]) -> None:
    """Append events to the topics, each in the partition of its key."""
    for event in events:
        topic = str(program.trades if event.topic == "t" else program.quotes)
        value = msgspec.json.encode(program.Trade(id=event.id, number=event.number, at=event.time_ms / 1000))
        batch = OutgoingBatch(topic, partition_for(event.key.encode(), 2))
        batch.append(event.key.encode(), value, program.app.clock.time_ms(), ())
        await program.app.log_connection.append([batch])


async def until_more(program: ModuleType, worker: subprocess.Popen[bytes], count: int) -> dict[str, Counter[Any]]:
    """Wait until the topics hold so many results together, and return them."""
    deadline = time.monotonic() + PATIENCE_S
    while sum(map(Counter.total, (found := await results(program)).values())) < count:
        assert worker.poll() is None, "the worker has ended"
        assert time.monotonic() < deadline, f"waited for {count} results: {found}"
        await asyncio.sleep(0.1)
    return found


@pytest.mark.parametrize("seed", [1])
async def test_windows_and_joins_are_those_of_the_models_however_often_their_worker_is_killed(
    seed: int, broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**environment(tmp_path), "BROKER_URL": broker_url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPERATORS_RUN", f"operators-{uuid4().hex[:8]}")
    program = load("operators_program", HERE)
    draw, events = random.Random(seed), told(seed)
    wanted = expected(events)
    await program.app.open_log()
    await program.app.log_connection.declare(
        [spec for topic in program.app.declared_topics for spec in with_partitions(topic.specs())]
    )
    part = len(events) // ROUNDS
    try:
        for turn in range(ROUNDS - 1):
            with process(tmp_path) as worker:
                before = sum(map(Counter.total, (await results(program)).values()))
                await tell(program, events[turn * part : (turn + 1) * part])
                await until_more(program, worker, before + draw.randint(1, 10))
        with process(tmp_path) as worker:
            await tell(program, events[(ROUNDS - 1) * part :])
            found = await until_more(program, worker, sum(map(Counter.total, wanted.values())))
            await until_rows(program, joined_rows(events))
    finally:
        await program.app.close_log()
    assert found == wanted


def with_partitions(specs: list[TopicSpec]) -> list[TopicSpec]:
    return [replace(spec, partitions=2) for spec in specs]
