"""What must be: everything computed a second time, plainly, from the records alone, and compared at every commit.

For each agent and partition the oracle knows how far the committed position has come. A commit that moves it must hold
what the records in between amount to, no more and no less: outputs in order, dead letters, the tables' new values. So
an event that is lost, doubled, torn apart or out of its order is found by the very commit that makes it so (invariants
I1, I2, I4, I5, I7, I9); and each store, whenever it is written or opened, must be what its changelog amounts to at
the position that stands beside it (I3). It shares no code with the engine but the partitioner.
"""

from __future__ import annotations

import json
import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from pelton.batch import OutgoingBatch, TopicPartition
from pelton.log.contract import Position
from pelton.log.partitioner import partition_for
from pelton.state.contract import Store
from pelton.testing.simulation.ahead_models import Calls, Fault, Past, Sent, Timers, Work
from pelton.testing.simulation.broker import Broker, Record
from pelton.testing.simulation.effects import OUT
from pelton.testing.simulation.program import (
    APP,
    ENGINE_TABLES,
    HISTORY_MS,
    LOOK_BACK_MS,
    RETENTION_MS,
    TABLES,
    WINDOW_MS,
    topic_of,
)
from pelton.testing.simulation.sharing import LEFT, RIGHT, SHARED
from pelton.testing.simulation.sharing_model import Sharing
from pelton.testing.simulation.workload import EVENTS

__all__ = ["Oracle", "Violation"]

_LETTERS = f"{APP}-dlq"
#: Agents that fail at a poisonous event; "batches" and "follow" do not look.
_POISONED = frozenset({"sums", "chain", "windows", "gather", "spread", "past", "calls", "timers", LEFT, RIGHT})
#: Agents whose effects may be committed before the position says so: their models judge what they send.
_AHEAD = ("calls", "timers")
#: Agents that share a table: one model judges both.
_SHARING = (LEFT, RIGHT)

#: Where the engine keeps a note of its own: how far stream time has come.
_STREAM_TIME = ("windows", b"")
#: The topic, partition and offset of a record that was given up; by which agent; "decode" or "agent".
_Letter = tuple[str, int, int, str, str]


class Violation(AssertionError):
    """A promise was broken."""


