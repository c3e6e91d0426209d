"""The log itself: topics, transactions, the group's positions. It never fails, and forgets what a log may forget.

What may go wrong on the way to it is the network's business. Every committed transaction is shown to the auditor before
anybody else can see it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from math import inf
from typing import Literal, NamedTuple, Protocol

from pelton.batch import Headers, OutgoingBatch, RecordBatch, TopicPartition
from pelton.errors import FencedError, OffsetOutOfRangeError, TopicMismatch, UnavailableError
from pelton.log.contract import OffsetRange, Position, TopicSpec
from pelton.testing.simulation.coordinator import Coordinator

__all__ = ["Auditor", "Broker", "Record", "Transaction"]

#: A transaction that is open for longer is given up, in seconds.
_TRANSACTION_S = 1.5


class Record(NamedTuple):
    """One record as it lies in a partition."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Auditor(Protocol):
    """Who judges the commits."""

    def committed(self, writes: Sequence[OutgoingBatch], positions: Mapping[TopicPartition, Position]) -> None:
        """Judge a transaction that has just become visible. Raises: Violation."""
        ...


@dataclass(slots=True, eq=False)
class Transaction:
    """Records and positions that become visible together.

        open ──commit──▶ decided ──▶ ended
          └────abort───────────────▶ ended

    first: the first offset in each partition it writes to. A decided one is committed, and not yet visible; its
    positions and its records become so each in their time, for their markers go different ways.
    """

    number: int
    member_id: str
    began_at: float
    writes: Sequence[OutgoingBatch]
    positions: Mapping[TopicPartition, Position]
    bases: list[int]
    first: dict[TopicPartition, int]
    state: Literal["open", "decided", "ended"] = "open"
    positions_shown: bool = False


@dataclass(slots=True)
class _Partition:
    """records: those that are committed, and those of open transactions, in offset order."""

    records: list[Record] = field(default_factory=list[Record])
    start: int = 0
    next_offset: int = 0
    #: Everything that was ever committed, for the auditor: compaction takes nothing from it.
    history: list[Record] = field(default_factory=list[Record])
    #: Below it, older values of a key may be missing.
    cleaned_to: int = 0
    #: When each tombstone was cleaned first: what it deletes has gone by then.
    tombstones: dict[int, float] = field(default_factory=dict[int, float])


