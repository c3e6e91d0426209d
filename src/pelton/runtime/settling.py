"""Settling dead letters, each exactly once: the record that goes back and the mark of its letter are one transaction.

A run is a member of the group `<app>-dlq`, always under the same name. Whoever joins later takes its place, and the
earlier run's next commit is refused: two runs never settle the same letter, and a run that was killed holds nobody up.
A run reads the marks after it has joined, when nobody else can write any more, so what a killed run has replayed is
not replayed again, and what it had not committed was never visible.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import msgspec

from pelton.batch import Headers, OutgoingBatch, TopicPartition
from pelton.clock import Clock
from pelton.errors import ConfigurationError, UnavailableError
from pelton.log.contract import Group, GroupOptions, Log, Position, RebalanceListener, TopicSpec
from pelton.log.partitioner import partition_for
from pelton.runtime.letters import Letter, LetterBox, LetterQuery, Mark, Number, letter_at, read_marks

__all__ = ["Edit", "Settled", "discard", "replay"]

#: A transaction ends after so many letters, or bytes of them.
_LETTERS_MAX = 500
_BYTES_MAX = 4 * 1024 * 1024
_JOIN_TIMEOUT_S = 60.0
_MEMBER = "dlq"

#: Told how many letters are settled so far, after each transaction.
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Settled:
    """What a run did.

    by_topic: topic -> letters of its records that were settled. missing: numbers asked for, of which there is no
    letter; before: those that had been settled already, and how.
    """

    by_topic: Mapping[str, int]
    missing: Sequence[Number]
    before: Mapping[Number, Mark]

    @property
    def count(self) -> int:
        """How many letters were settled."""
        return sum(self.by_topic.values())


@dataclass(frozen=True, slots=True)
class Edit:
    """What a record is to hold when it goes back, instead of what it held."""

    key: bytes | None
    value: bytes | None
    headers: Headers


async def replay(
    log: Log,
    app_id: str,
    query: LetterQuery,
    clock: Clock,
    progress: Progress,
    *,
    to: str | None = None,
    edits: Mapping[Number, Edit] | None = None,
) -> Settled:
    """Put the records of letters back: key, value, headers and timestamp as they were, or as somebody edited them.

    Back on its own topic a record goes to the partition it came from; elsewhere, and with another key, its key decides.
    to: the topic they go to instead of their own. edits: number -> what that letter's record holds now.
    Raises: ConfigurationError when a topic is missing; FencedError when another run took over; UnavailableError.
    """
    targets = _Targets(log, to)

    async def put_back(letter: Letter, transaction: _Transaction) -> Mark:
        edit = (edits or {}).get(letter.number)
        sent = letter if edit is None else replace(letter, key=edit.key, value=edit.value, headers=edit.headers)
        transaction.put_back(sent, await targets.of(sent, moved=sent.key != letter.key))
        return Mark("replayed", clock.time_ms(), to=to or letter.topic, edited=edit is not None)

    async with _joined(log, app_id, clock) as desk:
        return await desk.settle(query, put_back, progress)


async def discard(
    log: Log, app_id: str, query: LetterQuery, clock: Clock, progress: Progress, *, reason: str
) -> Settled:
    """Mark letters as done with. Raises: FencedError when another run took over; UnavailableError."""

    async def drop(_letter: Letter, _transaction: _Transaction) -> Mark:
        return Mark("discarded", clock.time_ms(), reason=reason)

    async with _joined(log, app_id, clock) as desk:
        return await desk.settle(query, drop, progress)


class _Targets:
    """Which partition a letter's record goes to."""

    def __init__(self, log: Log, to: str | None) -> None:
        self._log = log
        self._to = to
        self._counts: dict[str, int] = {}

    async def of(self, letter: Letter, *, moved: bool = False) -> TopicPartition:
        """Return where a letter's record goes. moved: whether it has another key than it had."""
        topic = self._to or letter.topic
        count = self._counts.get(topic) or await self._count(topic, letter)
        if topic == letter.topic and 0 <= letter.partition < count and not moved:
            return TopicPartition(topic, letter.partition)
        number = max(letter.partition, 0) % count if letter.key is None else partition_for(letter.key, count)
        return TopicPartition(topic, number)

    async def _count(self, topic: str, letter: Letter) -> int:
        count = (await self._log.partitions([topic])).get(topic) if topic else None
        if not count:
            what = f"there is no topic {topic!r}" if topic else "it does not say which topic it came from"
            raise ConfigurationError(
                f"could not replay dead letter {letter.number}: {what}", hint="name an existing topic with --to"
            )
        self._counts[topic] = count
        return count


