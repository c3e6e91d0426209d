"""Entities against a list of events a key: any commands, batches, crashes, snapshots, and a lost store."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from pelton import App, CommandRejectedError
from pelton.batch import Headers, OutgoingBatch, RecordBatch
from pelton.runtime.partition import Partition
from pelton.runtime.restore import changelog_writes
from pelton.shell.entity import Entity
from pelton.shell.entity_asking import EXPECTED_VERSION
from pelton.shell.replies import REPLY_TO
from pelton.state.events import COMMAND_ID, VERSION, EntityStore
from pelton.state.memory import MemoryStores
from pelton.stream.lane import CURRENT_LANE, Chunk, Lane
from pelton.stream.stream import Stream
from pelton.stream.versioned import slot_over
from tests.unit.stream.feeding import Effects, Feed
from tests.unit.stream.feeding import Program as Around

KEYS = ["a", "b", "ab"]


class Take(msgspec.Struct, tag=True):
    """Adds amounts one after the other; refused below zero."""

    amounts: list[int]


class Added(msgspec.Struct, tag=True):
    amount: int


class Seen(msgspec.Struct, tag=True):
    pass


class Sum(msgspec.Struct):
    total: int = 0
    events: list[int] = []


class Command(NamedTuple):
    """What the log holds. expected: how far the expected version is off, None when there is none."""

    key: str
    time_ms: int
    amounts: list[int]
    expected: int | None
    command_id: str | None


commands = st.builds(
    Command,
    st.sampled_from(KEYS),
    st.integers(0, 1_000),
    st.lists(st.integers(-3, 9), max_size=4),
    st.sampled_from([None, None, 0, 0, 1, -1]),
    st.sampled_from([None, None, "x", "y"]),
)
lives = st.lists(
    st.tuples(
        st.lists(st.lists(commands, min_size=1, max_size=6), max_size=4), st.sampled_from(["commit", "crash", "lost"])
    ),
    max_size=8,
)


def declared(every: int, state_version: int = 1) -> Entity[str, Sum]:
    app = App("entities", broker="sqlite://")
    entity = app.entity(
        "sums", state=Sum, commands=Take, events=Added | Seen, snapshot_every=every, state_version=state_version
    )

    @entity.decide
    def decide(state: Sum, command: Take) -> list[Any] | None:
        if state.total + sum(command.amounts) < 0:
            raise CommandRejectedError("below zero")
        if command.amounts == [0]:
            return None
        return [Added(amount) if amount else Seen() for amount in command.amounts]

    @entity.apply
    def apply(state: Sum, event: Added | Seen) -> Sum:
        amount = event.amount if isinstance(event, Added) else 0
        state.total += amount
        state.events.append(amount)
        return state

    return entity


class Model:
    """All events of all keys, with their times and the ids of their commands, and what came of each id."""

    def __init__(self) -> None:
        self.events: dict[str, list[tuple[int, int, str | None]]] = {key: [] for key in KEYS}
        self.ids: dict[tuple[str, str], tuple[int, int]] = {}
        self.log: list[tuple[str, int, int]] = []

    def copy(self) -> Model:
        other = Model()
        other.events = {key: list(found) for key, found in self.events.items()}
        other.ids, other.log = dict(self.ids), list(self.log)
        return other

    def answer(self, command: Command, expected: int | None) -> tuple[str, int]:
        mine = self.events[command.key]
        before = len(mine)
        known = self.ids.get((command.key, command.command_id or ""))
        if command.command_id is not None and known is not None:
            return "repeated", known[1]
        if expected is not None and expected != before:
            return "conflict", before
        if sum(amount for amount, _, _ in mine) + sum(command.amounts) < 0:
            return "rejected", before
        amounts = [] if command.amounts == [0] else command.amounts
        time_ms = max([command.time_ms, *(at for _, at, _ in mine)])
        for amount in amounts:
            mine.append((amount, time_ms, command.command_id))
            self.log.append((command.key, len(mine), time_ms))
        if command.command_id is not None:
            self.ids[command.key, command.command_id] = before + 1, len(mine)
        return "accepted", len(mine)

    def state(self, key: str, version: int) -> Sum:
        amounts = [amount for amount, _, _ in self.events[key][:version]]
        return Sum(sum(amounts), amounts)


class Program:
    """A partition of the entities, its changelogs, and crashes."""

    def __init__(self, entity: Entity[str, Sum]) -> None:
        self.entity = entity
        self.specs = {spec.name: spec for spec in entity.tables()}
        self.records: dict[str, list[tuple[bytes, bytes | None, int, Headers]]] = {name: [] for name in self.specs}
        self.stores = MemoryStores()
        self.open()

    def open(self) -> None:
        self.store = self.stores.open(Path("x"), 0, self.specs)
        self.partition = Partition(0, self.store, self.specs)
        self.partition.open_caches({})

    def reading(self) -> EntityStore:
        events, entities = (self.partition.caches[name] for name in self.specs)
        return EntityStore(events, entities)

    def run(self, chunks: list[list[tuple[Command, int | None]]]) -> list[tuple[str, int]]:
        async def agent() -> list[tuple[str, int]]:
            lane = Lane("sums-commands", 0, 0, Effects())
            for name, cache in self.partition.caches.items():
                lane.tables[name] = slot_over(cache, lane, None, name, "")
            CURRENT_LANE.set(lane)
            stream = Stream[Any](Feed(*(_chunk(one) for one in chunks)), lane, Around())
            return [(answer["what"], answer["version"]) async for answer in self.entity.agent.fun(stream)]  # type: ignore[union-attr]

        return copy_context().run(asyncio.run, agent())

    def commit(self) -> None:
        staged = self.partition.stage(0)
        if staged is None:
            return
        batches: dict[str, OutgoingBatch] = dict(staged.changelogs)
        for name, batch in batches.items():
            headers = batch.headers or [()] * len(batch)
            columns = zip(batch.keys, batch.values, batch.timestamps_ms, headers, strict=True)
            self.records[name] += [(key or b"", value, at, own) for key, value, at, own in columns]
        ends = {name: len(self.records[name]) for name in batches}
        self.store.write(self.partition.committed(staged, ends))
        self.partition.stored(1 << 20)

    def crash(self) -> None:
        self.stores.crash()
        self.open()

    def lose_store(self) -> None:
        self.stores = MemoryStores()
        self.open()
        for name, records in self.records.items():
            if records:
                keys, values, times, headers = (list(column) for column in zip(*records, strict=True))
                batch = RecordBatch(name, 0, range(len(keys)), times, keys, values, len(keys), headers)
                self.store.write({name: changelog_writes(batch, self.specs[name].format)})
        self.crash()


def _chunk(commands: list[tuple[Command, int | None]]) -> Chunk:
    headers: list[Headers] = []
    for command, expected in commands:
        own: Headers = ((REPLY_TO, b"somebody"),)
        if expected is not None:
            own += ((EXPECTED_VERSION, b"%d" % expected),)
        if command.command_id is not None:
            own += ((COMMAND_ID, command.command_id.encode()),)
        headers.append(own)
    count = len(commands)
    keys, times = [one.key.encode() for one, _ in commands], [one.time_ms for one, _ in commands]
    batch = RecordBatch("commands", 0, range(count), times, keys, [b""] * count, count, headers)
    return Chunk(batch, range(count), [Take(one.amounts) for one, _ in commands], bytes.decode, count)


def check(program: Program, model: Model) -> None:
    store, entity = program.reading(), program.entity
    assert sorted(store.keys()) == sorted(key.encode() for key, events in model.events.items() if events)
    for key, events in model.events.items():
        data = key.encode()
        assert store.head(data).version == len(events)
        for version, (_, time_ms, command_id) in enumerate(events, 1):
            assert entity.load(store, data, version).state == model.state(key, version)
            row = store.event(data, version)
            assert (row.time_ms, row.command_id) == (time_ms, command_id.encode() if command_id else None)
        for when_ms in range(-1, 1_001, 143):
            assert store.version_at(data, when_ms) == sum(time_ms <= when_ms for _, time_ms, _ in events)


@settings(deadline=None, max_examples=60)
@given(lives=lives, every=st.integers(1, 4), later=st.integers(1, 4), state_version=st.integers(1, 2))
def test_entities_are_the_sum_of_their_events(
    lives: list[tuple[list[list[Command]], str]], every: int, later: int, state_version: int
) -> None:
    program, model = Program(declared(every)), Model()
    for chunks, end in lives:
        committed = model.copy()
        answers: list[tuple[str, int]] = []
        asked: list[list[tuple[Command, int | None]]] = []
        for chunk in chunks:
            asked.append([])
            for command in chunk:
                expected = None if command.expected is None else len(model.events[command.key]) + command.expected
                expected = None if expected is not None and expected < 0 else expected
                asked[-1].append((command, expected))
                answers.append(model.answer(command, expected))
        assert program.run(asked) == answers
        check(program, model)
        if end == "commit":
            program.commit()
        else:
            model = committed
            program.lose_store() if end == "lost" else program.crash()
        check(program, model)
    program.commit()
    log = program.records[program.entity.events_table]
    assert [(key.decode(), int(dict(own)[VERSION] or 0), at) for key, _, at, own in log] == model.log
    program.entity = declared(later, state_version)  # another program over what this one left
    check(program, model)


def test_snapshots_are_used_and_those_of_another_kind_are_not() -> None:
    program = Program(declared(every=2))
    program.run([[(Command("a", 0, [1, 2, 3, 4, 5], None, None), None)]])
    store = program.reading()
    assert [one.version for one in store.snapshots(b"a", 5, 2)] == [4, 2]
    assert [one.version for one in store.snapshots(b"a", 3, 2)] == [2]
    assert [one.version for one in store.snapshots(b"a", 3, 100)] == [2]
    assert list(store.snapshots(b"a", 1, 2)) == []
    applied: list[Any] = []
    entity = declared(every=2)

    def noting(state: Sum, event: Any) -> Sum:
        applied.append(event)
        return state

    entity.apply(noting)
    assert entity.load(store, b"a", 5).state.events == [1, 2, 3, 4]
    assert applied == [Added(5)]
    other = declared(every=2, state_version=2)
    other.apply(noting)
    applied.clear()
    assert other.load(store, b"a", 5).state == Sum()
    assert len(applied) == 5
