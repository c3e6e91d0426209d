"""Calls to the outside and timers of keys in workers that are killed while they work, on both logs."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from struct import unpack
from types import ModuleType
from uuid import uuid4

import msgspec
import pytest

from pelton.batch import OutgoingBatch
from pelton.log.partitioner import partition_for
from tests.compat.harness import environment, load, records
from tests.patience import PATIENCE_S
from tests.property.test_timing import Event
from tests.property.test_timing import model as timers_model

HERE = Path(__file__).parent
KEYS = ("a", "b", "cc", "d")
EVENTS, KILLS = 240, 2
pytestmark = pytest.mark.timeout(600)


def drawn(seed: int) -> list[Event]:
    """Return events that are out of order by some milliseconds, then some that move stream time past all timers."""
    draw = random.Random(seed)
    events = [
        Event(
            draw.choice(KEYS),
            number * 10 + draw.randint(0, 40),
            draw.choice("xy"),
            draw.randint(-5, 90),
            draw.randint(0, 2),
            draw.random() < 0.2,
        )
        for number in range(EVENTS)
    ]
    return events + [Event(key, 10_000, "x", 0, 0, True) for key in KEYS]


def of_partition(events: Sequence[Event], number: int) -> list[int]:
    return [place for place, event in enumerate(events) if partition_for(event.key.encode(), 2) == number]


def expected(events: Sequence[Event]) -> list[list[str]]:
    """Return what each partition of "told" must hold, in order."""
    found: list[list[str]] = []
    for number in range(2):
        places = of_partition(events, number)
        lines = timers_model([events[place] for place in places], 0)
        found.append([str(places[int(line)]) if line.isdigit() else line for line in lines])
    return found


class Outcome:
    """What the program has put out so far, as an outsider reads it."""

    def __init__(self, program: ModuleType) -> None:
        self._program = program
        self.answers: list[list[tuple[str, int, int]]] = [[], []]
        self.told: list[list[str]] = [[], []]
        self.alarms: Counter[int] = Counter()

    async def read(self) -> tuple[int, int]:
        """Read all anew; return how many answers there are, and how much else."""
        app, program = self._program.app, self._program
        self.__init__(program)  # type: ignore[misc]
        for batch in await records(app, str(program.answers)):
            for key, value in zip(batch.keys, batch.values, strict=True):
                answer = msgspec.json.decode(value or b"", type=dict[str, int])
                self.answers[batch.partition].append(((key or b"").decode(), answer["number"], answer["answer"]))
        for batch in await records(app, str(program.told)):
            self.told[batch.partition] += [msgspec.json.decode(value or b"")["text"] for value in batch.values]
        for batch in await records(app, str(program.alarms)):
            self.alarms.update(int(msgspec.json.decode(value or b"")["text"]) for value in batch.values)
        return sum(map(len, self.answers)), sum(map(len, self.told)) + self.alarms.total()


async def recorded(program: ModuleType, numbers: Sequence[Sequence[int]]) -> set[int]:
    """Return the events whose calls have a result in the changelog, or are marked as done there.

    numbers: the events of each partition, in the log's order. A row that was deleted counts as well.
    """
    found: set[int] = set()
    for batch in await records(program.app, f"{program.RUN}-ask-calls-changelog"):
        for key in batch.keys:
            if key is not None and key[:1] == b"e":
                found.add(numbers[batch.partition][unpack(">Q", key[-8:])[0]])
    return found


@contextmanager
def process(directory: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker as a process of its own, until it is killed."""
    with (directory / "worker.log").open("ab") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "faust", "-A", "ahead_program:app", "worker", "--without-web", "-l", "warn"],
            cwd=HERE,
            env=os.environ | {"PYTHONPATH": str(HERE)} | variables,
            stdout=log,
            stderr=log,
        )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()