class Broker:
    """Topics and transactions.

    now: the time in seconds. gaps: whether transactions leave markers, offsets that hold no record.
    show_later: calls a function after a while, which makes what is decided visible; None for at once.
    cleans: whether to compact a changelog now. deletions_s: for how long a changelog says that a key is gone.
    """

    def __init__(
        self,
        now: Callable[[], float],
        coordinator: Coordinator,
        *,
        gaps: bool,
        show_later: Callable[[Callable[[], None]], None] | None = None,
        cleans: Callable[[], bool] = lambda: False,
        deletions_s: float = inf,
    ) -> None:
        self.coordinator = coordinator
        self.auditor: Auditor | None = None
        self.specs: dict[str, TopicSpec] = {}
        self.positions: dict[TopicPartition, Position] = {}
        self.commits = 0
        #: Called when there may be something new to read.
        self.news: list[Callable[[], None]] = []
        self._now = now
        self._gaps = gaps
        self._show_later = show_later
        self._cleans = cleans
        self._deletions_s = deletions_s
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._open: list[Transaction] = []
        self._numbers = count(1)
        self._epochs: dict[int, int] = {}

    # -- topics ----------------------------------------------------------------------------------------------------

    def declare(self, specs: Iterable[TopicSpec]) -> dict[str, int]:
        """Create what is missing and check the rest."""
        for spec in specs:
            known = self.specs.get(spec.name)
            if known is None:
                assert spec.partitions is not None
                self.specs[spec.name] = spec
                for number in range(spec.partitions):
                    self._partitions[TopicPartition(spec.name, number)] = _Partition()
                self.coordinator.topics_changed(self.counts())
            elif spec.partitions not in (None, known.partitions):
                raise TopicMismatch(f"topic {spec.name} has {known.partitions} partitions, not {spec.partitions}")
        return {spec.name: self.counts()[spec.name] for spec in specs}

    def counts(self) -> dict[str, int]:
        """Return the number of partitions of each topic."""
        return {name: spec.partitions or 0 for name, spec in self.specs.items()}

    def end(self, source: TopicPartition) -> int:
        """Return one past the last offset that can be read: the first of an open transaction, or the end."""
        firsts = [one.first[source] for one in self._open if source in one.first]
        return min(firsts, default=self._partitions[source].next_offset)

    def decided_end(self, source: TopicPartition) -> int:
        """Return one past the last offset of any committed record, visible already or not."""
        history = self._partitions[source].history
        return max(self.end(source), history[-1].offset + 1 if history else 0)

    def span(self, source: TopicPartition) -> OffsetRange:
        """Return the range of offsets of a partition, without regard to open transactions."""
        return OffsetRange(self._partitions[source].start, self.end(source))

    def history(self, source: TopicPartition, start: int, end: int) -> list[Record]:
        """Return all records ever committed between two offsets, in order, whether they were compacted since or not."""
        records = self._partitions[source].history
        low = bisect_left(records, start, key=_offset)
        return records[low : bisect_left(records, end, lo=low, key=_offset)]

    def cleaned_to(self, source: TopicPartition) -> int:
        """Return the offset below which older values of a key may be missing."""
        return self._partitions[source].cleaned_to

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(self, source: TopicPartition, offset: int, rows: int) -> RecordBatch:
        """Return up to so many records from an offset on. Raises: OffsetOutOfRangeError."""
        partition, end = self._partitions[source], self.end(source)
        if not partition.start <= offset <= partition.next_offset:
            raise OffsetOutOfRangeError(
                f"{source} holds {partition.start} to {end}, not {offset}",
                topic=source.topic,
                partition=source.partition,
                offset=offset,
            )
        records = partition.records
        low = bisect_left(records, offset, key=_offset)
        found = records[low : min(low + rows, bisect_left(records, end, lo=low, key=_offset))]
        more = low + len(found) < len(records) and records[low + len(found)].offset < end
        behind = found[-1].offset + 1 if more and found else max(offset, end)
        return RecordBatch(
            source.topic,
            source.partition,
            [record.offset for record in found],
            [record.timestamp_ms for record in found],
            [record.key for record in found],
            [record.value for record in found],
            behind,
            [record.headers for record in found] if any(record.headers for record in found) else None,
            sum(len(record.key or b"") + len(record.value or b"") for record in found),
        )

    def stable(self, sources: Sequence[TopicPartition]) -> bool:
        """Return whether no transaction that is open, or not yet visible, has written to these partitions."""
        self._give_up()
        return not any(source in one.first for one in self._open for source in sources)

    def positions_stable(self, sources: Sequence[TopicPartition]) -> bool:
        """Return whether no transaction that is open, or not yet visible, moves the positions in these partitions."""
        self._give_up()
        waiting = [one for one in self._open if not one.positions_shown]
        return not any(source in one.positions for one in waiting for source in sources)

    # -- writing ---------------------------------------------------------------------------------------------------

    def append(self, batches: Sequence[OutgoingBatch]) -> list[int]:
        """Append outside of any transaction."""
        bases = [self._append(batch, committed=True) for batch in batches]
        self._tell()
        return bases

    def _append(self, batch: OutgoingBatch, *, committed: bool) -> int:
        partition = self._partitions[TopicPartition(batch.topic, batch.partition)]
        base = partition.next_offset
        headers = batch.headers if batch.headers is not None else [()] * len(batch)
        rows = zip(batch.timestamps_ms, batch.keys, batch.values, headers, strict=True)
        records = [Record(base + index, *row) for index, row in enumerate(rows)]
        partition.records += records
        partition.next_offset += len(records)
        if committed:
            partition.history += records
        return base

    def epoch(self, producer: int) -> int:
        """Return the epoch of a producer; what it sends under an older one is refused."""
        return self._epochs.get(producer, 0)

    def renew(self, producer: int, member_id: str) -> int:
        """Give a producer a new epoch, and abort what it left open."""
        self._epochs[producer] = self.epoch(producer) + 1
        for transaction in [one for one in self._open if one.member_id == member_id]:
            self.abort(transaction)
        return self._epochs[producer]

    def begin(
        self,
        member_id: str,
        generation: int,
        producer: tuple[int, int],
        writes: Sequence[OutgoingBatch],
        positions: Mapping[TopicPartition, Position],
    ) -> Transaction:
        """Take the records and positions of a transaction; nobody sees them yet. Raises: FencedError."""
        self._give_up()
        if producer[1] != self.epoch(producer[0]):
            raise FencedError(f"producer {producer[0]} has a newer epoch")
        self.coordinator.fence(member_id, generation, {source.partition for source in positions})
        if any(one.state == "open" and one.positions.keys() & positions.keys() for one in self._open):
            raise UnavailableError("the positions are being committed already")
        first: dict[TopicPartition, int] = {}
        bases: list[int] = []
        for batch in writes:
            target = TopicPartition(batch.topic, batch.partition)
            base = self._append(batch, committed=False)
            first.setdefault(target, base)
            bases.append(base)
        transaction = Transaction(next(self._numbers), member_id, self._now(), writes, positions, bases, first)
        self._open.append(transaction)
        return transaction

    def commit(self, transaction: Transaction) -> list[int]:
        """Decide that a transaction is committed, and make it visible, now or soon. Raises: FencedError."""
        if transaction.state != "open":
            raise FencedError(f"transaction {transaction.number} is not open any more")
        transaction.state = "decided"
        for batch, base in zip(transaction.writes, transaction.bases, strict=True):
            partition = self._partitions[TopicPartition(batch.topic, batch.partition)]
            low = bisect_left(partition.records, base, key=_offset)
            partition.history += partition.records[low : low + len(batch)]
            partition.history.sort(key=_offset)
        self.positions |= transaction.positions
        self.commits += 1
        if self.auditor is not None:
            self.auditor.committed(transaction.writes, transaction.positions)
        if self._show_later is None:
            self._end(transaction)
        else:
            self._show_later(partial(self._show_positions, transaction))
            self._show_later(partial(self._end, transaction))
        return transaction.bases

    def _show_positions(self, transaction: Transaction) -> None:
        transaction.positions_shown = True

    def abort(self, transaction: Transaction) -> None:
        """End an open transaction without a trace, but for the offsets that it took."""
        if transaction.state != "open":
            return
        for batch, base in zip(transaction.writes, transaction.bases, strict=True):
            records = self._partitions[TopicPartition(batch.topic, batch.partition)].records
            low = bisect_left(records, base, key=_offset)
            del records[low : low + len(batch)]
        self._end(transaction)

    def _end(self, transaction: Transaction) -> None:
        transaction.state = "ended"
        self._open.remove(transaction)
        for target in transaction.first:
            if self._gaps:
                self._partitions[target].next_offset += 1
            if self.specs[target.topic].cleanup_policy == "compact" and self._cleans():
                self._compact(target)
        self._tell()

    def _give_up(self) -> None:
        """Abort what has been open for too long."""
        for transaction in [one for one in self._open if self._now() - one.began_at > _TRANSACTION_S]:
            self.abort(transaction)  # does nothing to one that is decided

    def _compact(self, source: TopicPartition) -> None:
        """Drop every record that a later one of its key replaces, and what tombstones have said for long enough."""
        partition, end, now = self._partitions[source], self.end(source), self._now()
        last = {record.key: record.offset for record in partition.records if record.offset < end - 1}
        kept: list[Record] = []
        for record in partition.records:
            if last.get(record.key, record.offset) > record.offset:
                continue
            if record.offset < end - 1 and record.value is None:
                cleaned_s = partition.tombstones.setdefault(record.offset, now)
                if now - cleaned_s > self._deletions_s:
                    continue
            kept.append(record)
        partition.records = kept
        partition.cleaned_to = max(partition.cleaned_to, end - 1)

    def _tell(self) -> None:
        for tell in list(self.news):
            tell()


def _offset(record: Record) -> int:
    return record.offset
