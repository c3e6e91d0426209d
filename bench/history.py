"""Time travel and event sourcing, measured: `python -m bench.history [--events N] [--keys N] [--docs]`.

Commands lie in an embedded log; workers run in this process, one after the other, on the same data:

1. handle:  all commands become events of their entities.
2. rebuild: a new read model is worked out from the first event on, without history, then another one with it. Before,
            an ordinary agent does the same with an ordinary table, to compare.
3. read:    the models now and at random times, and entities at random times, right after a start and once more.

What is read at a time is compared with a replay of the commands: a wrong answer ends the run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from contextvars import copy_context
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import msgspec

import pelton
from bench import machine
from pelton.batch import OutgoingBatch
from pelton.clock import SystemClock
from pelton.log.contract import TopicSpec
from pelton.log.partitioner import partitions_for
from pelton.log.sqlite import SqliteLog
from pelton.stream.lane import CURRENT_LANE, Lane
from pelton.stream.versioned import slot_over

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- history -->", "<!-- /history -->"

APP = "bench-history"
PARTITIONS = 4
BATCH = 10_000
READS = 2_000
#: Milliseconds of event time between two commands.
STEP_MS = 100
HISTORY = timedelta(days=3650)


class Deposit(msgspec.Struct, tag=True):
    """Asks for an amount to be put into an account."""

    amount: int


class Deposited(msgspec.Struct, tag=True):
    """An amount was put into an account."""

    amount: int


class Account(msgspec.Struct):
    """What an account comes to."""

    balance: int = 0
    events: int = 0


class Program(NamedTuple):
    """An application, as one run has it; plain and kept are None before they are measured."""

    app: pelton.App
    accounts: Any
    plain: Any
    kept: Any


@dataclass
class Truth:
    """What was sent: for each key the times of its events, and its balance from each of them on."""

    times: dict[str, list[int]]
    balances: dict[str, list[int]]

    def at(self, key: str, when_ms: int) -> int:
        """Return the balance of a key at a time."""
        number = bisect_right(self.times[key], when_ms)
        return self.balances[key][number - 1] if number else 0


def program(*, plain: bool = False, kept: bool = False) -> Program:
    """Return the application with the read models that are wanted."""
    app = pelton.App(APP, topic_partitions=PARTITIONS)
    accounts = app.entity("accounts", state=Account, commands=Deposit, events=Deposited, snapshot_every=100)

    @accounts.decide
    def decide(account: Account, command: Deposit) -> Deposited:
        return Deposited(command.amount)

    @accounts.apply
    def apply(account: Account, event: Deposited) -> Account:
        account.balance += event.amount
        account.events += 1
        return account

    return Program(app, accounts, _model(accounts, "plain", None) if plain else None, _kept(accounts) if kept else None)


def ordinary() -> tuple[pelton.App, str]:
    """Return the application with an agent that does with a table what a read model does, and the agent's name."""
    app, accounts, _, _ = program()
    table = app.Table("ordinary", key_type=str, value_type=int, default=int)

    @app.agent(accounts.events, name="ordinary")
    async def add(events: pelton.Stream[Deposited]) -> None:
        async for key, event in events.items():
            table[key] += event.amount

    return app, add.name


def _kept(accounts: Any) -> Any:
    return _model(accounts, "kept", HISTORY)


def _model(accounts: Any, name: str, history: timedelta | None) -> Any:
    model = accounts.read_model(name, default=int, history=history)

    async def project(events: pelton.Stream[Deposited]) -> None:
        async for key, event in events.items():
            model[key] += event.amount

    model.project(project)
    return model


async def fill(broker: str, events: int, keys: int) -> Truth:
    """Append the commands to the log."""
    chance = random.Random(7)
    names = [f"account{number:07d}" for number in range(keys)]
    places = dict(zip(names, map(int, partitions_for([name.encode() for name in names], PARTITIONS)), strict=True))
    truth = Truth({}, {})
    log = SqliteLog(broker, clock=SystemClock())
    await log.open()
    topic = f"{APP}-accounts-commands"
    await log.declare([TopicSpec(topic, PARTITIONS)])
    for start in range(0, events, BATCH):
        batches = [OutgoingBatch(topic, number) for number in range(PARTITIONS)]
        for number in range(start, min(events, start + BATCH)):
            name, amount = chance.choice(names), chance.randrange(1, 100)
            value = b'{"type":"Deposit","amount":%d}' % amount
            batches[places[name]].append(name.encode(), value, number * STEP_MS)
            truth.times.setdefault(name, []).append(number * STEP_MS)
            balances = truth.balances.setdefault(name, [])
            balances.append(amount + (balances[-1] if balances else 0))
        await log.append([batch for batch in batches if len(batch)])
    await log.close()
    return truth