async def tell(program: ModuleType, events: Sequence[Event], places: range) -> None:
    """Append events to the topic, each in the partition of its key."""
    batches = [OutgoingBatch(str(program.tickets), number) for number in range(2)]
    for place in places:
        event = events[place]
        ticket = program.Ticket(place, event.time_ms / 1000, event.name, event.after_ms, event.again, event.cancel)
        batch = batches[partition_for(event.key.encode(), 2)]
        batch.append(event.key.encode(), msgspec.json.encode(ticket), program.app.clock.time_ms(), ())
    await program.app.log_connection.append([batch for batch in batches if len(batch)])


def _reaches(found: tuple[int, int], wanted: tuple[int, int]) -> bool:
    return found[0] >= wanted[0] and found[1] >= wanted[1]


async def until_put_out(outcome: Outcome, worker: subprocess.Popen[bytes], *, answers: int, told: int) -> None:
    """Wait until so many answers have been put out, and so much by timers' agent."""
    deadline = time.monotonic() + PATIENCE_S
    while not _reaches(await outcome.read(), (answers, told)):
        assert worker.poll() is None, "the worker has ended"
        assert time.monotonic() < deadline, f"waited for {answers} answers and {told} others: {await outcome.read()}"
        await asyncio.sleep(0.1)


def calls_in(ledger: Path) -> list[int]:
    """Return the events that the outside was asked about, in the order in which it was."""
    return [int(line) for line in ledger.read_text().split()] if ledger.exists() else []


async def until_asked(ledger: Path, worker: subprocess.Popen[bytes], number: int) -> None:
    """Wait until the outside was asked about an event."""
    deadline = time.monotonic() + PATIENCE_S
    while number not in calls_in(ledger):
        assert worker.poll() is None, "the worker has ended"
        assert time.monotonic() < deadline, f"nobody asks about {number}"
        await asyncio.sleep(0.05)


async def test_no_recorded_call_is_made_twice_and_timers_fire_once_and_in_order(
    broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = tmp_path / "ledger"
    run = f"ahead-{uuid4().hex[:8]}"
    variables = {"BROKER_URL": broker_url, "AHEAD_RUN": run, "AHEAD_LEDGER": str(ledger)}
    for name, value in {**environment(tmp_path), **variables}.items():
        monkeypatch.setenv(name, value)
    program = load("ahead_program", HERE)
    draw, events = random.Random(1), drawn(1)
    numbers = [of_partition(events, number) for number in range(2)]
    wanted, outcome = expected(events), Outcome(program)
    alarms = Counter(number for number in range(len(events)) if number % 5 == 0)
    everything = sum(map(len, wanted)) + alarms.total()
    part = EVENTS // (KILLS + 1)
    kept: list[tuple[set[int], int]] = []
    await program.app.open_log()
    await program.app.log_connection.declare(
        [replace(spec, partitions=2) for topic in program.app.declared_topics for spec in topic.specs()]
    )
    try:
        for turn in range(KILLS):
            hangs = turn * part + 7
            with process(tmp_path, AHEAD_HANGS=str(hangs)) as worker:
                before, _ = await outcome.read()
                await tell(program, events, range(turn * part, (turn + 1) * part))
                await until_put_out(outcome, worker, answers=before + draw.randint(8, 30), told=0)
                await until_asked(ledger, worker, hangs)
            asked = len(calls_in(ledger))
            kept.append((await recorded(program, numbers), asked))
        with process(tmp_path) as worker:
            await tell(program, events, range(KILLS * part, len(events)))
            await until_put_out(outcome, worker, answers=len(events), told=everything)
    finally:
        await program.app.close_log()
    calls = calls_in(ledger)
    assert all(calls.count(turn * part + 7) > 1 for turn in range(KILLS)), "a call under way is made again"
    for done, asked in kept:
        assert done
        assert not done.intersection(calls[asked:]), "recorded, and called again"
    assert outcome.told == wanted
    assert outcome.alarms == alarms
    for number, found in enumerate(outcome.answers):
        assert sorted(found) == sorted((events[place].key, place, 3 * place) for place in numbers[number])
        for key in KEYS:
            mine = [place for of_key, place, _ in found if of_key == key]
            assert mine == sorted(mine)