class _Transaction:
    """What one transaction settles: records, and marks."""

    def __init__(self, marks_topic: str) -> None:
        self.topics: Counter[str] = Counter()
        self._bytes = 0
        self._marks = OutgoingBatch(marks_topic, 0)
        self._records: dict[TopicPartition, OutgoingBatch] = {}

    def put_back(self, letter: Letter, target: TopicPartition) -> None:
        records = self._records.setdefault(target, OutgoingBatch(*target))
        records.append(letter.key, letter.value, letter.timestamp_ms, letter.headers)
        self._bytes += len(letter.key or b"") + len(letter.value or b"")

    def mark(self, letter: Letter, mark: Mark) -> None:
        self._marks.append(str(letter.number).encode(), msgspec.json.encode(mark), mark.time_ms)
        self.topics[letter.topic] += 1

    @property
    def full(self) -> bool:
        return len(self._marks) >= _LETTERS_MAX or self._bytes >= _BYTES_MAX

    @property
    def writes(self) -> list[OutgoingBatch]:
        return [*self._records.values(), self._marks] if self._marks else []


#: Does to a letter what is to be done, and tells how it is settled.
_Act = Callable[[Letter, _Transaction], Awaitable[Mark]]


class _Desk:
    """A run that has joined: it alone can settle letters now.

    The group's positions say up to where all letters are settled; they only save reading, the marks decide.
    """

    def __init__(self, box: LetterBox, group: Group, positions: dict[TopicPartition, Position]) -> None:
        self._box = box
        self._group = group
        self._positions = positions

    async def settle(self, query: LetterQuery, act: _Act, progress: Progress) -> Settled:
        """Settle the letters that a query means, as many at a time as fit one transaction."""
        marks = await read_marks(self._box.log, self._box.marks_topic)
        before = {number: marks[number] for number in query.numbers if number in marks}
        done: Counter[str] = Counter()
        missing = set(query.numbers - set(before))
        starts = {} if query.numbers else {source.partition: at.offset for source, at in self._positions.items()}
        transaction = _Transaction(self._box.marks_topic)
        passing = not query.numbers  # whether all letters so far in this partition are settled
        partition = -1
        async for batch in self._box.batches(numbers=query.numbers, starts=starts):
            passing = passing or (batch.partition != partition and not query.numbers)
            partition = batch.partition
            for row in range(len(batch)):
                letter = letter_at(batch, row, marks)
                missing.discard(letter.number)
                if query.matches(letter) and (query.limit is None or done.total() < query.limit):
                    transaction.mark(letter, await act(letter, transaction))
                    done[letter.topic] += 1
                else:
                    passing = passing and letter.mark is not None
                if passing:
                    self._positions[batch.source] = Position(letter.number.offset + 1)
                if transaction.full:
                    transaction = await self._commit(transaction)
                    progress(done.total())
        await self._commit(transaction)
        progress(done.total())
        return Settled(done, sorted(missing), before)

    async def _commit(self, transaction: _Transaction) -> _Transaction:
        """Commit, and return the next transaction; the positions go along, for they are what fences a run."""
        await self._group.commit(transaction.writes, self._positions)
        return _Transaction(self._box.marks_topic)


@asynccontextmanager
async def _joined(log: Log, app_id: str, clock: Clock) -> AsyncGenerator[_Desk, None]:
    """Become the one run that settles letters, and leave the group at the end."""
    box = LetterBox(log, app_id)
    count = (await log.partitions([box.topic])).get(box.topic)
    if count is None:
        raise ConfigurationError(
            f"application {app_id!r} has no dead letters: there is no topic {box.topic!r}",
            hint="its workers make the topic when they start; is this the right broker and data directory?",
        )
    await log.declare([TopicSpec(box.marks_topic, partitions=1, cleanup_policy="compact")])
    options = GroupOptions(f"{app_id}-dlq", frozenset({box.topic}), instance_id=_MEMBER)
    group = await log.join(options, RebalanceListener(_ignore, _ignore_assigned, _ignore))
    try:
        partitions = [TopicPartition(box.topic, number) for number in range(count)]
        await _own(group, frozenset(partitions), clock)
        yield _Desk(box, group, await _positions(log, options.group_id, partitions))
    finally:
        await group.leave()


async def _own(group: Group, partitions: frozenset[TopicPartition], clock: Clock) -> None:
    """Wait until all partitions are this run's. What is fetched meanwhile is not used."""
    deadline = clock.monotonic() + _JOIN_TIMEOUT_S
    while group.assignment() != partitions:
        if clock.monotonic() > deadline:
            raise UnavailableError(
                "could not become the one who settles dead letters: their topic's partitions are not free",
                hint="is another member in the group <app>-dlq? only the dlq commands may join it",
            )
        await group.fetch(bytes_max=1, timeout_s=0.1)
    group.pause(partitions)


async def _positions(log: Log, group_id: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position]:
    """Return up to where all letters are settled: what was committed, or the start."""
    committed = await log.group_positions(group_id, partitions)
    spans = await log.offsets(partitions)
    return {source: committed.get(source, Position(span.start)) for source, span in spans.items()}


async def _ignore(_: frozenset[TopicPartition]) -> None:
    """Take note of partitions that go: the next commit is refused, which is all that matters."""


async def _ignore_assigned(_: frozenset[TopicPartition], _standbys: frozenset[int]) -> None:
    """Take note of partitions that come."""