@dataclass(slots=True)
class _Expected:
    """What a commit must hold.

    sent: (agent, its partition, partition of OUT) -> (key, value, origin) in order. touched: (table, partition, key).
    shared: (agent, partition) -> the events of one that shares a table.
    """

    sent: defaultdict[tuple[str, int, int], list[tuple[bytes | None, bytes, bytes]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    letters: Counter[_Letter] = field(default_factory=Counter[_Letter])
    touched: set[tuple[str, int, bytes]] = field(default_factory=set[tuple[str, int, bytes]])
    shared: defaultdict[tuple[str, int], list[Work]] = field(default_factory=lambda: defaultdict(list))


#: What a commit sends to OUT: (agent, its partition, partition of OUT) -> (key, value, origin) in order.
_Flows = defaultdict[tuple[str, int, int], list[tuple[bytes | None, bytes | None, bytes]]]


class _Ahead:
    """What the oracle knows of one partition for the agents whose effects may come before the position says so.

    works: the events that an agent can read, by offset, as far as they were looked at.
    """

    def __init__(self, order: str) -> None:
        self.works: dict[int, Work] = {}
        self.read_to = 0
        self.calls = Calls(order)
        self.timers = Timers()
        self.past = Past(HISTORY_MS, LOOK_BACK_MS)

    def read(self, records: Iterable[Record]) -> list[Work]:
        """Look at further records; return the events among them."""
        found: list[Work] = []
        for record in records:
            self.read_to = record.offset + 1
            happening = _decoded(record.value)
            if happening is not None:
                self.works[record.offset] = work = Work(record, happening["kind"], happening["amount"])
                found.append(work)
        return found


class Oracle:
    """Audits a run.

    agents: in the program's order. order: that of the results of "calls". fail: ends the run with a violation.
    """

    def __init__(
        self, broker: Broker, agents: Sequence[str], partitions: int, order: str, fail: Callable[[Violation], None]
    ) -> None:
        self._broker = broker
        self._agents = agents
        self._partitions = partitions
        self._fail = fail
        self._done: dict[tuple[str, TopicPartition], int] = {}
        self._tables: defaultdict[tuple[str, int], dict[bytes, bytes]] = defaultdict(dict)
        self._latest: dict[int, int] = {}
        self._ahead = [_Ahead(order) for _ in range(partitions)]
        self._sharing = [Sharing() for _ in range(partitions)]
        for number, ahead in enumerate(self._ahead):
            self._tables["answers", number] = ahead.calls.sums
            self._tables["timed", number] = ahead.timers.counts
            self._tables["past", number] = ahead.past.now
            self._tables[SHARED, number] = self._sharing[number].totals
        #: What each changelog amounts to, up to an offset.
        self._folds: dict[TopicPartition, tuple[int, dict[bytes, bytes]]] = {}

    def _violated(self, what: str) -> None:
        self._fail(Violation(what))

    # -- commits ---------------------------------------------------------------------------------------------------

    def committed(self, writes: Sequence[OutgoingBatch], positions: Mapping[TopicPartition, Position]) -> None:
        """Judge a transaction."""
        expected, sent = _Expected(), _sent_in(writes)
        letters, timers_given_up = _letters_in(writes)
        for source in sorted(positions):
            offset, metadata = positions[source]
            ahead: dict[str, int] = json.loads(metadata) if metadata else {}
            events = self._read_events(source) if source.topic == EVENTS else []
            for agent in self._readers(source.topic):
                to = offset + ahead.get(agent, 0)
                self._advance(agent, source, to, expected)
                try:
                    if agent == "calls":
                        self._judge_calls(source.partition, sent, to, expected)
                    elif agent == "timers":
                        self._judge_timers(source.partition, sent, timers_given_up, events, to, expected)
                except Fault as fault:
                    self._violated(f"{agent}[{source.partition}]: {fault}")
        for number in sorted({source.partition for source in positions}):
            self._judge_sharing(number, sent, expected)
        self._judge_sent(expected, sent)
        if letters != expected.letters:
            self._violated(_difference("dead letters", dict(expected.letters), dict(letters)))
        self._judge_tables(expected, writes)

    def _readers(self, topic: str) -> list[str]:
        return [agent for agent in self._agents if topic == topic_of(agent)]

    def _advance(self, agent: str, source: TopicPartition, to: int, expected: _Expected) -> None:
        """Process the records that a commit says an agent has completed."""
        done = self._done.get((agent, source), 0)
        if to < done:
            self._violated(f"{agent} at {source} goes back from {done} to {to}: it was done already")
        for record in self._broker.history(source, done, to):
            self._process(agent, source.partition, record, expected)
        self._done[agent, source] = max(done, to)

    def _judge_sent(self, expected: _Expected, found: _Flows) -> None:
        for flow in sorted(found.keys() | expected.sent.keys()):
            if found[flow] != expected.sent[flow]:
                self._violated(f"sent by {flow}, {_where_they_part(expected.sent[flow], found[flow])}")

    # -- agents whose effects may come before the position says so ---------------------------------------------------

    def _read_events(self, source: TopicPartition) -> list[Work]:
        """Return the events that nobody has looked at yet, where somebody wants to."""
        if not any(agent in _AHEAD for agent in self._agents):
            return []
        ahead = self._ahead[source.partition]
        return ahead.read(self._broker.history(source, ahead.read_to, 1 << 62))

    def _take(self, flow: str, number: int, sent: _Flows, expected: _Expected, table: str | None) -> list[Sent]:
        """Take what an agent has sent, to the partition of its own number, out of what a commit sends."""
        taken = [
            Sent(key, value, origin.decode().rpartition("/")[2])
            for key, value, origin in sent.pop((flow, number, number), [])
        ]
        if table is not None:
            expected.touched |= {(table, number, one.key or b"") for one in taken}
        return taken

    def _judge_calls(self, number: int, sent: _Flows, to: int, expected: _Expected) -> None:
        ahead, found = self._ahead[number], self._take("calls", number, sent, expected, "answers")
        ahead.calls.committed(found, ahead.works, to, self._fold("calls", number))

    def _judge_timers(
        self,
        number: int,
        sent: _Flows,
        given_up: Mapping[int, Sequence[bytes]],
        events: Sequence[Work],
        to: int,
        expected: _Expected,
    ) -> None:
        walls = self._take("wall", number, sent, expected, None)
        found = self._take("timers", number, sent, expected, "timed")
        self._ahead[number].timers.committed(found, walls, given_up.get(number, ()), events, to)

    def _judge_sharing(self, number: int, sent: _Flows, expected: _Expected) -> None:
        found = {agent: self._take(agent, number, sent, expected, SHARED) for agent in _SHARING}
        try:
            self._sharing[number].committed({agent: expected.shared[agent, number] for agent in _SHARING}, found)
        except Fault as fault:
            self._violated(f"{SHARED}[{number}]: {fault}")

    # -- tables ----------------------------------------------------------------------------------------------------

    def _judge_tables(self, expected: _Expected, writes: Sequence[OutgoingBatch]) -> None:
        """Compare what the changelogs amount to now, where anything was or should have been written."""
        tables = {f"{APP}-{table}-changelog": table for agent in self._agents for table in TABLES[agent]}
        for batch in writes:
            if batch.topic in tables:
                if tables[batch.topic] == "spread":  # written by all workers, whose transactions may end in any order
                    self._folds.pop(TopicPartition(batch.topic, batch.partition), None)
                expected.touched |= {(tables[batch.topic], batch.partition, key or b"") for key in batch.keys}
        for table, number, key in sorted(expected.touched):
            if (table, key) == _STREAM_TIME or table in ENGINE_TABLES:
                continue
            found = self._fold(table, number).get(key)
            wanted = self._tables[table, number].get(key)
            if found != wanted:
                self._violated(f"table {table}[{number}] {key!r}: expected {wanted!r}, the changelog says {found!r}")
            if table == "past":
                self._judge_versions(number, key)

    def _judge_versions(self, number: int, key: bytes) -> None:
        try:
            self._ahead[number].past.judge(key, self._fold("past-history", number))
        except Fault as fault:
            self._violated(f"past[{number}]: {fault}")

    def _fold(self, table: str, number: int, end: int | None = None) -> dict[bytes, bytes]:
        """Return what a changelog amounts to up to an offset; to its end when None."""
        source = TopicPartition(f"{APP}-{table}-changelog", number)
        at, folded = self._folds.get(source, (0, {}))
        if end is not None and end < at:
            at, folded = 0, {}
        for record in self._broker.history(source, at, end if end is not None else 1 << 62):
            at = record.offset + 1
            if record.value is None:
                folded.pop(record.key or b"", None)
            else:
                folded[record.key or b""] = record.value
        self._folds[source] = at, folded
        return folded

    # -- stores ----------------------------------------------------------------------------------------------------

    def stored(self, number: int, store: Store, tables: Iterable[str]) -> None:
        """Judge what a store holds (invariant I3)."""
        if number < 0:
            self._judge_replicated(store)
            return
        for table in sorted({table for agent in self._agents for table in TABLES[agent]}.intersection(tables)):
            source = TopicPartition(f"{APP}-{table}-changelog", number)
            position, found = store.position(table), dict(store.scan(table))
            if position is None:
                if found:
                    self._violated(f"store {number} holds {len(found)} keys of {table} and no position")
            elif position > self._broker.decided_end(source):
                self._violated(f"store {number}: {table} is at {position}, its changelog ends before")
            elif position >= self._broker.cleaned_to(source) and found != (
                wanted := self._fold(table, number, position)
            ):
                self._violated(_difference(f"store {number}, {table} at {position},", wanted, found))

    def _judge_replicated(self, store: Store) -> None:
        """Judge a store of all partitions of a table; how far each one was read stands in a table of its own."""
        found, wanted = dict(store.scan("spread")), dict[bytes, bytes]()
        for number in range(self._partitions):
            source = TopicPartition(f"{APP}-spread-changelog", number)
            position = store.position(f"spread@{number}")
            if position is None and self._broker.decided_end(source):
                return  # a wiping was cut off, which whoever opens it has to see
            position = position or 0
            if position < self._broker.cleaned_to(source):
                return
            wanted |= self._fold("spread", number, position)
        if found != wanted:
            self._violated(_difference("the replicated store,", wanted, found))

    # -- the end ---------------------------------------------------------------------------------------------------

    def lacking(self) -> str:
        """Return what is not done yet, in words; "" when everything is."""
        for agent in self._agents:
            for number in range(self._partitions):
                source = TopicPartition(topic_of(agent), number)
                if source.topic not in self._broker.counts():
                    return f"no worker has got as far as to declare {source.topic}"
                end = self._broker.end(source)
                if self._done.get((agent, source), 0) < end:
                    return f"{agent} has done {self._done.get((agent, source), 0)} of {end} at {source}"
                if agent == "timers" and (armed := self._ahead[number].timers.armed):
                    return f"timers of the wall clock that {sorted(armed)} set at {source} have not fired"
        return ""

    def finish(self) -> None:
        """Judge the tables as they are at the end, as a whole."""
        for agent in self._agents:
            for table in TABLES[agent]:
                for number in range(self._partitions):
                    if table in ENGINE_TABLES:
                        continue
                    found, wanted = dict(self._fold(table, number)), self._tables[table, number]
                    if table == _STREAM_TIME[0]:
                        found.pop(_STREAM_TIME[1], None)
                    if found != wanted:
                        self._violated(_difference(f"table {table}[{number}]", wanted, found))

    # -- what the agents compute -----------------------------------------------------------------------------------

    def _process(self, agent: str, number: int, record: Record, expected: _Expected) -> None:
        if agent == "follow":
            self._link("followed", number, record.key or b"", record.value or b"", expected)
            return
        happening = _decoded(record.value)
        if happening is None or (happening["kind"] == "poison" and agent in _POISONED):
            kind = "decode" if happening is None else "agent"
            topic = topic_of(agent)
            if happening is not None or agent == self._readers(topic)[0]:
                expected.letters[topic, number, record.offset, agent, kind] += 1
            return
        if agent in _AHEAD:
            return
        if agent in _SHARING:
            expected.shared[agent, number].append(Work(record, happening["kind"], happening["amount"]))
            return
        if agent == "spread":
            self._spread(record, happening["amount"], expected)
            return
        value = getattr(self, f"_{agent}")(number, record, happening["amount"], expected)
        target = number if record.key is None else partition_for(record.key, self._partitions)
        origin = f"{agent}/{number}/{record.offset}".encode()
        expected.sent[agent, number, target].append((record.key, value, origin))

    def _add(self, table: str, number: int, key: bytes, amount: int, expected: _Expected) -> bytes:
        values = self._tables[table, number]
        values[key] = b"%d" % (int(values.get(key, 0)) + amount)
        expected.touched.add((table, number, key))
        return values[key]

    def _sums(self, number: int, record: Record, amount: int, expected: _Expected) -> bytes:
        self._add("counts", number, record.key or b"", 1, expected)
        return self._add("sums", number, record.key or b"", amount, expected)

    def _gather(self, number: int, record: Record, amount: int, expected: _Expected) -> bytes:
        return self._add("gathered", number, record.key or b"", amount, expected)

    def _batches(self, number: int, record: Record, amount: int, expected: _Expected) -> bytes:
        return self._add("batched", number, record.key or b"", amount, expected)

    def _past(self, number: int, record: Record, amount: int, expected: _Expected) -> bytes:
        expected.touched.add(("past", number, record.key or b""))
        return self._ahead[number].past.handle(Work(record, "plain", amount))

    def _chain(self, number: int, record: Record, amount: int, expected: _Expected) -> bytes:
        return self._link("chains", number, record.key or b"", b"%d" % amount, expected)

    def _link(self, table: str, number: int, key: bytes, what: bytes, expected: _Expected) -> bytes:
        values = self._tables[table, number]
        values[key] = b"%d" % crc32(values.get(key, b"") + what)
        expected.touched.add((table, number, key))
        return values[key]

    def _spread(self, record: Record, amount: int, expected: _Expected) -> None:
        key = record.key or b""
        number = partition_for(key, self._partitions)
        expected.touched.add(("spread", number, key))
        if amount % 7 == 0:
            self._tables["spread", number].pop(key, None)
        else:
            self._tables["spread", number][key] = b"%d" % amount

    def _windows(self, number: int, record: Record, amount: int, expected: _Expected) -> bytes:
        """Count in the window of the record's time; nothing is kept of a window that stream time has left behind."""
        start = record.timestamp_ms - record.timestamp_ms % WINDOW_MS
        latest = self._latest[number] = max(start, self._latest.get(number, start))
        gone_to = latest - RETENTION_MS - WINDOW_MS
        if start <= gone_to:
            return b"1"
        key = struct.pack(">Q", start + (1 << 63)) + (record.key or b"")
        count = self._add("windows", number, key, 1, expected)
        values = self._tables["windows", number]
        if count == b"3":
            del values[key]
        for old in [old for old in values if struct.unpack_from(">Q", old)[0] - (1 << 63) <= gone_to]:
            expected.touched.add(("windows", number, old))
            del values[old]
        return count


def _sent_in(writes: Sequence[OutgoingBatch]) -> _Flows:
    found: _Flows = defaultdict(list)
    for batch in writes:
        if batch.topic == OUT:
            for key, value, headers in zip(batch.keys, batch.values, batch.headers or (), strict=True):
                origin = headers[0][1] or b""
                agent, number, _ = origin.decode().split("/")
                found[agent, int(number), batch.partition].append((key, value, origin))
    return found


def _letters_in(writes: Sequence[OutgoingBatch]) -> tuple[Counter[_Letter], Mapping[int, list[bytes]]]:
    """Return the dead letters of records, and, by partition, the keys of timers that were given up."""
    records: Counter[_Letter] = Counter()
    timers: defaultdict[int, list[bytes]] = defaultdict(list)
    for batch in writes:
        if batch.topic == _LETTERS:
            for key, headers in zip(batch.keys, batch.headers or (), strict=True):
                why = {name.removeprefix("pelton-dlq-"): (content or b"").decode() for name, content in headers}
                if why["topic"] == "timers":
                    timers[int(why["partition"])].append(key or b"")
                else:
                    records[why["topic"], int(why["partition"]), int(why["offset"]), why["agent"], why["kind"]] += 1
    return records, timers


def _decoded(value: bytes | None) -> dict[str, Any] | None:
    """Return the event in a record's value, or None when it holds none."""
    try:
        found = json.loads(value or b"")
    except ValueError:
        return None
    return found if {"kind", "amount"} <= found.keys() else None


def _difference(what: str, wanted: Mapping[Any, Any], found: Mapping[Any, Any]) -> str:
    """Return the first difference, in words."""
    keys = [*wanted, *(key for key in found if key not in wanted)]
    key = next(key for key in keys if wanted.get(key) != found.get(key))
    return f"{what} {key}: expected {wanted.get(key)}, found {found.get(key)}"


def _where_they_part(one: Sequence[object], other: Sequence[object]) -> str:
    """Return from where on two lists differ, in words."""
    same = next((at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right), None)
    same = min(len(one), len(other)) if same is None else same
    return f"from number {same} on: expected {one[same:][:3]}, found {other[same:][:3]}"