@asynccontextmanager
async def worker(app: pelton.App) -> AsyncIterator[None]:
    """Run an application from ready to stopped."""
    await app.start()
    try:
        yield
    finally:
        await app.stop()


async def until(condition: Callable[[], bool]) -> tuple[float, float]:
    """Wait for a condition; return the seconds of wall and of CPU time that it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    while not condition():  # noqa: ASYNC110 - the engine sets no event for it
        await asyncio.sleep(0.005)
    return time.perf_counter() - wall, time.process_time() - cpu


def _done(app: pelton.App, events: int) -> Callable[[], bool]:
    def done() -> bool:
        statistics = app.statistics()
        return statistics is not None and statistics.committed_records >= events

    return done


def _rebuilt(app: pelton.App, agent: str, events: int) -> Callable[[], bool]:
    def rebuilt() -> bool:
        statistics = app.statistics()
        tasks = statistics.tasks if statistics is not None else ()
        return sum(task.events for task in tasks if task.agent == agent) >= events

    return rebuilt


class Taken(NamedTuple):
    """The milliseconds that each of some reads took, of wall and of CPU time: a busy machine adds to the first only."""

    wall: list[float]
    cpu: list[float]


def timed(read: Callable[[Any], Any], asked: Sequence[Any]) -> Taken:
    """Return how long each of some reads takes."""
    found = Taken([], [])
    for one in asked:
        wall, cpu = time.perf_counter(), time.thread_time()
        read(one)
        found.cpu.append((time.thread_time() - cpu) * 1000)
        found.wall.append((time.perf_counter() - wall) * 1000)
    return found


class Figures(NamedTuple):
    """Lines of the table: what, and how much."""

    rows: list[tuple[str, str]]

    def rate(self, what: str, count: int, spent: tuple[float, float]) -> None:
        """Add how fast something was."""
        wall, cpu = spent
        self.rows.append((what, f"{count / wall:,.0f}/s, {cpu / count * 1e6:.1f} µs of CPU each"))

    def reads(self, what: str, taken: Taken) -> None:
        """Add how long reads took."""
        wall, cpu = (quantiles(times, n=100)[98] for times in taken)
        text = (
            f"p50 {median(taken.wall):.3f} ms, p99 {wall:.3f} ms; of CPU p99 {cpu:.3f} ms, max {max(taken.cpu):.2f} ms"
        )
        self.rows.append((what, text))


def check(one: Program, truth: Truth, asked: Iterable[tuple[str, int]]) -> None:
    """Compare answers about the past with what was sent."""
    for key, when_ms in asked:
        wanted = truth.at(key, when_ms)
        state = one.accounts.state(key, at=when_ms / 1000)
        found = one.kept.at(when_ms / 1000)[key], 0 if state is None else state.balance
        if found != (wanted, wanted):
            raise SystemExit(f"WRONG: {key} at {when_ms} ms is {found}, expected {wanted}")


async def measure(events: int, keys: int, directory: Path) -> list[tuple[str, str]]:
    """Return the figures."""
    broker = f"sqlite:///{directory / 'log.sqlite'}"
    os.environ |= {"BROKER_URL": broker, "APP_DATADIR": str(directory / "data"), "APP_WEB_ENABLED": "no"}
    figures = Figures([])
    tell("appending the commands")
    truth = await fill(broker, events, keys)
    chance = random.Random(11)
    known = sorted(truth.times)
    asked = [(chance.choice(known), chance.randrange(events * STEP_MS)) for _ in range(READS)]

    tell("handling them")
    first = program()
    async with worker(first.app):
        figures.rate("commands handled", events, await until(_done(first.app, events)))
    tell("an ordinary agent")
    app, agent = ordinary()
    async with worker(app):
        figures.rate("the same events, an ordinary agent and table", events, await until(_rebuilt(app, agent, events)))
        await app.commit()
    tell("a read model without history")
    second = program(plain=True)
    async with worker(second.app):
        spent = await until(_rebuilt(second.app, second.plain.name, events))
        figures.rate("read model rebuilt from the first event", events, spent)
        await second.app.commit()
    tell("a read model with history")
    third = program(plain=True, kept=True)
    async with worker(third.app):
        spent = await until(_rebuilt(third.app, third.kept.name, events))
        figures.rate("read model with history rebuilt", events, spent)
        await third.app.commit()
        check(third, truth, asked)
    tell("reads")
    fourth = program(plain=True, kept=True)
    async with worker(fourth.app):
        await until(lambda: all(done == total for done, total in (fourth.plain.progress(), fourth.kept.progress())))
        _reads(fourth, figures, asked)
        check(fourth, truth, asked)
    return figures.rows


def _reads(one: Program, figures: Figures, asked: Sequence[tuple[str, int]]) -> None:
    past = lambda key_when: one.kept.at(key_when[1] / 1000)[key_when[0]]  # noqa: E731
    state = lambda key_when: one.accounts.state(key_when[0], at=key_when[1] / 1000)  # noqa: E731
    figures.reads("`table.at(when)[key]`, first after a start", timed(past, asked))
    figures.reads("`table.at(when)[key]`, again", timed(past, asked))
    figures.reads("`table.versions(key)`", timed(lambda key_when: one.kept.versions(key_when[0]), asked))
    figures.reads("`entity.state(key, at=when)`, first after a start", timed(state, asked))
    figures.reads("`entity.state(key, at=when)`, again", timed(state, asked))
    started = time.perf_counter()
    count = sum(1 for _ in one.kept.at(asked[0][1] / 1000).items())
    figures.rows.append(
        (f"`table.at(when).items()`, {count:,} of them", f"{(time.perf_counter() - started) * 1000:,.0f} ms")
    )
    names = [key for key, _ in asked]
    for where, rounds in (
        ("in an agent", copy_context().run(_in_agent, one, names)),
        ("outside", _now(one, names)),
    ):
        plain, kept = (median(column) for column in zip(*rounds, strict=True))
        ratio = median(with_ / without for without, with_ in rounds)
        what = f"`table[key]` now, {where}, without and with history"
        figures.rows.append((what, f"{plain:.2f} µs and {kept:.2f} µs of CPU, ratio {ratio:.2f}"))


def _now(one: Program, names: Sequence[str]) -> list[tuple[float, float]]:
    """Return the microseconds that reads of what the tables hold now take, round after round, each table in turn."""
    return [(_current(one.plain, names), _current(one.kept, names)) for _ in range(50)]


def _in_agent(one: Program, names: Sequence[str]) -> list[tuple[float, float]]:
    """Return the same for reads of an agent: through the place of a table in its lane."""
    assert one.app.runtime is not None
    partition = one.app.runtime.partitions[0]
    lane = Lane("bench", 0, 0, partition)
    for name, cache in partition.caches.items():
        lane.tables[name] = slot_over(cache, lane, None, name, "")
    CURRENT_LANE.set(lane)
    return _now(one, [name for name in names if one.plain.get(name) is not None])


def _current(table: Any, names: Sequence[str]) -> float:
    started = time.thread_time()
    for name in names:
        table[name]
    return (time.thread_time() - started) / len(names) * 1e6


def tell(what: str) -> None:
    """Say how far the run is."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def as_markdown(events: int, keys: int, rows: Sequence[tuple[str, str]]) -> str:
    """Return the figures as the page has them."""
    head = f"{events:,} events of {keys:,} keys, on {machine.describe()}.\n\n| | |\n|---|---|\n"
    return head + "".join(f"| {what} | {figure} |\n" for what, figure in rows)


def write_page(text: str) -> None:
    """Put the figures into the page, in the place of those before."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def main() -> None:
    """Measure, print, and write the page when asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000, help="how many commands, each of which is an event")
    parser.add_argument("--keys", type=int, default=100_000, help="how many accounts they are dealt to")
    parser.add_argument("--docs", action="store_true", help="write the figures into docs/benchmarks.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        rows = asyncio.run(measure(given.events, given.keys, Path(directory)))
    text = as_markdown(given.events, given.keys, rows)
    print(text)
    if given.docs:
        write_page(text)


if __name__ == "__main__":
    main()
